//! Labels, the UUID, priorities of key slots, and persistent flags.

use crate::error::{Error, shown};
use crate::keyslot::Priority;
use crate::luks1::draft::Draft as Draft1;
use crate::luks2::draft::Draft;
use crate::luks2::json::Json;
use crate::luks2::keyslots;
use crate::random;
use crate::segment::ActivationFlags;
use crate::source::Storage;
use crate::volume::{Header, Volume};

impl<S: Storage> Volume<S> {
    /// Sets the label, the subsystem, or both (`config --label --subsystem`).
    ///
    /// # Errors
    /// Where it is too long, it is LUKS1, or it cannot be written.
    pub fn set_label(&mut self, label: Option<&str>, subsystem: Option<&str>) -> Result<(), Error> {
        let mut draft = self.luks2("--label")?.draft()?;
        if let Some(label) = label {
            draft.binary.label = label.into();
        }
        if let Some(subsystem) = subsystem {
            draft.binary.subsystem = subsystem.into();
        }
        self.commit(draft)
    }

    /// Sets the UUID, or a new one (`luksUUID --uuid`), and gives it.
    ///
    /// # Errors
    /// Where it is none, or it cannot be written.
    pub fn set_uuid(&mut self, uuid: Option<&str>) -> Result<String, Error> {
        let uuid = uuid.map_or_else(random::uuid, |uuid| Ok(uuid.to_owned()))?;
        if !random::is_uuid(&uuid) {
            let why = "it has 32 hexadecimal digits, in groups of 8, 4, 4, 4 and 12";
            return Err(Error::request("--uuid", shown(&uuid), why, "uuidgen makes one"));
        }
        match &self.header {
            Header::Luks1(header) => {
                let mut draft = Draft1::of(header)?;
                draft.set_uuid(&uuid)?;
                let header = draft.commit(Some(header), &mut self.source)?;
                self.header = Header::Luks1(Box::new(header));
            }
            Header::Luks2(header) => {
                let mut draft = header.draft()?;
                draft.binary.uuid = (&*uuid).into();
                self.commit(draft)?;
            }
        }
        Ok(uuid)
    }

    /// Sets the priority of a key slot (`config --priority --key-slot`).
    ///
    /// # Errors
    /// Where there is no such key slot, it is LUKS1, or it cannot be written.
    pub fn set_priority(&mut self, slot: u32, priority: Priority) -> Result<(), Error> {
        let mut draft = self.luks2("--priority")?.draft()?;
        let object = draft.section("keyslots").get_mut(&slot.to_string()).ok_or_else(|| {
            Error::request("--key-slot", slot, "it is not in use", "udm luks dump shows those that are")
        })?;
        keyslots::set_priority(object, priority);
        self.commit(draft)
    }

    /// Sets the persistent flags. Those that are not known here stay.
    ///
    /// # Errors
    /// Where it is LUKS1, or it cannot be written.
    pub fn set_flags(&mut self, flags: ActivationFlags) -> Result<(), Error> {
        let header = self.luks2("--persistent")?;
        let mut draft = header.draft()?;
        let config = draft.section("config");
        let mut words = match config.get("flags") {
            Some(Json::Array(words)) => words.clone(),
            _ => Vec::new(),
        };
        words.retain(|word| !ActivationFlags::NAMES.iter().any(|name| word.is(name)));
        words.extend(flags.names().map(Json::from));
        if words.is_empty() {
            config.remove("flags");
        } else {
            config.set("flags", Json::Array(words));
        }
        self.commit(draft)
    }

    /// Writes a header for which no key slot's material changes.
    pub(super) fn commit(&mut self, draft: Draft) -> Result<(), Error> {
        let header = draft.encode()?.write(&mut self.source)?;
        self.header = Header::Luks2(Box::new(header));
        Ok(())
    }
}
