//! A LUKS2 header that is being changed. What is not known here stays as it is: the metadata are changed as JSON, and read
//! again before they are written.

use std::ops::Range;

use super::binary::Binary;
use super::commit::EncodedHeader;
use super::json::Json;
use super::{Header, digests, keyslots, tokens};
use crate::digest::Digest;
use crate::error::{Error, Finding, shown};
use crate::keyslot::KeySlot;

/// The next header.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The binary header.
    pub binary: Binary,
    json: Json,
    /// Where areas of key slots may be.
    place: Range<u64>,
}

impl Header {
    /// Whether the header may be changed.
    ///
    /// # Errors
    /// Where a reader must know what is not known here, or the copies are not both whole and the same: the one that is
    /// would be overwritten, too.
    pub fn check_writable(&self) -> Result<(), Error> {
        if let Some(name) = self.metadata.config.requirements.first() {
            let (why, hint) = super::config::refusal(name);
            return Err(Error::Unsupported(Finding::new(
                "config.requirements.mandatory.0",
                shown(name),
                why,
                hint,
            )));
        }
        self.copies.check()
    }

    /// The same header, to be changed.
    ///
    /// # Errors
    /// Those of [`check_writable`](Self::check_writable).
    pub(crate) fn draft(&self) -> Result<Draft, Error> {
        self.check_writable()?;
        Ok(self.draft_unchecked())
    }

    /// The same, whatever the copies are: to repair them.
    pub(crate) fn draft_unchecked(&self) -> Draft {
        let place = 2 * self.binary.header_size..self.end();
        Draft { binary: self.binary.clone(), json: self.metadata.json.clone(), place }
    }
}

impl Draft {
    /// The copies of it, ready to be written.
    ///
    /// # Errors
    /// Where it does not fit, or would be one that is not read again.
    pub fn encode(self) -> Result<EncodedHeader, Error> {
        EncodedHeader::encode(self.binary, &self.json)
    }

    /// An object of the metadata, such as `keyslots`, which was there when they were read.
    pub fn section(&mut self, name: &str) -> &mut Json {
        self.json.get_mut(name).expect("metadata without it are not read")
    }

    /// The number of a new key slot: `wanted`, or the first that is free.
    ///
    /// # Errors
    /// Where there is none.
    pub fn free_slot(&mut self, wanted: Option<u32>) -> Result<u32, Error> {
        free(self.section("keyslots"), keyslots::MAX_SLOTS, wanted, "--key-slot", "key slot")
    }

    /// The number of a new token.
    ///
    /// # Errors
    /// Where there is none.
    pub fn free_token(&mut self, wanted: Option<u32>) -> Result<u32, Error> {
        free(self.section("tokens"), tokens::MAX_TOKENS, wanted, "--token-id", "token")
    }

    /// Where `size` bytes are free for an area: the first place.
    ///
    /// # Errors
    /// Where there is none.
    pub fn free_area(&mut self, size: u64) -> Result<u64, Error> {
        let mut areas = keyslots::areas(self.section("keyslots"));
        areas.sort_by_key(|area| area.start);
        let mut at = self.place.start;
        for area in areas {
            if area.start.saturating_sub(at) >= size {
                return Ok(at);
            }
            at = at.max(area.end);
        }
        if self.place.end.saturating_sub(at) >= size {
            return Ok(at);
        }
        let (found, why) = (
            format!("{} bytes", self.place.end - self.place.start),
            format!("it has no room for {size} more"),
        );
        Err(Error::request("config.keyslots_size", found, why, "kill a key slot that is not needed"))
    }

    /// Sets key slot `slot`. Of one that is there, what is not known here stays.
    pub fn set_slot(&mut self, slot: &KeySlot) {
        let (name, object) = (slot.id.to_string(), keyslots::write(slot));
        let slots = self.section("keyslots");
        match (slots.get_mut(&name), object) {
            (Some(old), Json::Object(members)) => {
                for (name, value) in members {
                    old.set(&name.lossy(), value);
                }
            }
            (_, object) => slots.set(&name, object),
        }
    }

    /// Says that key slot `slot` holds the key of `digest`.
    pub fn bind(&mut self, slot: u32, digest: u32) {
        let digest = self.section("digests").get_mut(&digest.to_string());
        if let Some(Json::Array(slots)) = digest.and_then(|digest| digest.get_mut("keyslots")) {
            slots.push(Json::long(slot.into()));
        }
    }

    /// A new digest, of a key that is bound to no data.
    ///
    /// # Errors
    /// Where there are as many as there may be.
    pub fn add_digest(&mut self, digest: &Digest) -> Result<u32, Error> {
        let id = free(self.section("digests"), digests::MAX_DIGESTS, None, "digests", "digest")?;
        self.section("digests").set(&id.to_string(), digests::write(digest, &[], &[]));
        Ok(id)
    }

    /// Takes key slot `slot` out, and whatever refers to it; a digest that is of nothing then, too.
    pub fn remove_slot(&mut self, slot: u32) {
        let name = slot.to_string();
        self.section("keyslots").remove(&name);
        let is_other = |item: &Json| !item.is(&name);
        for section in ["digests", "tokens"] {
            let Json::Object(members) = self.section(section) else { continue };
            for (_, member) in members {
                if let Some(Json::Array(slots)) = member.get_mut("keyslots") {
                    slots.retain(is_other);
                }
            }
        }
        let is_empty = |digest: &Json, name: &str| match digest.get(name) {
            Some(Json::Array(items)) => items.is_empty(),
            _ => false,
        };
        if let Json::Object(digests) = self.section("digests") {
            digests.retain(|(_, digest)| !is_empty(digest, "keyslots") || !is_empty(digest, "segments"));
        }
    }
}

/// A number below `limit` that no member of `object` has.
fn free(object: &Json, limit: u32, wanted: Option<u32>, field: &str, what: &str) -> Result<u32, Error> {
    let is_free = |number: &u32| object.get(&number.to_string()).is_none();
    match wanted {
        Some(number) if number >= limit => {
            let why = format!("{what}s have the numbers 0 to {}", limit - 1);
            Err(Error::request(field, number, why, "leave it out for the first that is free"))
        }
        Some(number) if !is_free(&number) => {
            let hint = "choose another, or leave it out for the first that is free";
            Err(Error::request(field, number, format!("this {what} is in use"), hint))
        }
        Some(number) => Ok(number),
        None => (0..limit).find(is_free).ok_or_else(|| {
            let why = format!("all {limit} are in use");
            Error::request(field, "not there", why, format!("remove a {what} that is not needed"))
        }),
    }
}
