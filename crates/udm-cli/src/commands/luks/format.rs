//! `udm luks format`.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde_json::json;
use udm_luks::{FormatOptions, HeaderPlace, ReadAt, SlotOptions, Version, format as format_volume};

use super::{Manner, ask, failed, lock_unused, read_key};
use crate::cli::{Failure, LuksFormatArgs, default_key_size};
use crate::output::{Existing, Output};
use crate::passphrase::Passphrase;
use crate::terminal::Terminal;
use udm::device::DeviceError;
use udm::luks::{check_cipher, detached};

/// How much of the beginning is looked at to tell whether there is something to be lost, in bytes.
const LOOKED_AT: usize = 1 << 20;

/// The largest sector, which is the default where it can be.
const LARGEST_SECTOR: u32 = 4096;

pub(super) fn format(args: &LuksFormatArgs, manner: Manner) -> Result<(), Failure> {
    let mut options = options(args)?;
    let check = |sector_size| check_cipher(&options.encryption, options.key_size, sector_size);
    check(options.sector_size.unwrap_or(512))
        .map_err(|fault| Failure::request(format!("--cipher: {fault}")))?;
    if options.sector_size.is_none() && check(LARGEST_SECTOR).is_err() {
        options.sector_size = Some(512);
    }
    let path = match &args.header {
        Some(header) => detached(header, &args.image).map_err(DeviceError::from)?,
        None => &args.image,
    };
    if args.size.is_some() {
        check_new(&args.image)?;
    }
    if path.exists() {
        // What cannot be written is refused before anybody is asked anything.
        drop(lock_unused(path)?);
        if !args.batch_mode && !manner.quiet {
            ask_before(path)?;
        }
    }
    // Before anything is made, whoever is to be asked for a passphrase may think better of it.
    let source = match &args.new_key {
        Some(input) => Passphrase::file(input),
        None => args.key.passphrase(),
    };
    let passphrase = source.get_new(&args.image)?;
    let mut image = args.size.map(|size| make_image(&args.image, size)).transpose()?;
    if let Some(header) = &args.header {
        make_header(header, args, &mut options)?;
    }
    let made = match &mut image {
        Some(image) if args.header.is_none() => format_volume(image.file(), &options, &passphrase),
        _ => format_volume(&mut lock_unused(path)?, &options, &passphrase),
    };
    let made = made.map_err(failed(path))?;
    if let Some(image) = image {
        image.finish()?;
    }
    let text = format!("{}: made, and key slot {} opens it.", args.image.display(), made.key_slot);
    let segment = &made.segment;
    let result = json!({
        "key_slot": made.key_slot, "offset": segment.offset, "sector_size": segment.sector_size,
        "cipher": segment.encryption,
    });
    manner.done(&text, &result)
}

fn options(args: &LuksFormatArgs) -> Result<FormatOptions, Failure> {
    let version = Version::from(args.volume.version);
    let slot = SlotOptions { id: args.key_slot, ..args.slot.options(version)? };
    let volume_key = args.volume_key_file.as_ref().map(read_key).transpose()?;
    let key_size = match (args.volume.key_size, &volume_key) {
        (Some(size), _) => size,
        (None, Some(key)) => key.len(),
        (None, None) => default_key_size(&args.volume.cipher),
    };
    let data_offset = args.offset.map(|sectors| sectors.checked_mul(512));
    if data_offset == Some(None) {
        return Err(Failure::request("--offset: no device has so many sectors"));
    }
    Ok(FormatOptions {
        version,
        encryption: args.volume.cipher.clone(),
        key_size,
        hash: args.slot.hash,
        slot,
        sector_size: args.volume.sector_size,
        label: args.volume.label.clone(),
        subsystem: args.subsystem.clone(),
        uuid: args.volume.uuid.clone(),
        place: if args.header.is_some() { HeaderPlace::Detached } else { HeaderPlace::Attached },
        data_offset: data_offset.flatten(),
        data_device_size: None,
        metadata_size: args.luks2_metadata_size,
        keyslots_size: args.luks2_keyslots_size,
        volume_key,
    })
}

/// Asks before what is at `path` is lost, as cryptsetup does, and says what that is as far as it is known. Where nobody can be
/// asked and there is nothing to be seen, it goes on.
fn ask_before(path: &Path) -> Result<(), Failure> {
    let lost = format!("what is on {} is going to be lost", path.display());
    match ask::signatures(path, None) {
        Some(told) => ask::confirm(&format!("{told}; {lost}")),
        None if !has_something(path) && Terminal::open().is_none() => Ok(()),
        None => ask::confirm(&lost),
    }
}

/// Whether something that is no zero is at the beginning of `path`.
fn has_something(path: &Path) -> bool {
    let Ok(file) = File::open(path) else { return false };
    let mut begin = vec![0; file.size().unwrap_or(0).min(LOOKED_AT as u64) as usize];
    // What cannot be read may be something.
    file.read_at(0, &mut begin).is_err() || begin.iter().any(|byte| *byte != 0)
}

/// Refuses an image that is to be made and is there.
fn check_new(path: &Path) -> Result<(), Failure> {
    if path.symlink_metadata().is_err() {
        return Ok(());
    }
    let why = "is there already; without --size it is formatted as it is";
    Err(Failure::request(format!("{} {why}", path.display())))
}

/// Begins the image of --size, which has its name when it is a volume.
fn make_image(path: &Path, size: u64) -> Result<Output, Failure> {
    let mut image = Output::create(path, 0o666, Existing::Refuse(None), &[])?;
    let sized = image.file().set_len(size);
    sized.map_err(|error| Failure::request(format!("{}: {error}", path.display())))?;
    Ok(image)
}

/// Makes the file of --header, where there is none.
fn make_header(header: &Path, args: &LuksFormatArgs, options: &mut FormatOptions) -> Result<(), Failure> {
    let told = |path: &Path, error: std::io::Error| Failure::request(format!("{}: {error}", path.display()));
    let data = args.size.map_or_else(|| File::open(&args.image).and_then(|file| file.size()), Ok);
    options.data_device_size = Some(data.map_err(|error| told(&args.image, error))?);
    let end = udm_luks::format::header_size(options).map_err(failed(header))?;
    // Who may read it can try passphrases on it.
    let file = File::options().write(true).create(true).truncate(false).mode(0o600).open(header);
    let file = file.map_err(|error| told(header, error))?;
    if file.size().is_ok_and(|size| size < end) {
        file.set_len(end).map_err(|error| told(header, error))?;
    }
    Ok(())
}
