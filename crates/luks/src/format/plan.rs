//! Where everything of a new volume is. Nothing is written before there is a plan.

use std::ops::Range;

use udm_block::SECTOR_SIZE;
use udm_crypto::spec::{CipherSpec, encrypts_nothing, is_capi};

use super::options::{FormatOptions, Version};
use crate::cost::KdfKind;
use crate::error::{Error, shown};
use crate::keyslot::{MAX_KEY_SIZE, STRIPES};
use crate::luks1;
use crate::luks2::binary::SIZES;
use crate::luks2::config::MAX_AREAS;
use crate::luks2::keyslots::{AREA_ALIGNMENT, MAX_SLOTS};
use crate::luks2::segments::SECTOR_SIZES;
use crate::random;
use crate::segment::Segment;
use crate::volume::HeaderPlace;
use udm_crypto::Hash;

/// What data lie on multiples of, in bytes.
const DATA_ALIGNMENT: u64 = 1 << 20;
/// The bytes of a LUKS2 header with everything, where nothing else is asked for.
const HEADER_SIZE: u64 = 16 << 20;

/// Where everything is, in bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    /// The areas of all key slots.
    pub areas: Range<u64>,
    /// Where the header with all its areas ends.
    pub end: u64,
    /// The number of the first key slot.
    pub slot: u32,
    /// The bytes of one key slot's area.
    pub area_size: u64,
    /// The cipher of that area, and the bytes of its key.
    pub area_cipher: (String, usize),
    /// The data.
    pub segment: Segment,
    /// The UUID.
    pub uuid: String,
}

impl Plan {
    /// The plan for a device of `size` bytes.
    pub fn new(options: &FormatOptions, size: u64) -> Result<Self, Error> {
        check_key(options)?;
        let area_size = ((options.key_size * STRIPES) as u64).next_multiple_of(AREA_ALIGNMENT);
        let areas = match options.version {
            Version::Luks1 => luks1_areas(options, area_size)?,
            Version::Luks2 => luks2_areas(options, area_size)?,
        };
        let end = areas.end;
        let offset = match (options.place, options.data_offset) {
            (_, Some(offset)) => offset,
            (HeaderPlace::Attached, None) => end.next_multiple_of(DATA_ALIGNMENT),
            (HeaderPlace::Detached, None) => 0,
        };
        check_offset(options, offset, end)?;
        let data = match options.place {
            HeaderPlace::Attached => Some(size.saturating_sub(offset)),
            HeaderPlace::Detached => options.data_device_size.map(|size| size.saturating_sub(offset)),
        };
        let sector_size = sector_size(options, offset, data)?;
        if data.is_some_and(|data| data < u64::from(sector_size)) || size < end {
            let (wanted, what) = match options.place {
                HeaderPlace::Attached => (offset + u64::from(sector_size), "the header and a sector of data"),
                HeaderPlace::Detached => (end, "the header, or the data's device none for a sector"),
            };
            let why = format!("it has no room for {what}: {wanted} bytes");
            let hint = "take a larger one; --luks2-keyslots-size and --offset make a LUKS2 header smaller";
            return Err(Error::request("the device's size", format!("{size} bytes"), why, hint));
        }
        Ok(Self {
            areas,
            end,
            slot: slot(options)?,
            area_size,
            area_cipher: area_cipher(options)?,
            segment: Segment {
                offset,
                size: None,
                encryption: options.encryption.clone(),
                iv_tweak: 0,
                sector_size,
            },
            uuid: uuid(options)?,
        })
    }
}

fn check_key(options: &FormatOptions) -> Result<(), Error> {
    let (cipher, size) = (&options.encryption, options.key_size);
    if cipher.is_empty() || encrypts_nothing(cipher) || !cipher.bytes().all(|byte| byte.is_ascii_graphic()) {
        let why = "it is not a cipher that keeps a secret";
        return Err(Error::request("--cipher", shown(cipher), why, "aes-xts-plain64 would do"));
    }
    // Ciphers that udm does not know are allowed: the library's caller may have a dm-crypt that does.
    let spec = CipherSpec::parse(cipher).ok();
    if let Some((word, option)) = spec.as_ref().and_then(CipherSpec::without_idle_option) {
        let why =
            format!("its IV mode does not read the option {}, and some programs refuse it", shown(option));
        return Err(Error::request("--cipher", shown(cipher), why, format!("write {word}")));
    }
    if options.version == Version::Luks1 && is_capi(cipher) {
        let why = "LUKS1 has no place for a cipher in this form, and no other program would open it";
        let hint = "write it as aes-xts-plain64 is written, or give --type luks2";
        return Err(Error::request("--cipher", shown(cipher), why, hint));
    }
    if !Hash::LUKS.contains(&options.hash) {
        let why = "cryptsetup has no name for it";
        return Err(Error::request("--hash", options.hash.name(), why, "sha256 would do"));
    }
    if options.hash == Hash::Md5 {
        let why = "udm opens what others made with it, and makes nothing new: cryptsetup refuses it";
        return Err(Error::request("--hash", "md5", why, "sha256 would do"));
    }
    if size == 0 || size > MAX_KEY_SIZE {
        let why = format!("a volume key has 8 to {} bits", MAX_KEY_SIZE * 8);
        return Err(Error::request("--key-size", size * 8, why, "aes-xts-plain64 has 256 or 512"));
    }
    Ok(())
}

/// LUKS1: eight areas, all of them from the start.
fn luks1_areas(options: &FormatOptions, area_size: u64) -> Result<Range<u64>, Error> {
    let only = |field: &str, found: &dyn std::fmt::Display| {
        Err(Error::request(field, found, "LUKS1 has no place for it", "--type luks2 has one"))
    };
    if let KdfKind::Argon2(_) = options.slot.kdf.kind {
        return only("--pbkdf", &"argon2");
    }
    if let Some(size) = options.sector_size.filter(|size| *size != SECTOR_SIZE as u32) {
        return only("--sector-size", &size);
    }
    if !options.label.is_empty() || !options.subsystem.is_empty() {
        return only("--label", &shown(&format!("{}{}", options.label, options.subsystem)));
    }
    if let Some((cipher, _)) = &options.slot.cipher {
        return only("--keyslot-cipher", cipher);
    }
    let start = AREA_ALIGNMENT;
    Ok(start..start + luks1::KEY_SLOTS as u64 * area_size)
}

/// LUKS2: behind both copies of the header, up to the data or up to 16 MiB.
fn luks2_areas(options: &FormatOptions, area_size: u64) -> Result<Range<u64>, Error> {
    if !SIZES.contains(&options.metadata_size) {
        let why = "it is a power of two from 16 KiB to 4 MiB";
        return Err(Error::request("--luks2-metadata-size", options.metadata_size, why, "16k would do"));
    }
    let start = 2 * options.metadata_size;
    let size = options.keyslots_size.unwrap_or_else(|| {
        let until = options.data_offset.filter(|offset| *offset != 0).unwrap_or(HEADER_SIZE);
        let room = until.saturating_sub(start).min(MAX_AREAS);
        room / AREA_ALIGNMENT * AREA_ALIGNMENT
    });
    if size < area_size || size > MAX_AREAS || !size.is_multiple_of(AREA_ALIGNMENT) {
        let why = format!(
            "it is a multiple of {AREA_ALIGNMENT} from {area_size}, what one key slot needs, to {MAX_AREAS}"
        );
        let hint = "leave it out for the default; --offset must leave room for it";
        return Err(Error::request("--luks2-keyslots-size", size, why, hint));
    }
    Ok(start..start + size)
}

fn check_offset(options: &FormatOptions, offset: u64, end: u64) -> Result<(), Error> {
    let refused = |why: String| {
        let hint = "--offset counts sectors of 512 bytes; leave it out for the default";
        Err(Error::request("--offset", format!("byte {offset}"), why, hint))
    };
    if !offset.is_multiple_of(SECTOR_SIZE as u64) {
        return refused("data begin at a whole sector".into());
    }
    // Only a header whose data begin at 0 may be longer than their place; any other may come to stand before them.
    if (options.place == HeaderPlace::Attached || offset != 0) && offset < end {
        return refused(format!("the header with its key slots ends at byte {end}"));
    }
    // Of LUKS1 it is a number of 32 bits, in sectors.
    let most = if options.version == Version::Luks1 { u64::from(u32::MAX) * 512 } else { i64::MAX as u64 };
    if offset > most { refused(format!("a header can say no more than {most}")) } else { Ok(()) }
}

/// The size of a sector for the data, which begin at `offset` and have `data` bytes, where that is known.
fn sector_size(options: &FormatOptions, offset: u64, data: Option<u64>) -> Result<u32, Error> {
    const LARGEST: u32 = 4096;
    let fits =
        |size: u32| [Some(offset), data].iter().flatten().all(|bytes| bytes.is_multiple_of(size.into()));
    match options.sector_size {
        _ if options.version == Version::Luks1 => Ok(SECTOR_SIZE as u32),
        None if data.is_some() && fits(LARGEST) => Ok(LARGEST),
        None => Ok(SECTOR_SIZE as u32),
        Some(size) if !SECTOR_SIZES.contains(&size) => {
            let why = "a sector has 512, 1024, 2048 or 4096 bytes";
            Err(Error::request("--sector-size", size, why, "leave it out for the largest that fits"))
        }
        Some(size) if !fits(size) => {
            let why = "the data do not begin or end with such a sector";
            Err(Error::request("--sector-size", size, why, "leave it out for the largest that fits"))
        }
        Some(size) => Ok(size),
    }
}

fn slot(options: &FormatOptions) -> Result<u32, Error> {
    let most = if options.version == Version::Luks1 { luks1::KEY_SLOTS as u32 } else { MAX_SLOTS };
    match options.slot.id.unwrap_or(0) {
        slot if slot < most => Ok(slot),
        slot => {
            let why = format!("key slots have the numbers 0 to {}", most - 1);
            Err(Error::request("--key-slot", slot, why, "leave it out for 0"))
        }
    }
}

/// LUKS1 has no cipher of its own for key slots.
fn area_cipher(options: &FormatOptions) -> Result<(String, usize), Error> {
    let cipher = options.slot.area_cipher(&options.encryption, options.key_size)?;
    if options.version == Version::Luks1 && cipher.0 != options.encryption {
        let why = "LUKS1 encrypts its key slots with it, and udm cannot";
        return Err(Error::request("--cipher", &options.encryption, why, "--type luks2 can have it"));
    }
    Ok(cipher)
}

fn uuid(options: &FormatOptions) -> Result<String, Error> {
    match &options.uuid {
        None => random::uuid(),
        Some(uuid) if random::is_uuid(uuid) => Ok(uuid.clone()),
        Some(uuid) => {
            let why = "it has 32 hexadecimal digits, in groups of 8, 4, 4, 4 and 12";
            Err(Error::request("--uuid", shown(uuid), why, "leave it out for a new one"))
        }
    }
}
