//! A LUKS1 header that is being made or changed, and how it is written so that the power may fail at any time.
//!
//! There is one copy only, of 592 bytes in two sectors, and what is promised rests on a sector being written whole or not
//! at all. Key slots 0 to 5 are in the first sector, 7 is in the second, and of 6 the first half of the salt is in the
//! first and all that tells whether it is in use, too. So the second sector is written first, and a sync later the first:
//! - to enable a key slot, or to change anything else, one sector is enough, and is the old header or the new one; but
//! - to enable key slot 6, the second sector changes only what nobody looks at until the first says that it is enabled;
//! - to disable one, its material has been overwritten before, so however far it comes, it does not open.

use std::num::NonZeroU32;
use std::ops::Range;

use udm_block::SECTOR_SIZE;
use udm_crypto::spec::is_capi;

use super::{DISABLED, ENABLED, HEADER_SIZE, Header, KEY_SLOTS, SALT_SIZE, SLOT_SIZE, SLOTS};
use crate::digest::Digest;
use crate::error::{Error, shown};
use crate::keyslot::STRIPES;
use crate::luks2::binary::MAGIC;
use crate::source::Storage;
use udm_crypto::Hash;

/// The bytes of a header.
#[derive(Clone, Debug)]
pub struct Draft([u8; HEADER_SIZE]);

/// What a new header says, but for its key slots.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// The cipher, as a dm-crypt table has it.
    pub encryption: &'a str,
    /// The hash of everything.
    pub hash: Hash,
    /// Where the data begin, in bytes.
    pub data_offset: u64,
    /// The bytes of the volume key.
    pub key_size: usize,
    /// The digest of the volume key.
    pub digest: &'a Digest,
    /// The UUID.
    pub uuid: &'a str,
    /// Where the area of key slot 0 begins, and how far it is from each to the next, in bytes.
    pub areas: (u64, u64),
}

impl Draft {
    /// A header with no key slot in use.
    ///
    /// # Errors
    /// Where a text does not fit.
    pub fn new(parts: &Parts<'_>) -> Result<Self, Error> {
        let mut draft = Self([0; HEADER_SIZE]);
        let Some((name, mode)) = parts.encryption.split_once('-').filter(|(name, _)| !is_capi(name)) else {
            let why = "LUKS1 has a name, a dash, and a mode";
            return Err(Error::request("--cipher", shown(parts.encryption), why, "aes-xts-plain64 would do"));
        };
        draft.put(0, &MAGIC);
        draft.put(6, &1u16.to_be_bytes());
        draft.put_text("--cipher", 8, 32, name)?;
        draft.put_text("--cipher", 40, 32, mode)?;
        draft.put_text("--hash", 72, 32, parts.hash.luks_name())?;
        draft.put_number(104, (parts.data_offset / SECTOR_SIZE as u64) as u32);
        draft.put_number(108, parts.key_size as u32);
        draft.put(112, &parts.digest.digest);
        draft.put(132, &parts.digest.salt);
        draft.put_number(164, parts.digest.iterations.get());
        draft.put_text("--uuid", 168, 40, parts.uuid)?;
        for id in 0..KEY_SLOTS {
            let area = parts.areas.0 + id as u64 * parts.areas.1;
            let at = Self::place(id).start;
            draft.put_number(at, DISABLED);
            draft.put_number(at + 40, (area / SECTOR_SIZE as u64) as u32);
            draft.put_number(at + 44, STRIPES as u32);
        }
        Ok(draft)
    }

    /// The header as it is, to be changed.
    ///
    /// # Errors
    /// Where a key slot that is not in use is wrong.
    pub fn of(header: &Header) -> Result<Self, Error> {
        header.check_writable()?;
        Ok(Self::unchecked(header))
    }

    /// The same, whatever is wrong with it: to repair it.
    pub(super) fn unchecked(header: &Header) -> Self {
        Self(header.bytes)
    }

    /// Enables key slot `id`. Its area is where the header has it.
    ///
    /// # Panics
    /// Where the salt has not 32 bytes.
    pub fn enable(&mut self, id: usize, iterations: NonZeroU32, salt: &[u8]) {
        assert_eq!(salt.len(), SALT_SIZE, "the salt has its place");
        let at = Self::place(id).start;
        self.put_number(at, ENABLED);
        self.put_number(at + 4, iterations.get());
        self.put(at + 8, salt);
    }

    /// Disables key slot `id`.
    pub fn disable(&mut self, id: usize) {
        let at = Self::place(id).start;
        self.put_number(at, DISABLED);
        self.put(at + 4, &[0; 4 + SALT_SIZE]);
    }

    /// Disables key slot `id` and gives it the place and the stripes that a new one has.
    pub(super) fn free(&mut self, id: usize, offset: u32) {
        self.disable(id);
        let at = Self::place(id).start;
        self.put_number(at + 40, offset);
        self.put_number(at + 44, STRIPES as u32);
    }

    /// Sets the cipher's mode.
    ///
    /// # Errors
    /// Where it does not fit.
    pub(super) fn set_mode(&mut self, mode: &str) -> Result<(), Error> {
        self.put_text("cipher-mode", 40, 32, mode)
    }

    /// Sets the name of the hash.
    ///
    /// # Errors
    /// Where it does not fit.
    pub(super) fn set_hash(&mut self, hash: &str) -> Result<(), Error> {
        self.put_text("hash-spec", 72, 32, hash)
    }

    /// Sets the UUID.
    ///
    /// # Errors
    /// Where it does not fit.
    pub fn set_uuid(&mut self, uuid: &str) -> Result<(), Error> {
        self.put_text("--uuid", 168, 40, uuid)
    }

    /// What the header would be.
    ///
    /// # Errors
    /// Where it would be none that is read again.
    pub fn parse(&self) -> Result<Header, Error> {
        Header::parse(&self.0)
    }

    /// Writes what is other than in `old`: the second sector, then the first, with a sync behind each.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn commit(&self, old: Option<&Header>, storage: &mut impl Storage) -> Result<Header, Error> {
        let header = self.parse()?;
        for sector in [SECTOR_SIZE..HEADER_SIZE, 0..SECTOR_SIZE] {
            let bytes = &self.0[sector.clone()];
            if old.is_some_and(|old| old.bytes[sector.clone()] == *bytes) {
                continue;
            }
            storage.write_at(sector.start as u64, bytes).map_err(Error::writing("the header"))?;
            storage.sync().map_err(Error::writing("the header"))?;
        }
        Ok(header)
    }

    /// The bytes of key slot `id`.
    fn place(id: usize) -> Range<usize> {
        SLOTS + id * SLOT_SIZE..SLOTS + (id + 1) * SLOT_SIZE
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn put_number(&mut self, at: usize, number: u32) {
        self.put(at, &number.to_be_bytes());
    }

    /// Puts a text with the zero bytes that fill it up, of which there is at least one.
    fn put_text(&mut self, field: &str, at: usize, room: usize, text: &str) -> Result<(), Error> {
        if text.is_empty() || text.len() >= room {
            let why = format!("LUKS1 has 1 to {} bytes for it", room - 1);
            return Err(Error::request(field, shown(text), why, "choose another, or --type luks2"));
        }
        self.0[at..at + room].fill(0);
        self.put(at, text.as_bytes());
        Ok(())
    }
}
