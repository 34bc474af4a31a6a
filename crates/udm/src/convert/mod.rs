//! Conversion: the bytes of one device become those of another, which may be encrypted otherwise or not at all.
//!
//! * `source`, `destination`: the two sides, and what identifies them.
//! * `plan`: which piece of the source is next; `runs`: where in a piece there are zeros.
//! * `copy`: many pieces on their way at once.
//! * `journal`: what is remembered of a conversion, so that it can go on after it was interrupted.
//! * `progress`: what a person sees, and what stops it.
//! * `volume`: a LUKS volume that is made.
//! * `verify`: both sides read again and compared.

mod copy;
mod destination;
mod error;
mod journal;
mod plan;
mod progress;
mod runs;
mod source;
mod verify;
mod volume;

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use copy::Copy;
use destination::{Destination, Made, Opening};
pub(crate) use error::ConvertError;
use journal::{Found, Journal, beside};
use plan::Plan;
use progress::Progress;
pub(crate) use source::Name;
use source::Source;
pub(crate) use volume::NewVolume;

use crate::device::DeviceOptions;
use crate::luks::Unlocking;

/// Behind the destination's name, the file that remembers how far a conversion is.
const JOURNAL: &str = ".udm-convert";

/// What is to be converted into what, and how.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) source: Name,
    pub(crate) destination: Name,
    /// How both sides are opened.
    pub(crate) options: DeviceOptions,
    /// How each side is unlocked.
    pub(crate) source_unlocking: Unlocking,
    pub(crate) destination_unlocking: Unlocking,
    /// The volume that is made, where the destination is to be one.
    pub(crate) volume: NewVolume,
    pub(crate) existing: Existing,
    pub(crate) interrupted: Interrupted,
    /// Both sides are read again and compared.
    pub(crate) verify: bool,
    /// The fewest zeros in a row that a plain destination does not get as data, in bytes; 0 for never.
    pub(crate) sparse: usize,
    /// How many bytes may be lost when it is interrupted.
    pub(crate) interval: u64,
    /// Where it is remembered how far it is, where not beside the destination.
    pub(crate) journal: Option<PathBuf>,
    /// A person watches.
    pub(crate) shows_progress: bool,
}

/// What becomes of what is at the destination.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Existing {
    /// It stays, and nothing is converted.
    Refuse,
    /// It is lost.
    Replace,
    /// It is kept but for its bytes, and must be there.
    Keep,
}

/// What becomes of a conversion to the same destination that was interrupted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Interrupted {
    /// It stays as it is, and nothing is converted.
    Refuse,
    /// It is lost.
    Forget,
    /// It goes on.
    GoOn,
}

/// What came of a conversion.
#[derive(Clone, Default, Debug)]
pub(crate) struct Outcome {
    /// How many bytes the destination has of the source.
    pub(crate) size: u64,
    /// Where it went on.
    pub(crate) begin: u64,
    /// How many bytes were read, written, and left out as zeros.
    pub(crate) read: u64,
    pub(crate) written: u64,
    pub(crate) zeros: u64,
    /// How long the copy took, flushed.
    pub(crate) time: Duration,
    /// The SHA-256 of what both sides have, where they were compared.
    pub(crate) sha256: Option<String>,
}

/// Whether the destination is made.
enum Place {
    Made(Made),
    Existing,
}

/// Converts.
///
/// # Errors
/// When the request is wrong, in which case nothing was written; when an I/O fails, or the user stops it, and it can go on.
pub(crate) fn convert(job: &Job) -> Result<Outcome, ConvertError> {
    let path = job.journal_path();
    let found = match job.interrupted {
        Interrupted::Forget => None,
        _ => path.as_deref().map_or(Ok(None), Journal::find)?,
    };
    if let (Some(_), Some(path), Interrupted::Refuse) = (&found, &path, job.interrupted) {
        return Err(ConvertError::Request(format!(
            "{} is of a conversion that was interrupted: --resume goes on with it, --force begins anew",
            path.display()
        )));
    }
    let place = job.place(found.as_ref())?;
    if let (Place::Made(made), Some(found), Some(path)) = (&place, &found, &path)
        && !made.part.exists()
    {
        return finished(made, found, path);
    }
    let source = Source::open(&job.source, &job.options, &job.source_unlocking)?;
    let destination = job.destination(&place, &source, found.is_some())?;
    let identity = json!({ "source": source.identity, "destination": destination.identity });
    let begin = match (&found, &path) {
        (Some(found), Some(path)) => {
            found.check(&identity, path)?;
            found.position.min(source.size())
        }
        _ => 0,
    };
    let journal = path.map(|path| Journal::new(path, identity));
    if let Some(journal) = &journal {
        journal.record(begin)?;
    }
    let stops = progress::stop_flag()?;
    let mut outcome = job.copy(&source, &destination, journal.as_ref(), begin, &stops)?;
    if job.verify {
        outcome.sha256 = Some(job.compare(&source, &destination, &stops)?);
    }
    drop(destination);
    if let Place::Made(made) = &place {
        made.finish()?;
    }
    journal.map_or(Ok(()), Journal::remove)?;
    Ok(outcome)
}

impl Job {
    /// Where it is remembered how far it is: beside the destination, where that is a file.
    fn journal_path(&self) -> Option<PathBuf> {
        let beside_it = || {
            let path = self.destination.path()?;
            let is_device = fs::metadata(path).is_ok_and(|found| !found.is_file());
            (!is_device).then(|| beside(&Made::at(path).path, JOURNAL))
        };
        self.journal.clone().or_else(beside_it)
    }

    /// Whether the destination is to be made: nothing is touched yet.
    fn place(&self, found: Option<&Found>) -> Result<Place, ConvertError> {
        let refuse = |why: &str, hint: &str| {
            let name = match &self.destination {
                Name::Raw(name) | Name::Luks(name) | Name::Nbd(name) => name,
                Name::Table(_) => "a table",
            };
            Err(ConvertError::Request(format!("{name} {why}; {hint}")))
        };
        let into = "--no-create writes into it";
        let Some(path) = self.destination.path() else {
            return match self.existing {
                Existing::Refuse => refuse("is there already", into),
                _ => Ok(Place::Existing),
            };
        };
        if let Some(found) = found {
            let made = found.identity["destination"]["made"] == true;
            return Ok(if made { Place::Made(Made::at(path)) } else { Place::Existing });
        }
        let made = || Ok(Place::Made(Made::at(path)));
        let there = match (fs::metadata(path), self.existing) {
            (Ok(there), _) => there,
            (Err(_), Existing::Keep) => return refuse("is not there", "it is made without --no-create"),
            (Err(_), _) => return made(),
        };
        let (is_file, is_device) = (there.is_file(), there.file_type().is_block_device());
        match self.existing {
            _ if !is_file && !is_device => {
                refuse("is neither a file nor a block device", "name one of these")
            }
            Existing::Replace if is_file => made(),
            Existing::Refuse if is_file => {
                refuse("is there already", &format!("--force replaces it, {into}"))
            }
            Existing::Refuse => refuse("is a block device, whose bytes would be lost", into),
            _ if self.is_source(&there) => refuse("is the source itself", "name another destination"),
            _ => Ok(Place::Existing),
        }
    }

    /// Whether the source is this file.
    fn is_source(&self, there: &fs::Metadata) -> bool {
        let source = self.source.path().and_then(|path| fs::metadata(path).ok());
        source.is_some_and(|source| (source.dev(), source.ino()) == (there.dev(), there.ino()))
    }

    /// Makes or opens the destination, which has room for the source.
    fn destination(
        &self,
        place: &Place,
        source: &Source,
        is_there: bool,
    ) -> Result<Destination, ConvertError> {
        let opening = Opening {
            options: &self.options,
            unlocking: &self.destination_unlocking,
            volume: &self.volume,
            sparse: self.sparse,
        };
        let mut destination = match (place, &self.destination) {
            (Place::Made(made), name) if is_there => Destination::unfinished(made, name, &opening)?,
            (Place::Made(made), name) => Destination::made(made, name, source, &opening)?,
            (Place::Existing, Name::Luks(path)) if !is_there && self.existing == Existing::Replace => {
                Destination::formatted(Path::new(path), source, &opening)?
            }
            (Place::Existing, name) => Destination::existing(name, &opening)?,
        };
        destination.identity["made"] = json!(matches!(place, Place::Made(_)));
        match (check_fits(source, &destination), place) {
            (Ok(()), _) => Ok(destination),
            (Err(error), Place::Made(made)) if !is_there => {
                made.forget();
                Err(error)
            }
            (Err(error), _) => Err(error),
        }
    }

    /// Copies from byte `begin` on.
    fn copy(
        &self,
        source: &Source,
        destination: &Destination,
        journal: Option<&Journal>,
        begin: u64,
        stops: &AtomicBool,
    ) -> Result<Outcome, ConvertError> {
        let size = source.size();
        let bar = progress::bar("copied", size, begin, self.shows_progress);
        let clock = Instant::now();
        let mut progress = Progress::new(bar.clone(), journal, stops, self.interval, begin);
        let plan = Plan::new(source.holes.as_ref(), begin, size);
        let amounts =
            Copy::new(&source.device, &destination.device, destination.zeros)?.run(plan, &mut progress)?;
        let time = clock.elapsed();
        bar.finish_and_clear();
        let (read, written, zeros) = (amounts.read, amounts.written, amounts.zeros);
        Ok(Outcome { size, begin, read, written, zeros, time, sha256: None })
    }

    /// Reads both sides again: the digest of what they have.
    fn compare(
        &self,
        source: &Source,
        destination: &Destination,
        stops: &AtomicBool,
    ) -> Result<String, ConvertError> {
        let size = source.size();
        let bar = progress::bar("compared", size, 0, self.shows_progress);
        let goes_on = |position| {
            bar.set_position(position);
            !stops.load(Ordering::Relaxed)
        };
        let compared = verify::verify(&source.device, &destination.device, size, goes_on);
        bar.finish_and_clear();
        compared
    }

    /// Whether it is remembered how far it is.
    pub(crate) fn can_resume(&self) -> bool {
        self.journal_path().is_some_and(|path| path.exists())
    }
}

/// The file that was made has no other name any more: it was whole, and the conversion was interrupted before it was
/// forgotten.
fn finished(made: &Made, found: &Found, journal: &Path) -> Result<Outcome, ConvertError> {
    let inode = fs::metadata(&made.path).map(|there| source::inode(&there));
    if inode.is_ok_and(|inode| found.identity["destination"]["inode"] == inode) {
        journal::remove(journal)?;
        return Ok(Outcome { size: found.position, begin: found.position, ..Outcome::default() });
    }
    let what = format!("{} is gone, with what was converted; --force begins anew", made.part.display());
    Err(ConvertError::Request(what))
}

/// Refuses a destination that is too small, or has blocks that the source's size is no multiple of.
fn check_fits(source: &Source, destination: &Destination) -> Result<(), ConvertError> {
    let (size, geometry) = (source.size(), destination.device.geometry());
    let room = geometry.size.bytes().0;
    if size > room {
        return Err(ConvertError::Request(format!(
            "the source has {size} bytes, and the destination room for {room}: nothing was written"
        )));
    }
    check_block(size, geometry.logical_block, "one of smaller sectors would do")
}

/// Refuses a size that is no whole number of blocks.
fn check_block(size: u64, block: u32, would_do: &str) -> Result<(), ConvertError> {
    if size.is_multiple_of(u64::from(block)) {
        return Ok(());
    }
    Err(ConvertError::Request(format!(
        "the source has {size} bytes, which is no whole number of the destination's sectors of {block}; {would_do}"
    )))
}
