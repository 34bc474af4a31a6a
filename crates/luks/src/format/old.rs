//! What was on the device before: wiped so that no program finds it, and no key of it can be had from what is left.

use std::ops::Range;

use crate::error::Error;
use crate::luks2::binary::{BINARY_SIZE, SECOND_MAGIC, SIZES};
use crate::luks2::keyslots;
use crate::source::{ReadAt, Storage};
use crate::volume::{Header, HeaderPlace, Volume};
use crate::wipe;

/// Wipes the headers that are there, then the material of their key slots, then all up to the end of `areas`, which are
/// filled up with randomness. From the first sync on nothing opens; with the last one all is durable.
///
/// # Errors
/// Where it cannot be written.
pub fn wipe(storage: &mut impl Storage, areas: &Range<u64>) -> Result<(), Error> {
    let size = storage.size().map_err(Error::io("the size of the device"))?;
    let material = material(&*storage, size);
    for at in headers(&*storage, size)? {
        wipe::clear(storage, at..at + BINARY_SIZE as u64)?;
    }
    storage.sync().map_err(Error::writing("over old headers"))?;
    for range in material {
        wipe::overwrite_used(storage, range)?;
    }
    wipe::clear(storage, 0..areas.start)?;
    wipe::overwrite_used(storage, areas.clone())?;
    storage.sync().map_err(Error::writing("over old key slots"))
}

/// Where a header begins, or may begin: the beginning, and each place where a reader would look for a second copy.
fn headers(storage: &impl ReadAt, size: u64) -> Result<Vec<u64>, Error> {
    let mut found = vec![0];
    for at in SIZES.into_iter().filter(|at| at + BINARY_SIZE as u64 <= size) {
        let mut magic = [0; SECOND_MAGIC.len()];
        storage.read_at(at, &mut magic).map_err(Error::io("old headers"))?;
        if magic == SECOND_MAGIC {
            found.push(at);
        }
    }
    Ok(found)
}

/// The areas of the key slots of the volume that was there, as far as its header can be read.
fn material(storage: &impl ReadAt, size: u64) -> Vec<Range<u64>> {
    let Ok(volume) = Volume::open(storage, HeaderPlace::Detached) else { return Vec::new() };
    let areas = match volume.header() {
        Header::Luks1(header) => {
            header.slots.iter().flatten().map(crate::keyslot::KeySlot::area_range).collect()
        }
        Header::Luks2(header) => {
            header.metadata.json.get("keyslots").map(keyslots::areas).unwrap_or_default()
        }
    };
    // A header may say anything.
    areas.into_iter().filter(|area: &Range<u64>| area.end <= size).collect()
}
