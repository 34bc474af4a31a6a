//! A new key slot.

use super::VolumeKey;
use crate::cost::{KdfKind, KdfOptions};
use crate::digest::Digest;
use crate::error::Error;
use crate::kdf::Kdf;
use crate::keyslot::{Area, KeySlot, STRIPES, SlotOptions};
use crate::luks1::draft::Draft as Draft1;
use crate::luks1::{self, KEY_SLOTS};
use crate::luks2::draft::Draft;
use crate::luks2::keyslots::AREA_ALIGNMENT;
use crate::luks2::{self, slot_path};
use crate::source::Storage;
use crate::volume::{Header, Volume};
use udm_crypto::Hash;

impl<S: Storage> Volume<S> {
    /// Adds a key slot that `passphrase` opens to `key`, and gives its number (`luksAddKey`).
    ///
    /// # Errors
    /// Where there is no room, or it cannot be written.
    pub fn add_key(
        &mut self,
        key: &VolumeKey,
        passphrase: &[u8],
        options: &SlotOptions,
    ) -> Result<u32, Error> {
        match &self.header {
            Header::Luks1(header) => {
                let (header, slot) = add_luks1(&mut self.source, header, key, passphrase, options)?;
                self.header = Header::Luks1(Box::new(header));
                Ok(slot)
            }
            Header::Luks2(header) => {
                let mut draft = header.draft()?;
                let slot = free_slot(&mut draft, header, &key.key, options)?;
                draft.set_slot(&slot);
                draft.bind(slot.id, key.digest);
                self.commit_with(draft, &slot, passphrase, &key.key)?;
                Ok(slot.id)
            }
        }
    }

    /// Adds a key slot that holds a key of its own, which enciphers no data (`luksAddKey --unbound`).
    ///
    /// # Errors
    /// Where there is no room, it is LUKS1, or it cannot be written.
    pub fn add_unbound_key(
        &mut self,
        key: &[u8],
        passphrase: &[u8],
        options: &SlotOptions,
    ) -> Result<u32, Error> {
        let header = self.luks2("--unbound")?;
        let mut draft = header.draft()?;
        let slot = free_slot(&mut draft, header, key, options)?;
        let digest = Digest::of(key, slot.af_hash, None, options.kdf.iterations.is_none())?;
        draft.set_slot(&slot);
        let digest = draft.add_digest(&digest)?;
        draft.bind(slot.id, digest);
        self.commit_with(draft, &slot, passphrase, key)?;
        Ok(slot.id)
    }

    /// Writes the material of a new key slot, then the header that knows it.
    pub(super) fn commit_with(
        &mut self,
        draft: Draft,
        slot: &KeySlot,
        passphrase: &[u8],
        key: &[u8],
    ) -> Result<(), Error> {
        // What cannot be is found out before anything is written.
        let copies = draft.encode()?;
        store(&mut self.source, slot, passphrase, key)?;
        self.header = Header::Luks2(Box::new(copies.write(&mut self.source)?));
        Ok(())
    }
}

/// How many bytes the area of a key slot for `key` takes.
pub(super) fn area_size(key: &[u8]) -> u64 {
    ((key.len() * STRIPES) as u64).next_multiple_of(AREA_ALIGNMENT)
}

/// Makes a key slot for `key` under a free number where there is room. It is nowhere yet.
fn free_slot(
    draft: &mut Draft,
    header: &luks2::Header,
    key: &[u8],
    options: &SlotOptions,
) -> Result<KeySlot, Error> {
    let id = draft.free_slot(options.id)?;
    let offset = draft.free_area(area_size(key))?;
    new_slot(header, key, options, id, offset)
}

/// Makes key slot `id` for `key`, with its area from byte `offset` on. It is nowhere yet.
pub(super) fn new_slot(
    header: &luks2::Header,
    key: &[u8],
    options: &SlotOptions,
    id: u32,
    offset: u64,
) -> Result<KeySlot, Error> {
    // A key of another size has a cipher of its own, if any.
    let mut segments = header.metadata.segments.iter().filter_map(|entry| entry.segment.as_ref());
    let encryption = segments.next_back().map_or("", |segment| &segment.encryption);
    let (encryption, key_size) = options.area_cipher(encryption, key.len())?;
    // The splitter's hash is that of the digest, which --hash once gave both.
    let digests = header.metadata.digests.iter().filter_map(|digest| digest.digest.as_ref());
    let af_hash = digests.map(|digest| digest.hash).next().unwrap_or(Hash::Sha256);
    Ok(KeySlot {
        id,
        path: slot_path(id),
        priority: options.priority,
        key_size: key.len(),
        kdf: options.kdf.kdf(key_size)?,
        af_hash,
        stripes: STRIPES,
        area: Area { offset, size: area_size(key), encryption, key_size },
    })
}

/// Adds a key slot of LUKS1, and gives its number.
pub(super) fn add_luks1(
    storage: &mut impl Storage,
    header: &luks1::Header,
    key: &VolumeKey,
    passphrase: &[u8],
    options: &SlotOptions,
) -> Result<(luks1::Header, u32), Error> {
    let size = storage.size().map_err(Error::io("the size of the device"))?;
    let id = free_luks1(header, options.id, size)?;
    Ok((set_luks1(storage, header, id, key, passphrase, options)?, id))
}

/// Writes key slot `id` of LUKS1, which has them all, enabled or not, each with a place of its own.
pub(super) fn set_luks1(
    storage: &mut impl Storage,
    header: &luks1::Header,
    id: u32,
    key: &VolumeKey,
    passphrase: &[u8],
    options: &SlotOptions,
) -> Result<luks1::Header, Error> {
    if let KdfKind::Argon2(_) = options.kdf.kind {
        let why = "LUKS1 has PBKDF2 alone";
        return Err(Error::request("--pbkdf", "argon2", why, "leave it out, or make a LUKS2 volume"));
    }
    let kdf = KdfOptions { kind: KdfKind::Pbkdf2(header.hash), ..options.kdf };
    let mut draft = Draft1::of(header)?;
    if let Kdf::Pbkdf2 { iterations, salt, .. } = kdf.kdf(header.key_size)? {
        draft.enable(id as usize, iterations, &salt);
    }
    let next = draft.parse()?;
    for slot in next.slots.iter().flatten().filter(|slot| slot.id == id) {
        store(storage, slot, passphrase, &key.key)?;
    }
    draft.commit(Some(header), storage)
}

/// The number of a key slot of LUKS1 that is not in use, and whose area is on the device, which has `size` bytes.
pub(super) fn free_luks1(header: &luks1::Header, wanted: Option<u32>, size: u64) -> Result<u32, Error> {
    let is_free = |id: &u32| header.is_free(*id as usize) && header.area(*id as usize).end <= size;
    if let Some(id) = wanted {
        let hint = "leave it out for the first that is free";
        return match header.slots.get(id as usize) {
            Some(None) if is_free(&id) => Ok(id),
            Some(None) => {
                let why = "it is marked as neither free nor in use";
                Err(Error::request("--key-slot", id, why, hint))
            }
            Some(Some(_)) => Err(Error::request("--key-slot", id, "this key slot is in use", hint)),
            None => Err(Error::request("--key-slot", id, "key slots have the numbers 0 to 7", hint)),
        };
    }
    (0..KEY_SLOTS as u32).find(is_free).ok_or_else(|| {
        let hint = "kill a key slot that is not needed";
        Error::request("--key-slot", "not there", "all 8 are in use, or have no room on the device", hint)
    })
}

/// Writes the material of a key slot, durably. That all of it has a place is known before.
fn store(storage: &mut impl Storage, slot: &KeySlot, passphrase: &[u8], key: &[u8]) -> Result<(), Error> {
    slot.check_place(&*storage)?;
    slot.store(storage, passphrase, key)?;
    storage.sync().map_err(Error::writing("the key slot"))
}
