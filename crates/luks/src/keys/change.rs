//! A key slot with another passphrase, or with other costs of the same one.

use super::VolumeKey;
use super::add::{add_luks1, new_slot};
use super::remove::LastKey;
use crate::error::Error;
use crate::keyslot::{KeySlot, Priority, SlotOptions};
use crate::luks2;
use crate::luks2::json::Json;
use crate::source::Storage;
use crate::volume::{Header, Volume};

impl<S: Storage> Volume<S> {
    /// Has `passphrase` open the key slot that `key` was found in, and gives its number (`luksChangeKey`,
    /// `luksConvertKey`). In LUKS1, where areas belong to numbers, that is another one. Until it is done the old passphrase
    /// opens, for some time both do.
    ///
    /// # Errors
    /// Where no other key slot is free, which is needed meanwhile, or it cannot be written.
    pub fn change_key(
        &mut self,
        key: &VolumeKey,
        passphrase: &[u8],
        options: &SlotOptions,
    ) -> Result<u32, Error> {
        let Some(old) = key.key_slot else {
            let why = "which key slot is to be changed is known by the passphrase that opens it";
            return Err(Error::request("--volume-key-file", "given", why, "add a key, and kill the other"));
        };
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
                let mut slot = new_slot(&mut draft, header, &key.key, &options)?;
                let spare = std::mem::replace(&mut slot.id, old);
                slot.path = luks2::slot_path(old);
                slot.priority = priority(header, old);
                // The old slot goes on under the free number, until it is killed.
                let was = draft.section("keyslots").get(&old.to_string()).cloned();
                draft.section("keyslots").set(&spare.to_string(), was.unwrap_or(Json::Null));
                draft.bind(spare, key.digest);
                draft.set_slot(&slot);
                self.commit_with(draft, &slot, passphrase, &key.key)?;
                self.kill_slot(spare, LastKey::Stays)?;
                Ok(old)
            }
        }
    }
}

fn priority(header: &luks2::Header, id: u32) -> Priority {
    let slot = header.metadata.slots.iter().find(|(slot, _)| *slot == id);
    slot.and_then(|(_, slot)| slot.key()).map_or(Priority::Normal, |slot: &KeySlot| slot.priority)
}
