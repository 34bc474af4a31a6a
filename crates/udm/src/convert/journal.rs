//! What is known of a conversion that was interrupted: a small file beside the destination.
//!
//! It says what is converted into what, and up to where that is durable. It has two places for that, written in turn, so
//! that one of them is whole at any moment: a line of JSON, a line with its SHA-256, empty lines. The file is made new,
//! under a name that nobody has, and never renamed over another one; what is there already is taken for a journal only if
//! it says so itself, checksum and all.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use serde_json::{Value, json};

use super::error::ConvertError;
use super::identity;
use super::lock::lock;
use crate::unfinished::{Unfinished, sync_folder};

/// The bytes of one place.
const SLOT: usize = 16 << 10;
/// What stands in each.
const FORMAT: &str = "udm convert, 2";

/// How far a conversion is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// The destination is being made. There is nothing in it.
    Making,
    /// Bytes are being copied.
    Copying,
    /// All bytes are copied, and were compared where that was asked for.
    Whole,
}

/// What is known of a conversion.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Record {
    /// What both sides are called: source, destination.
    pub(super) names: [String; 2],
    /// What they are.
    pub(super) sides: [Value; 2],
    /// How the key slot of a new volume was asked for, where one is made.
    pub(super) options: Value,
    /// The file that is replaced, where there is one.
    pub(super) replaces: Value,
    /// Whether the destination is a file that is made.
    pub(super) is_made: bool,
    pub(super) stage: Stage,
    /// All before this byte is durable.
    pub(super) position: u64,
}

/// The file, which nobody else uses.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    sequence: u64,
    pub(super) record: Record,
}

impl Journal {
    /// Makes the file at `path`.
    ///
    /// # Errors
    /// When there is something at `path`, or it cannot be written.
    pub(super) fn create(path: &Path, record: Record) -> Result<Self, ConvertError> {
        let failed = || ConvertError::file(path, "cannot be made");
        let mut text = slot(0, &record, path)?;
        text.resize(2 * SLOT, b'\n');
        let mut new = Unfinished::create(path, 0o600).map_err(failed())?;
        lock(new.file()).map_err(failed())?;
        new.file().write_all(&text).map_err(failed())?;
        let file = new.give_name(path, false).map_err(failed())?;
        // Without its name it would be of no use.
        sync_folder(path).map_err(failed())?;
        Ok(Self { path: path.into(), file, sequence: 0, record })
    }

    /// The file at `path`, where there is one.
    ///
    /// # Errors
    /// When it is something else, cannot be read, or another conversion uses it.
    pub(super) fn open(path: &Path) -> Result<Option<Self>, ConvertError> {
        let failed = || ConvertError::file(path, "cannot be read as the record of a conversion");
        let there = match fs::symlink_metadata(path) {
            Ok(there) => there,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed()(error)),
        };
        let foreign = || ConvertError::Foreign { path: path.into() };
        if !there.is_file() || there.len() != 2 * SLOT as u64 {
            return Err(foreign());
        }
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32;
        // Read first: what is somebody else's is not even opened for writing.
        let mut text = Vec::new();
        let reader = File::options().read(true).custom_flags(flags).open(path).map_err(failed())?;
        (&reader).take(2 * SLOT as u64).read_to_end(&mut text).map_err(failed())?;
        newest(&text).ok_or_else(foreign)?;
        let file = File::options().read(true).write(true).custom_flags(flags).open(path).map_err(failed())?;
        lock(&file).map_err(failed())?;
        let mut text = vec![0; 2 * SLOT];
        file.read_exact_at(&mut text, 0).map_err(failed())?;
        let (sequence, record) = newest(&text).ok_or_else(foreign)?;
        Ok(Some(Self { path: path.into(), file, sequence, record }))
    }

    /// Remembers what the record says now.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn write(&mut self) -> Result<(), ConvertError> {
        self.sequence += 1;
        let text = slot(self.sequence, &self.record, &self.path)?;
        let at = self.sequence % 2 * SLOT as u64;
        self.file
            .write_all_at(&text, at)
            .and_then(|()| self.file.sync_data())
            .map_err(ConvertError::file(&self.path, "cannot be written"))
    }

    /// Remembers that all before byte `position` is durable.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn reached(&mut self, position: u64) -> Result<(), ConvertError> {
        self.record.position = position;
        self.write()
    }

    /// Removes the file, if it is still the one at its name.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub(super) fn remove(self) -> Result<(), ConvertError> {
        remove_if(&self.path, |there| {
            let own = self.file.metadata();
            own.is_ok_and(|own| (own.dev(), own.ino()) == (there.dev(), there.ino()))
        })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Record {
    /// Removes the file that is being made, if it is this conversion's.
    pub(super) fn forget(&self, part: &Path) -> Result<(), ConvertError> {
        remove_if(part, |there| self.has_made(there))
    }

    /// Whether this conversion has made the file that is `there`. One that is empty, made a moment before that could be
    /// remembered, is its own as well: there was none before.
    pub(super) fn has_made(&self, there: &fs::Metadata) -> bool {
        let (destination, is_begun) = (&self.sides[1], self.stage == Stage::Making);
        let is_unknown = destination["inode"].is_null();
        let is_empty = there.is_file() && there.len() == 0;
        self.is_made && (identity::is_file(destination, there) || is_begun && is_unknown && is_empty)
    }
}

/// Removes a file that may be there, if `is_ours`.
fn remove_if(path: &Path, is_ours: impl FnOnce(&fs::Metadata) -> bool) -> Result<(), ConvertError> {
    match fs::symlink_metadata(path) {
        Ok(there) if is_ours(&there) => {
            fs::remove_file(path).map_err(ConvertError::file(path, "cannot be removed"))
        }
        _ => Ok(()),
    }
}

/// What one place has, whole.
fn slot(sequence: u64, record: &Record, path: &Path) -> Result<Vec<u8>, ConvertError> {
    let stage = match record.stage {
        Stage::Making => "making",
        Stage::Copying => "copying",
        Stage::Whole => "whole",
    };
    let text = json!({
        "format": FORMAT, "sequence": sequence, "position": record.position, "stage": stage,
        "names": record.names, "source": record.sides[0], "destination": record.sides[1],
        "made": record.is_made, "replaces": record.replaces, "options": record.options,
    })
    .to_string();
    let mut text = format!("{text}\n{}\n", identity::digest(&text)).into_bytes();
    if text.len() > SLOT {
        let why = "the names of both sides are too long for the record of a conversion";
        return Err(ConvertError::Request(format!("{}: {why}", path.display())));
    }
    text.resize(SLOT, b'\n');
    Ok(text)
}

/// The newest record of two places.
fn newest(text: &[u8]) -> Option<(u64, Record)> {
    text.chunks(SLOT).filter_map(parsed).max_by_key(|(sequence, _)| *sequence)
}

/// What stands in a place, where it is whole.
fn parsed(slot: &[u8]) -> Option<(u64, Record)> {
    let mut lines = std::str::from_utf8(slot).ok()?.split('\n');
    let (text, digest) = (lines.next()?, lines.next()?);
    if digest != identity::digest(text) || lines.any(|line| !line.is_empty()) {
        return None;
    }
    let mut told: Value = serde_json::from_str(text).ok()?;
    if told["format"] != FORMAT {
        return None;
    }
    let stage = match told["stage"].as_str()? {
        "making" => Stage::Making,
        "copying" => Stage::Copying,
        "whole" => Stage::Whole,
        _ => return None,
    };
    let name = |index: usize| told["names"][index].as_str().map(str::to_owned);
    let names = [name(0)?, name(1)?];
    let (sequence, position) = (told["sequence"].as_u64()?, told["position"].as_u64()?);
    let is_made = told["made"].as_bool()?;
    let [source, destination, options, replaces] =
        ["source", "destination", "options", "replaces"].map(|field| told[field].take());
    Some((
        sequence,
        Record { names, sides: [source, destination], options, replaces, is_made, stage, position },
    ))
}

/// The path with `suffix` behind its name.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(position: u64) -> Record {
        Record {
            names: ["raw:/one".into(), "/two".into()],
            sides: [json!({ "size": 7 }), json!({ "inode": 8 })],
            options: json!({ "--hash": "sha256" }),
            replaces: Value::Null,
            is_made: true,
            stage: Stage::Copying,
            position,
        }
    }

    #[test]
    fn what_was_recorded_is_found_and_something_else_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk.udm-convert");
        assert!(Journal::open(&path).unwrap().is_none());
        let mut journal = Journal::create(&path, record(0)).unwrap();
        for position in [1, 1 << 40, 3] {
            journal.reached(position).unwrap();
            drop(journal);
            journal = Journal::open(&path).unwrap().unwrap();
            assert_eq!(journal.record, record(position));
        }
        assert!(Journal::create(&path, record(0)).is_err(), "it took another's place");
        // Nothing but the file itself was left on the way.
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        journal.remove().unwrap();
        assert!(Journal::open(&path).unwrap().is_none());
        for other in ["", "{}", "{\"format\": \"udm convert, 2\", \"position\": 1}", "disk"] {
            for len in [other.len(), 2 * SLOT] {
                let mut text = other.as_bytes().to_vec();
                text.resize(len, b'\n');
                fs::write(&path, text).unwrap();
                let told = Journal::open(&path).unwrap_err().to_string();
                assert!(told.contains("no record of a conversion"), "{told}");
            }
        }
    }

    /// A power cut within a write: the place that was being written is torn anywhere, and the other one counts.
    #[test]
    fn a_torn_write_leaves_the_record_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let mut journal = Journal::create(&path, record(0)).unwrap();
        journal.reached(512).unwrap();
        let before = fs::read(&path).unwrap();
        journal.reached(1024).unwrap();
        let after = fs::read(&path).unwrap();
        drop(journal);
        let text_len = before.iter().position(|byte| *byte == b'\n').unwrap() + 65;
        for cut in (0..text_len).step_by(7) {
            let mut torn = before.clone();
            torn[..cut].copy_from_slice(&after[..cut]);
            fs::write(&path, &torn).unwrap();
            let found = Journal::open(&path).unwrap().unwrap().record.position;
            // A cut before the first byte that differs is the record before that.
            assert!(found == 512, "cut at {cut}: {found}");
        }
        // The bad twin: all of it came.
        fs::write(&path, &after).unwrap();
        assert_eq!(Journal::open(&path).unwrap().unwrap().record.position, 1024);
    }

    #[test]
    fn links_and_folders_are_no_journals() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("journal"), folder.path().join("link"));
        drop(Journal::create(&path, record(0)).unwrap());
        std::os::unix::fs::symlink(&path, &link).unwrap();
        for other in [&link, folder.path()] {
            let told = Journal::open(other).unwrap_err().to_string();
            assert!(told.contains("no record of a conversion"), "{told}");
        }
    }
}
