//! A key slot with another passphrase, or with other costs of the same one.

use super::VolumeKey;
use super::add::{add_luks1, area_size, free_luks1, new_slot, set_luks1};
use super::remove::{LastKey, area, overwrite};
use crate::error::Error;
use crate::keyslot::{KeySlot, Priority, SlotOptions};
use crate::luks2;
use crate::luks2::json::Json;
use crate::source::{ReadAt, Storage};
use crate::volume::{Header, Volume};

impl<S: ReadAt> Volume<S> {
    /// Whether there is room for the new material of a key slot that [`change_key`](Self::change_key) changes. Where there
    /// is none, [`change_key_in_place`](Self::change_key_in_place) does it.
    ///
    /// # Errors
    /// Where the size of the device cannot be found out, or the header may not be changed.
    pub fn has_room_to_change(&self, key: &VolumeKey) -> Result<bool, Error> {
        match &self.header {
            Header::Luks1(header) => {
                let size = self.source.size().map_err(Error::io("the size of the device"))?;
                Ok(free_luks1(header, None, size).is_ok())
            }
            Header::Luks2(header) => Ok(header.draft()?.free_area(area_size(&key.key)).is_ok()),
        }
    }
}

impl<S: Storage> Volume<S> {
    /// Has `passphrase` open the key slot that `key` was found in, and gives its number (`luksChangeKey`,
    /// `luksConvertKey`). In LUKS1, where areas belong to numbers, that is another one. Until it is done the old passphrase
    /// opens, for some time both do.
    ///
    /// # Errors
    /// Where there is no room for the new material beside the old one, or it cannot be written.
    pub fn change_key(
        &mut self,
        key: &VolumeKey,
        passphrase: &[u8],
        options: &SlotOptions,
    ) -> Result<u32, Error> {
        let old = slot_of(key)?;
        let options = SlotOptions { id: None, ..options.clone() };
        match &self.header {
            Header::Luks1(header) => {
                let (header, slot) = add_luks1(&mut self.source, header, key, passphrase, &options)?;
                self.header = Header::Luks1(Box::new(header));
                self.kill_slot(old, LastKey::Stays)?;
                Ok(slot)
            }
            Header::Luks2(header) => {
                let mut draft = header.draft()?;
                let offset = draft.free_area(area_size(&key.key))?;
                let slot = KeySlot {
                    priority: priority(header, old),
                    ..new_slot(header, &key.key, &options, old, offset)?
                };
                let old_area = area(header, old)?;
                // The old slot goes on under a free number, until it is killed.
                let spare = draft.free_slot(None).ok();
                if let Some(spare) = spare {
                    let was = draft.section("keyslots").get(&old.to_string()).cloned();
                    draft.section("keyslots").set(&spare.to_string(), was.unwrap_or(Json::Null));
                    draft.bind(spare, key.digest);
                }
                draft.set_slot(&slot);
                self.commit_with(draft, &slot, passphrase, &key.key)?;
                match spare {
                    Some(spare) => self.kill_slot(spare, LastKey::Stays)?,
                    // All numbers are in use: only then is old material forgotten before it is overwritten.
                    None => overwrite(&mut self.source, old_area.as_slice())?,
                }
                Ok(old)
            }
        }
    }

    /// The same where there is no room for the new material: it goes over the old one.
    ///
    /// When the power fails meanwhile, neither passphrase opens this key slot. So the caller keeps a
    /// [backup](Self::back_up) of the header that outlives a power cut until this has returned.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn change_key_in_place(
        &mut self,
        key: &VolumeKey,
        passphrase: &[u8],
        options: &SlotOptions,
    ) -> Result<u32, Error> {
        let id = slot_of(key)?;
        match &self.header {
            Header::Luks1(header) => {
                let header = set_luks1(&mut self.source, header, id, key, passphrase, options)?;
                self.header = Header::Luks1(Box::new(header));
            }
            Header::Luks2(header) => {
                let mut draft = header.draft()?;
                let place = area(header, id)?.unwrap_or_default();
                if place.end - place.start < area_size(&key.key) {
                    let found = format!("{} bytes", place.end - place.start);
                    let why = "its area is too small for the key";
                    let hint = "add a key, and kill this key slot";
                    return Err(Error::request(format!("keyslots.{id}.area.size"), found, why, hint));
                }
                let slot = KeySlot {
                    priority: priority(header, id),
                    ..new_slot(header, &key.key, options, id, place.start)?
                };
                draft.set_slot(&slot);
                self.commit_with(draft, &slot, passphrase, &key.key)?;
            }
        }
        Ok(id)
    }
}

/// The key slot that is to be changed.
fn slot_of(key: &VolumeKey) -> Result<u32, Error> {
    key.key_slot.ok_or_else(|| {
        let why = "which key slot is to be changed is known by the passphrase that opens it";
        Error::request("--volume-key-file", "given", why, "add a key, and kill the other")
    })
}

fn priority(header: &luks2::Header, id: u32) -> Priority {
    let slot = header.metadata.slots.iter().find(|(slot, _)| *slot == id);
    slot.and_then(|(_, slot)| slot.key()).map_or(Priority::Normal, |slot: &KeySlot| slot.priority)
}
