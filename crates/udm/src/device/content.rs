//! What a device without a LUKS header holds instead, and what would do.

use udm_luks::ReadAt;
use udm_luks::signature::{Found, Kind, probe};

use super::name::{DeviceName, Place};

/// Why `place` is not opened as a LUKS volume: what it is, where that is known, and what would do.
pub(super) fn explain(place: &Place, bytes: &dyn ReadAt) -> String {
    match probe(bytes).ok().and_then(|found| found.into_iter().next()) {
        Some(found) => told(place, &found),
        None => nothing_known(place),
    }
}

/// The same of a device without any signature.
fn nothing_known(place: &Place) -> String {
    let raw = DeviceName::Raw(place.clone());
    format!("{place} has no LUKS header: name it {raw} to take its bytes as they are, or use --table-file")
}

fn told(place: &Place, found: &Found) -> String {
    let (title, raw) = (found.signature.title, DeviceName::Raw(place.clone()));
    match found.signature.kind {
        Kind::FileSystem => {
            format!("{place} is {title}, and not encrypted: name it {raw} to take its bytes as they are")
        }
        Kind::Member => format!(
            "{place} is {title}, and has no LUKS header: assemble what it is part of, and name that; \
             or name it {raw} to take its bytes as they are"
        ),
        Kind::PartitionTable => format!(
            "{place} is {title}, and LUKS may be in one of its partitions: `sfdisk --dump` lists them; serve the one that is \
             meant by a table (0 SECTORS linear {} START), and name that export's URI",
            place.in_table()
        ),
        Kind::Encrypted => format!("{place} is {title}: {}", encrypted(found.signature.name)),
        Kind::DiskImage => {
            format!("{place} is {title}, and not a disk byte for byte: {}", image(place, found))
        }
        Kind::Archive => {
            let how = match found.signature.name {
                "zip" => "unzip",
                "7z" => "7z x",
                "tar" => "tar -xf",
                name => return format!("{place} is {title}: unpack it first ({name} -d -k {place})"),
            };
            format!("{place} is {title}: unpack it first ({how} {place})")
        }
    }
}

fn encrypted(name: &str) -> &'static str {
    match name {
        "BitLocker" => "udm does not open these; `cryptsetup open --type bitlk` and dislocker do",
        "cs_fvault2" => "udm does not open these; `cryptsetup open --type fvault2` does",
        "crypto_LUKS" => "its first header is gone and a second one is there: see `udm luks repair --help`",
        _ => "udm does not open these",
    }
}

fn image(place: &Place, found: &Found) -> String {
    match (found.qemu_format(), found.signature.name) {
        (Some(format), _) => format!(
            "`qemu-nbd --read-only --persistent --format {format} --socket $PWD/disk.sock {place}` serves the disk in it as \
             nbd+unix:///?socket=disk.sock, which udm opens"
        ),
        (None, "E01" | "Ex01") => {
            format!("`ewfmount {place} DIRECTORY` shows the disk in it as DIRECTORY/ewf1, which udm opens")
        }
        (None, "AFF") => {
            format!("`affuse {place} DIRECTORY` shows the disk in it as a file, which udm opens")
        }
        (None, "android_sparse") => format!("`simg2img {place} disk.img` unpacks it"),
        _ => "convert it into a raw image first".into(),
    }
}
