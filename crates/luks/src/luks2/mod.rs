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
mod metadata;
pub mod segments;
pub mod tokens;

use binary::{Binary, SIZES, Which};
use copies::Copies;
pub use metadata::Metadata;

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
        let unsupported = |entry: &segments::Entry, field: &str, found: &str, why: &str, hint: &str| {
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
