//! Key slots that go: their material is overwritten before the header forgets where it is.

use std::ops::Range;

use crate::error::Error;
use crate::keyslot::KeySlot;
use crate::luks1::draft::Draft as Draft1;
use crate::luks2;
use crate::luks2::keyslots::{self, Slot};
use crate::source::{ReadAt, Storage};
use crate::volume::{Header, Volume};
use crate::wipe;

/// What is done with the last key of the data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LastKey {
    /// It stays: to remove it is refused.
    Stays,
    /// It goes too. Then nobody gets at the data any more, but with a backup of the header.
    MayGo,
}

impl<S: ReadAt> Volume<S> {
    /// Checks that key slot `slot` is in use.
    ///
    /// # Errors
    /// Where it is not.
    pub fn check_in_use(&self, slot: u32) -> Result<(), Error> {
        if self.key_slots().contains(&slot) { Ok(()) } else { Err(not_in_use(slot)) }
    }

    /// Whether key slot `slot` is the last one that opens the data.
    pub fn is_last_key(&self, slot: u32) -> bool {
        let opening: Vec<_> = match &self.header {
            Header::Luks1(header) => header.slots.iter().flatten().map(|slot| slot.id).collect(),
            Header::Luks2(header) => {
                let digests = header.metadata.digests.iter().filter(|digest| !digest.segments.is_empty());
                digests.flat_map(|digest| digest.key_slots.iter().copied()).collect()
            }
        };
        opening == [slot]
    }
}

impl<S: Storage> Volume<S> {
    /// Destroys key slot `slot` (`luksKillSlot`, `luksRemoveKey`).
    ///
    /// # Errors
    /// Where it is not in use, or the last key, which stays; or it cannot be written.
    pub fn kill_slot(&mut self, slot: u32, last: LastKey) -> Result<(), Error> {
        if self.is_last_key(slot) && last == LastKey::Stays {
            let why = "it is the last one that opens the data, which nobody could get at any more";
            return Err(Error::request("--key-slot", slot, why, "add another key first"));
        }
        self.destroy(&[slot])
    }

    /// Destroys all key slots (`luksErase`).
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn erase(&mut self) -> Result<(), Error> {
        self.destroy(&self.key_slots())
    }

    fn destroy(&mut self, slots: &[u32]) -> Result<(), Error> {
        match &self.header {
            Header::Luks1(header) => {
                let mut draft = Draft1::of(header)?;
                let mut areas = Vec::new();
                for id in slots {
                    let slot = header.slots.get(*id as usize).and_then(Option::as_ref);
                    areas.push(slot.ok_or_else(|| not_in_use(*id))?.area_range());
                    draft.disable(*id as usize);
                }
                overwrite(&mut self.source, &areas)?;
                let header = draft.commit(Some(header), &mut self.source)?;
                self.header = Header::Luks1(Box::new(header));
            }
            Header::Luks2(header) => {
                // As in cryptsetup, a requirement or a damaged copy does not keep anybody from destroying a key.
                let mut draft = header.draft_unchecked();
                let mut areas = Vec::new();
                for id in slots {
                    areas.extend(area(header, *id)?);
                    draft.remove_slot(*id);
                }
                let (copies, used) = (draft.encode()?, header.copies.used);
                overwrite(&mut self.source, &areas)?;
                self.header = Header::Luks2(Box::new(copies.write_last(&mut self.source, used)?));
            }
        }
        Ok(())
    }
}

/// Where the material of key slot `id` is; nowhere, where it is of a type that has none.
pub(super) fn area(header: &luks2::Header, id: u32) -> Result<Option<Range<u64>>, Error> {
    match header.metadata.slots.iter().find(|(slot, _)| *slot == id) {
        None => Err(not_in_use(id)),
        Some((_, Slot::Key(slot))) => Ok(Some(KeySlot::area_range(slot))),
        Some((_, Slot::Unsupported(_) | Slot::Reencrypt | Slot::Other(_))) => {
            let object = header.metadata.json.get("keyslots").and_then(|slots| slots.get(&id.to_string()));
            Ok(object.and_then(keyslots::area_of))
        }
    }
}

pub(super) fn overwrite(storage: &mut impl Storage, areas: &[Range<u64>]) -> Result<(), Error> {
    let size = storage.size().map_err(Error::io("the size of the device"))?;
    for area in areas {
        // Of a header that is longer than its file there is nothing to overwrite behind the end.
        wipe::overwrite(storage, area.start.min(size)..area.end.min(size))?;
    }
    storage.sync().map_err(Error::writing("over key material"))
}

fn not_in_use(slot: u32) -> Error {
    Error::request("--key-slot", slot, "it is not in use", "udm luks dump shows those that are")
}
