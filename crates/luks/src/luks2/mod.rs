//! The header of LUKS2: two copies of a binary header with metadata in JSON, and behind them the areas of the key slots
//! (LUKS2 On-Disk Format Specification 1.1.4, section 2).
//!
//! - [`binary`] reads a copy, and checks that it is whole.
//! - [`json`] and `field` read the metadata, and name what is wrong in them.
//! - `draft` is a header that is being changed; `commit` writes both copies, so that one of them is whole at any time.
//! - [`keyslots`], [`segments`], [`digests`], [`tokens`] and [`config`] are its objects, a file each.
//!
//! Of the 83 headers of cryptsetup's `luks2-validation-test` (2.6.1), all but a few get the same verdict here; docs/differences.md
//! lists those.

pub mod binary;
pub(crate) mod commit;
pub mod config;
pub mod copies;
pub mod digests;
pub(crate) mod draft;
mod field;
pub mod json;
pub mod keyslots;
pub mod segments;
pub mod tokens;

use binary::{Binary, SIZES, Which};
use config::Config;
use copies::Copies;
use digests::KeyDigest;
use field::Field;
use json::Json;
use keyslots::Slot;
use segments::Entry;
use tokens::Token;

use crate::error::{Error, Finding};
use crate::segment::Segment;
use crate::source::ReadAt;

/// A LUKS2 header.
#[derive(Clone, PartialEq, Debug)]
pub struct Header {
    /// The binary header.
    pub binary: Binary,
    /// What its metadata say.
    pub metadata: Metadata,
    /// Which of the copies was read, and how the other one is.
    pub copies: Copies,
}

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

impl Header {
    /// Reads both copies, and takes the newer one that is whole.
    ///
    /// # Errors
    /// What is wrong with the first copy where neither is whole, and [`Error::NoHeader`] where there is none.
    pub fn read(source: &(impl ReadAt + ?Sized)) -> Result<Self, Error> {
        let first = copy(source, Which::Primary, 0);
        let second = match &first {
            Ok((binary, _)) => copy(source, Which::Secondary, binary.header_size),
            Err(Error::Io { .. }) => return Err(first.expect_err("it is one")),
            Err(_) => find_second(source),
        };
        let mut copies = Copies::of(&first, &second);
        if !copies.is_whole() && copies.difference.is_none() {
            copies.foreign = copies::foreign_signature(source)?;
        }
        let (binary, metadata) = match (first, second) {
            (Ok(_), Ok(second)) if copies.used == Which::Secondary => second,
            (Ok(first), _) => first,
            (Err(_), Ok(second)) => second,
            (Err(Error::NoHeader), Err(error)) | (Err(error), Err(_)) => return Err(error),
        };
        Ok(Self { binary, metadata, copies })
    }

    /// Where the areas of key slots end, and data of the same device may begin.
    pub fn end(&self) -> u64 {
        2 * self.binary.header_size + self.metadata.config.keyslots_size
    }

    /// The segment of the data, with its number.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where the volume needs what is not done here.
    pub fn data(&self) -> Result<(u32, &Segment), Error> {
        let metadata = &self.metadata;
        if let Some((index, name)) = metadata.config.requirements.iter().enumerate().next() {
            let (why, hint) = config::refusal(name);
            let field = format!("config.requirements.mandatory.{index}");
            return Err(Error::Unsupported(Finding::new(field, crate::error::shown(name), why, hint)));
        }
        let unsupported = |entry: &Entry, field: &str, found: &str, why: &str, hint: &str| {
            let field = format!("segments.{}{field}", entry.id);
            Err(Error::Unsupported(Finding::new(field, crate::error::shown(found), why, hint)))
        };
        let active: Vec<_> = metadata.segments.iter().filter(|entry| entry.is_active()).collect();
        let [entry] = active[..] else {
            let (found, why) =
                (format!("{} segments", active.len()), "a volume has one, unless it is reencrypted");
            return Err(Error::Unsupported(Finding::new("segments", found, why, segments::FINISH)));
        };
        if let Some(flag) = entry.flags.iter().find(|flag| *flag == "in-reencryption") {
            return unsupported(entry, ".flags", flag, "a reencryption is under way", segments::FINISH);
        }
        if let Some(integrity) = &entry.integrity {
            let why = "udm does not have authenticated encryption and dm-integrity yet";
            return unsupported(entry, ".integrity.type", integrity, why, "open it with cryptsetup");
        }
        match &entry.segment {
            Some(segment) => Ok((entry.id, segment)),
            None => unsupported(
                entry,
                ".type",
                &entry.kind,
                "udm reads crypt segments alone",
                "open it with cryptsetup",
            ),
        }
    }
}

/// Where the metadata have key slot `id`.
pub(crate) fn slot_path(id: u32) -> String {
    format!("keyslots.{id}")
}

/// Reads the copy at `offset`, with its metadata.
fn copy(source: &(impl ReadAt + ?Sized), which: Which, offset: u64) -> Result<(Binary, Metadata), Error> {
    let (binary, text) = Binary::read(source, which, offset)?;
    let metadata = Metadata::parse(&text, binary.header_size)?;
    Ok((binary, metadata))
}

/// Looks for the second copy at every place that it can be at.
fn find_second(source: &(impl ReadAt + ?Sized)) -> Result<(Binary, Metadata), Error> {
    let mut result = Err(Error::NoHeader);
    for offset in SIZES {
        match copy(source, Which::Secondary, offset) {
            Err(Error::NoHeader) => {}
            found @ Ok(_) => return found,
            damaged => result = damaged,
        }
    }
    result
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
