//! The header of LUKS1: 592 bytes, big-endian, at the beginning of the device (LUKS1 On-Disk Format Specification 1.2.3,
//! section 2.1).

pub(crate) mod draft;
mod repair;
mod unused;

use std::num::NonZeroU32;

use udm_block::SECTOR_SIZE;

use crate::digest::Digest;
use crate::error::{Error, Finding, shown};
use crate::kdf::Kdf;
use crate::keyslot::{Area, KeySlot, MAX_KEY_SIZE, MAX_MATERIAL, MAX_STRIPES, Priority};
use crate::segment::Segment;
use udm_crypto::Hash;

/// The bytes of a header.
pub const HEADER_SIZE: usize = 592;
/// How many key slots there are.
pub const KEY_SLOTS: usize = 8;
/// The bytes of a digest, whatever its hash is.
pub(crate) const DIGEST_SIZE: usize = 20;
const SALT_SIZE: usize = 32;
/// Where the key slots begin, and the bytes of each.
const SLOTS: usize = 208;
const SLOT_SIZE: usize = 48;
/// What areas of key slots are filled up to, in bytes.
const AREA_ALIGNMENT: u64 = 4096;
/// Where a header ends at the latest that is a file of its own: all areas of the longest keys.
const MAX_END: u64 = (KEY_SLOTS as u64 + 1) * MAX_MATERIAL as u64;
/// What marks a key slot that is in use, and one that is not.
const ENABLED: u32 = 0x00AC_71F3;
const DISABLED: u32 = 0x0000_DEAD;
/// What would do about a header that is damaged.
const RESTORE: &str = "restore a backup of the header (udm luks header-restore)";

/// What a LUKS1 header says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
    /// The cipher's name, such as `aes`.
    pub cipher_name: String,
    /// Its mode, such as `xts-plain64`.
    pub cipher_mode: String,
    /// The hash of everything in the header.
    pub hash: Hash,
    /// Where the data begin, in sectors of 512 bytes. 0 where the header is a file of its own.
    pub payload_offset: u32,
    /// The bytes of the volume key.
    pub key_size: usize,
    /// The digest of the volume key.
    pub digest: Digest,
    /// The UUID, as text; what is not UTF-8 in it is U+FFFD.
    pub uuid: String,
    /// The key slots; `None` where one is not in use.
    pub slots: [Option<KeySlot>; KEY_SLOTS],
    /// What is wrong with those that are not in use. The volume opens, and is not changed before it is repaired.
    pub faults: Vec<Finding>,
    /// The header itself.
    bytes: [u8; HEADER_SIZE],
}

impl Header {
    /// Reads a header whose magic and version have been looked at.
    ///
    /// # Errors
    /// Where it is not as the specification has it, or names a hash that is not known here.
    pub fn parse(bytes: &[u8; HEADER_SIZE]) -> Result<Self, Error> {
        let hash_name = text(bytes, "hash-spec", 72, 32)?;
        let hash = Hash::from_luks_name(&hash_name)
            .map_err(|error| Error::Unsupported(Finding::of_spec("hash-spec", &error)))?;
        let key_size = number(bytes, 108) as usize;
        if key_size == 0 || key_size > MAX_KEY_SIZE {
            let why = format!("a volume key has 1 to {MAX_KEY_SIZE} bytes");
            return Err(damaged("key-bytes", key_size, why));
        }
        let (cipher_name, cipher_mode) =
            (text(bytes, "cipher-name", 8, 32)?, text(bytes, "cipher-mode", 40, 32)?);
        if cipher_name.is_empty() || cipher_mode.is_empty() {
            let field = if cipher_name.is_empty() { "cipher-name" } else { "cipher-mode" };
            return Err(damaged(field, "empty", "the cipher has no name"));
        }
        let digest = Digest {
            iterations_field: "mk-digest-iter".into(),
            hash,
            iterations: iterations(bytes, "mk-digest-iter", 164)?,
            salt: bytes[132..164].to_vec(),
            digest: bytes[112..112 + DIGEST_SIZE].to_vec(),
        };
        let mut header = Self {
            cipher_name,
            cipher_mode,
            hash,
            payload_offset: number(bytes, 104),
            key_size,
            digest,
            uuid: String::from_utf8_lossy(field(bytes, 168, 40)).into_owned(),
            slots: Default::default(),
            faults: Vec::new(),
            bytes: *bytes,
        };
        for id in 0..KEY_SLOTS {
            header.slots[id] = header.slot(bytes, id)?;
        }
        header.check_overlaps()?;
        header.faults = unused::faults(&header);
        Ok(header)
    }

    /// The cipher as a dm-crypt table has it.
    pub fn encryption(&self) -> String {
        format!("{}-{}", self.cipher_name, self.cipher_mode)
    }

    /// Where the data are.
    pub fn segment(&self) -> Segment {
        Segment {
            offset: u64::from(self.payload_offset) * SECTOR_SIZE as u64,
            size: None,
            encryption: self.encryption(),
            iv_tweak: 0,
            sector_size: SECTOR_SIZE as u32,
        }
    }

    /// Where the areas of all key slots end, in use or not, in bytes; where the data begin at the latest.
    pub fn end(&self) -> u64 {
        let areas = (0..KEY_SLOTS).map(|id| self.area(id).end);
        let end = areas.max().unwrap_or(0).max(HEADER_SIZE as u64).next_multiple_of(AREA_ALIGNMENT);
        match self.segment().offset {
            0 => end.min(MAX_END),
            data => end.min(data),
        }
    }

    /// Reads key slot `id`.
    fn slot(&self, bytes: &[u8; HEADER_SIZE], id: usize) -> Result<Option<KeySlot>, Error> {
        let at = SLOTS + id * SLOT_SIZE;
        let path = format!("key-slot-{id}");
        match number(bytes, at) {
            ENABLED => {}
            // What is marked as neither is no more tried than what is free: others open all the same.
            _ => return Ok(None),
        }
        let iterations = iterations(bytes, &format!("{path}.iterations"), at + 4)?;
        let salt = bytes[at + 8..at + 8 + SALT_SIZE].to_vec();
        let (offset, stripes) = (number(bytes, at + 40), number(bytes, at + 44) as usize);
        if stripes == 0 || stripes > MAX_STRIPES || self.key_size * stripes > MAX_MATERIAL {
            let why = format!("there are 1 to {MAX_STRIPES}, of at most {MAX_MATERIAL} bytes");
            return Err(damaged(format!("{path}.stripes"), stripes, why));
        }
        let offset = u64::from(offset) * SECTOR_SIZE as u64;
        if offset < HEADER_SIZE as u64 {
            let field = format!("{path}.key-material-offset");
            return Err(damaged(field, format!("byte {offset}"), "the header itself is there"));
        }
        let size = (self.key_size * stripes).next_multiple_of(SECTOR_SIZE) as u64;
        Ok(Some(KeySlot {
            id: id as u32,
            path,
            priority: Priority::Normal,
            key_size: self.key_size,
            kdf: Kdf::Pbkdf2 { hash: self.hash, iterations, salt },
            af_hash: self.hash,
            stripes,
            area: Area { offset, size, encryption: self.encryption(), key_size: self.key_size },
        }))
    }

    /// Key slots that lie on one another, or on the data, are none.
    fn check_overlaps(&self) -> Result<(), Error> {
        let mut slots: Vec<_> = self.slots.iter().flatten().collect();
        slots.sort_by_key(|slot| slot.area.offset);
        let data = self.segment().offset;
        for (index, slot) in slots.iter().enumerate() {
            let end = slot.area.offset + slot.area.size;
            let field = format!("{}.key-material-offset", slot.path);
            let found = format!("byte {}", slot.area.offset);
            if let Some(next) = slots.get(index + 1)
                && next.area.offset < end
            {
                return Err(damaged(field, found, format!("it overlaps key slot {}", next.id)));
            }
            if data != 0 && end > data {
                let why = format!("its {} bytes overlap the data at byte {data}", slot.area.size);
                return Err(damaged(field, found, why));
            }
        }
        Ok(())
    }
}

fn damaged(field: impl Into<String>, found: impl std::fmt::Display, why: impl Into<String>) -> Error {
    Error::Damaged(Finding::new(field, found, why, RESTORE))
}

/// The big-endian number of 32 bits at `at`.
fn number(bytes: &[u8; HEADER_SIZE], at: usize) -> u32 {
    u32::from_be_bytes(std::array::from_fn(|index| bytes[at + index]))
}

fn iterations(bytes: &[u8; HEADER_SIZE], field: &str, at: usize) -> Result<NonZeroU32, Error> {
    NonZeroU32::new(number(bytes, at)).ok_or_else(|| damaged(field, 0, "there is at least one"))
}

/// The text at `at`, which ends with a zero byte or with its field.
fn text(bytes: &[u8; HEADER_SIZE], field: &str, at: usize, len: usize) -> Result<String, Error> {
    let bytes = self::field(bytes, at, len);
    match std::str::from_utf8(bytes) {
        Ok(text) if text.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(text.to_owned()),
        _ => {
            let found = shown(&String::from_utf8_lossy(bytes));
            Err(damaged(field, found, "letters, digits and signs of ASCII were expected"))
        }
    }
}

/// The bytes at `at`, up to a zero byte or to the end of their field.
fn field(bytes: &[u8; HEADER_SIZE], at: usize, len: usize) -> &[u8] {
    bytes[at..at + len].split(|byte| *byte == 0).next().unwrap_or_default()
}
