//! A new LUKS2 header.

use super::options::FormatOptions;
use super::{Plan, old};
use crate::digest::Digest;
use crate::error::Error;
use crate::keyslot::{Area, KeySlot, STRIPES};
use crate::luks2::binary::Binary;
use crate::luks2::json::Json;
use crate::luks2::{self, commit, config, digests, keyslots, segments};
use crate::source::Storage;

/// Writes the header with its first key slot, and gives that one's number.
pub fn write(
    storage: &mut impl Storage,
    options: &FormatOptions,
    plan: &Plan,
    key: &[u8],
    passphrase: &[u8],
) -> Result<u32, Error> {
    let slot = KeySlot {
        id: plan.slot,
        path: luks2::slot_path(plan.slot),
        priority: options.slot.priority,
        key_size: key.len(),
        kdf: options.slot.kdf.kdf(plan.area_cipher.1)?,
        af_hash: options.hash,
        stripes: STRIPES,
        area: Area {
            offset: plan.areas.start,
            size: plan.area_size,
            encryption: plan.area_cipher.0.clone(),
            key_size: plan.area_cipher.1,
        },
    };
    let digest = Digest::of(key, options.hash, None, options.slot.kdf.iterations.is_none())?;
    let binary = Binary {
        header_size: options.metadata_size,
        sequence: 0,
        label: (&*options.label).into(),
        subsystem: (&*options.subsystem).into(),
        checksum: udm_crypto::Hash::Sha256,
        uuid: (&*plan.uuid).into(),
    };
    // What cannot be is found out before anything is destroyed.
    let copies = commit::EncodedHeader::encode(binary, &json(plan, &slot, &digest))?;
    old::wipe(storage, &plan.areas)?;
    slot.store(storage, passphrase, key)?;
    storage.sync().map_err(Error::writing("the key slot"))?;
    copies.write(storage)?;
    Ok(plan.slot)
}

fn json(plan: &Plan, slot: &KeySlot, digest: &Digest) -> Json {
    let numbered = |number: u32, value| Json::Object(vec![((&*number.to_string()).into(), value)]);
    Json::object([
        ("keyslots", numbered(slot.id, keyslots::write(slot))),
        ("tokens", Json::Object(Vec::new())),
        ("segments", numbered(0, segments::write(&plan.segment))),
        ("digests", numbered(0, digests::write(digest, &[slot.id], &[0]))),
        ("config", config::write(plan.areas.start / 2, plan.areas.end - plan.areas.start)),
    ])
}
