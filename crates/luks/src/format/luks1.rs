//! A new LUKS1 header.

use super::options::FormatOptions;
use super::{Plan, old};
use crate::cost::{KdfKind, KdfOptions};
use crate::digest::Digest;
use crate::error::Error;
use crate::kdf::Kdf;
use crate::luks1::DIGEST_SIZE;
use crate::luks1::draft::{Draft, Parts};
use crate::source::Storage;

/// Writes the header with its first key slot, and gives that one's number.
pub fn write(
    storage: &mut impl Storage,
    options: &FormatOptions,
    plan: &Plan,
    key: &[u8],
    passphrase: &[u8],
) -> Result<u32, Error> {
    let is_measured = options.slot.kdf.iterations.is_none();
    let digest = Digest::of(key, options.hash, Some(DIGEST_SIZE), is_measured)?;
    let mut draft = Draft::new(&Parts {
        encryption: &options.encryption,
        hash: options.hash,
        data_offset: plan.segment.offset,
        key_size: key.len(),
        digest: &digest,
        uuid: &plan.uuid,
        areas: (plan.areas.start, plan.area_size),
    })?;
    // One hash does everything in LUKS1.
    let kdf = KdfOptions { kind: KdfKind::Pbkdf2(options.hash), ..options.slot.kdf };
    if let Kdf::Pbkdf2 { iterations, salt, .. } = kdf.kdf(key.len())? {
        draft.enable(plan.slot as usize, iterations, &salt);
    }
    let header = draft.parse()?;
    old::wipe(storage, &plan.areas)?;
    for slot in header.slots.iter().flatten() {
        slot.store(storage, passphrase, key)?;
    }
    storage.sync().map_err(Error::writing("the key slot"))?;
    draft.commit(None, storage)?;
    Ok(plan.slot)
}
