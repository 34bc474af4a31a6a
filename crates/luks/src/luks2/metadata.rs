//! The metadata of a LUKS2 header, as a whole.

use super::config::Config;
use super::digests::{self, KeyDigest};
use super::field::Field;
use super::json::Json;
use super::keyslots::{self, Slot};
use super::segments::{self, Entry};
use super::tokens::{self, Token};
use crate::error::{Error, Finding};

/// What the metadata say.
#[derive(Clone, PartialEq, Debug)]
pub struct Metadata {
    /// All of it, as it is written.
    pub json: Json,
    /// The key slots by their numbers.
    pub slots: Vec<(u32, Slot)>,
    /// The segments.
    pub segments: Vec<Entry>,
    /// The digests.
    pub digests: Vec<KeyDigest>,
    /// The tokens.
    pub tokens: Vec<Token>,
    /// The rest.
    pub config: Config,
}

impl Metadata {
    /// Reads the metadata of a header of `header_size` bytes with its JSON area.
    ///
    /// # Errors
    /// At the first that is not as the specification has it, by its path.
    pub fn parse(text: &[u8], header_size: u64) -> Result<Self, Error> {
        let hint = "restore a backup of the header (udm luks header-restore)";
        let no_json = |why| Error::Damaged(Finding::new("JSON area", "no valid JSON", why, hint));
        if !text.starts_with(b"{") || !text.ends_with(b"}") {
            return Err(no_json("it is one object, with nothing before or behind".to_owned()));
        }
        let json = Json::parse(text).map_err(no_json)?;
        let root = Field::root(&json);
        let config = Config::read(&root.need("config")?, header_size)?;
        let areas = 2 * header_size..2 * header_size + config.keyslots_size;
        let slots = keyslots::read(&root.need("keyslots")?, &areas)?;
        let slot_ids: Vec<_> = slots.iter().map(|(id, _)| *id).collect();
        let segments = segments::read(&root.need("segments")?, areas.end)?;
        let segment_ids: Vec<_> = segments.iter().map(|entry| entry.id).collect();
        let digests = digests::read(&root.need("digests")?, &slot_ids, &segment_ids)?;
        let tokens = tokens::read(&root.need("tokens")?, &slot_ids)?;
        Ok(Self { json, slots, segments, digests, tokens, config })
    }
}
