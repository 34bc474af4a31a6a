//! Conversion: the bytes of one device become those of another, which may be encrypted otherwise or not at all.
//!
//! * `source`, `destination`: the two sides; `identity`: what identifies them.
//! * `place`: whether the destination is made; `made`: a file that is; `agree`: whether one that is there is what was asked for.
//! * `plan`: which piece of the source is next; `runs`: where in a piece there are zeros.
//! * `copy`: many pieces on their way at once; `tail`: the last bytes, where they do not fill a block.
//! * `resume`: how one goes on that was interrupted.
//! * `journal`: what is remembered of a conversion, so that it can go on after it was interrupted.
//! * `observer`: who watches, and may stop it; `progress`: the same between a copy and its journal.
//! * `volume`: a LUKS volume that is made.
//! * `verify`: both sides read again and compared.

mod agree;
mod copy;
mod destination;
mod error;
mod identity;
mod journal;
mod made;
mod observer;
mod place;
mod plan;
mod progress;
mod resume;
mod runs;
mod source;
mod tail;
mod verify;
mod volume;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use copy::Copy;
use destination::{Destination, Opening};
pub use error::{ConvertError, Doing};
use journal::{Journal, Record, Stage};
pub use observer::{Observer, Pass, Unwatched};
use place::Place;
use plan::Plan;
use progress::Progress;
pub use source::Name;
use source::Source;
pub use volume::NewVolume;

use crate::device::DeviceOptions;
use crate::luks::Unlocking;

/// How many zeros in a row are left out, in bytes, unless it is said.
pub const SPARSE: usize = 4096;
/// How many bytes may be lost when it is interrupted, unless it is said.
pub const INTERVAL: u64 = 1 << 30;

/// What is to be converted into what, and how.
///
/// [`Job::new`] has the usual of everything else.
#[derive(Debug)]
#[non_exhaustive]
pub struct Job {
    /// What is read.
    pub source: Name,
    /// What is made or written.
    pub destination: Name,
    /// How both sides are opened.
    pub options: DeviceOptions,
    /// How the source is unlocked.
    pub source_unlocking: Unlocking,
    /// How the destination is unlocked; its passphrase is that of a new volume, too.
    pub destination_unlocking: Unlocking,
    /// The volume that is made, where the destination is to be one.
    pub volume: NewVolume,
    /// What becomes of what is at the destination.
    pub existing: Existing,
    /// What becomes of a conversion to the same destination that was interrupted.
    pub interrupted: Interrupted,
    /// Both sides are read again and compared.
    pub verify: bool,
    /// The fewest zeros in a row that a plain destination does not get as data, in bytes; 0 for never.
    pub sparse: usize,
    /// How many bytes may be lost when it is interrupted.
    pub interval: u64,
    /// Where it is remembered how far it is, where not beside the destination.
    pub journal: Option<PathBuf>,
    /// Options of a new volume that were given, with their text: a volume that is there must be as they say.
    pub asked: Vec<(&'static str, String)>,
    /// All options of its key slot, with their text.
    pub key_slot: Map<String, Value>,
}

impl Job {
    /// Converts `source` into `destination`, which is not there yet; where it is to be a LUKS volume, into a `volume`.
    pub fn new(source: Name, destination: Name, volume: NewVolume) -> Self {
        Self {
            source,
            destination,
            options: DeviceOptions::default(),
            source_unlocking: Unlocking::default(),
            destination_unlocking: Unlocking::default(),
            volume,
            existing: Existing::Refuse,
            interrupted: Interrupted::Refuse,
            verify: false,
            sparse: SPARSE,
            interval: INTERVAL,
            journal: None,
            asked: Vec::new(),
            key_slot: Map::new(),
        }
    }
}

/// What becomes of what is at the destination.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Existing {
    /// It stays, and nothing is converted.
    Refuse,
    /// It is lost.
    Replace,
    /// It is kept but for its bytes, and must be there.
    Keep,
}

/// What becomes of a conversion to the same destination that was interrupted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Interrupted {
    /// It stays as it is, and nothing is converted.
    Refuse,
    /// It is lost.
    Forget,
    /// It goes on.
    GoOn,
}

/// What came of a conversion.
#[derive(Clone, Default, Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// How many bytes the destination has of the source.
    pub size: u64,
    /// Where it went on.
    pub begin: u64,
    /// How many bytes were read.
    pub read: u64,
    /// How many bytes were written.
    pub written: u64,
    /// How many bytes were left out as zeros.
    pub zeros: u64,
    /// How long the copy took, flushed.
    pub time: Duration,
    /// The SHA-256 of what both sides have, where they were compared.
    pub sha256: Option<String>,
}

/// Converts.
///
/// # Errors
/// When the request is wrong, in which case nothing was written; when an I/O fails, or the user stops it, and it can go on.
pub fn convert(job: &Job, observer: &dyn Observer) -> Result<Outcome, ConvertError> {
    let path = job.journal_path();
    if let Some(path) = &path {
        job.check_journal(path)?;
    }
    let found = path.as_deref().map_or(Ok(None), Journal::open)?;
    if let Some(found) = &found {
        job.check_found(found)?;
    }
    let is_begun =
        |found: &&Journal| job.interrupted == Interrupted::GoOn && found.record.stage != Stage::Making;
    let place = job.place(found.as_ref().filter(is_begun))?;
    if let Some(found) = found.as_ref().filter(is_begun) {
        agree::check_key_slot(&job.asked, &job.key_slot, &found.record.options)?;
    }
    let source = Source::open(&job.source, &job.options, &job.source_unlocking)?;
    if found.as_ref().is_some_and(|found| is_begun(&found)) {
        return resume::resume(job, found.expect("it is there"), &place, &source, observer);
    }
    let (destination, journal) = job.begin(found, path.as_deref(), &place, &source, observer)?;
    job.run(&place, &source, destination, journal, 0, observer)
}

impl Job {
    /// Makes or opens the destination, which has room for the source, and remembers it.
    fn begin(
        &self,
        left: Option<Journal>,
        path: Option<&Path>,
        place: &Place,
        source: &Source,
        observer: &dyn Observer,
    ) -> Result<(Destination, Option<Journal>), ConvertError> {
        let (opening, size) = (self.opening(), source.size());
        let new = self.new_volume(place);
        if new.is_none() && self.destination_is_luks() {
            agree::check_key_slot(&self.asked, &self.key_slot, &Value::Null)?;
        }
        // Asked for before anything is made: a person may think better of it.
        let passphrase = new.map(|path| opening.new_passphrase(path, size)).transpose()?;
        observer.begins()?;
        if let Place::Made(made) = place {
            made.clear(left.as_ref().map(|left| &left.record))?;
        }
        left.map_or(Ok(()), Journal::remove)?;
        let record = self.record(place, source, new.is_some());
        let mut journal = path.map(|path| Journal::create(path, record)).transpose()?;
        let made = self.make(place, source, journal.as_mut(), passphrase.as_deref());
        let made = made.and_then(|destination| {
            check_fits(source, &destination)?;
            if let Some(journal) = &mut journal {
                journal.record.sides[1] = destination.identity.value.clone();
                journal.record.stage = Stage::Copying;
                journal.write()?;
            }
            Ok(destination)
        });
        match (made, journal) {
            (Ok(destination), journal) => Ok((destination, journal)),
            (Err(error), None) => Err(error),
            // Nothing is in it that would be missed.
            (Err(error), Some(journal)) => {
                if let Place::Made(made) = place {
                    let _ = journal.record.forget(&made.part);
                }
                let _ = journal.remove();
                Err(error)
            }
        }
    }

    /// What is remembered before anything is made.
    fn record(&self, place: &Place, source: &Source, is_new_volume: bool) -> Record {
        Record {
            names: self.names(),
            sides: [source.identity.value.clone(), Value::Null],
            options: if is_new_volume { json!(self.key_slot) } else { Value::Null },
            replaces: if let Place::Made(made) = place { made.replaces() } else { Value::Null },
            is_made: matches!(place, Place::Made(_)),
            stage: Stage::Making,
            position: 0,
        }
    }

    /// Makes or opens the destination.
    fn make(
        &self,
        place: &Place,
        source: &Source,
        journal: Option<&mut Journal>,
        passphrase: Option<&udm_luks::Secret>,
    ) -> Result<Destination, ConvertError> {
        let (opening, name, size) = (self.opening(), &self.destination, source.size());
        match (place, passphrase, name.path()) {
            (Place::Made(made), passphrase, _) => {
                let is_secret = passphrase.is_some() || source.is_secret;
                let file = made.create(if is_secret { 0o600 } else { 0o666 })?;
                if let Some(journal) = journal {
                    let failed = ConvertError::file(&made.part, "cannot be looked at");
                    let mut part = json!({});
                    identity::add_file(&mut part, &file.metadata().map_err(failed)?);
                    journal.record.sides[1] = part;
                    journal.write()?;
                }
                Destination::fill(made, file, name, size, &opening, passphrase)
            }
            (Place::Existing, Some(passphrase), Some(path)) => {
                Destination::formatted(name, path, size, &opening, passphrase)
            }
            (Place::Existing, ..) => Destination::existing(name, &opening),
        }
    }

    /// How the destination is opened or made.
    fn opening(&self) -> Opening<'_> {
        Opening {
            options: &self.options,
            unlocking: &self.destination_unlocking,
            volume: &self.volume,
            asked: &self.asked,
            sparse: self.sparse,
        }
    }

    /// Copies from byte `begin` on, and ends the conversion.
    fn run(
        &self,
        place: &Place,
        source: &Source,
        destination: Destination,
        mut journal: Option<Journal>,
        begin: u64,
        observer: &dyn Observer,
    ) -> Result<Outcome, ConvertError> {
        let mut outcome = self.copy(source, &destination, journal.as_mut(), begin, observer)?;
        if self.verify {
            outcome.sha256 = Some(compare(source, &destination, source.size(), observer)?);
        }
        drop(destination);
        if let Some(journal) = &mut journal {
            resume::remember_whole(journal, place, self.destination.path(), source.size())?;
        }
        if let (Place::Made(made), Some(journal)) = (place, &journal) {
            made.finish(&journal.record.replaces)?;
        }
        journal.map_or(Ok(()), Journal::remove)?;
        Ok(outcome)
    }

    /// Copies from byte `begin` on.
    fn copy(
        &self,
        source: &Source,
        destination: &Destination,
        mut journal: Option<&mut Journal>,
        begin: u64,
        observer: &dyn Observer,
    ) -> Result<Outcome, ConvertError> {
        let size = source.size();
        let whole = size - size % tail::block_between(&source.device, &destination.device);
        observer.pass(Pass::Copy, size, begin);
        let clock = Instant::now();
        let mut progress = Progress::new(observer, journal.as_deref_mut(), self.interval, begin);
        let plan = Plan::new(source.holes.as_ref(), begin, whole.max(begin));
        let copy = Copy::new(&source.device, &destination.device, destination.zeros)?;
        let mut amounts = copy.run(plan, &mut progress)?;
        if begin < size && whole < size {
            tail::copy(&source.device, &destination.device, whole, size)?;
            amounts.read += size - whole;
            amounts.written += size - whole;
            journal.map_or(Ok(()), |journal| journal.reached(size))?;
        }
        let time = clock.elapsed();
        observer.ended();
        let (read, written, zeros) = (amounts.read, amounts.written, amounts.zeros);
        Ok(Outcome { size, begin, read, written, zeros, time, sha256: None })
    }

    /// Whether it is remembered how far it is.
    pub fn can_resume(&self) -> bool {
        self.journal_path().is_some_and(|path| fs::symlink_metadata(path).is_ok())
    }
}

/// Reads the first `size` bytes of both sides again: the digest of what they have.
fn compare(
    source: &Source,
    destination: &Destination,
    size: u64,
    observer: &dyn Observer,
) -> Result<String, ConvertError> {
    observer.pass(Pass::Compare, size, 0);
    let goes_on = |position| {
        observer.reached(position);
        !observer.stops()
    };
    let compared = verify::verify(&source.device, &destination.device, size, goes_on);
    observer.ended();
    compared
}

/// Refuses a destination that is too small, or has whole sectors alone, of which the source's size is no multiple.
fn check_fits(source: &Source, destination: &Destination) -> Result<(), ConvertError> {
    let (size, geometry) = (source.size(), destination.device.geometry());
    let room = geometry.stored().0;
    if size > room {
        return Err(ConvertError::Request(format!(
            "the source has {size} bytes, and the destination room for {room}: nothing was written"
        )));
    }
    if !destination.is_encrypted {
        return Ok(());
    }
    check_sectors(size, geometry.logical_block, "one of smaller sectors would do")
}

/// Refuses a size that encrypted sectors cannot hold exactly.
fn check_sectors(size: u64, sector: u32, would_do: &str) -> Result<(), ConvertError> {
    if size.is_multiple_of(u64::from(sector)) {
        return Ok(());
    }
    let would_do = if size.is_multiple_of(512) {
        would_do
    } else {
        "a volume holds whole sectors of at least 512 bytes: `truncate -s %512 FILE` adds zeros to a copy of the source"
    };
    Err(ConvertError::Request(format!(
        "the source has {size} bytes, not a multiple of the destination's sectors of {sector}, and nothing was written; \
         {would_do}"
    )))
}
