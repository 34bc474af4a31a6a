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
mod job;
mod journal;
mod lock;
mod made;
mod name;
mod observer;
mod place;
mod plan;
mod progress;
mod resume;
mod runs;
mod sectors;
mod source;
mod tail;
mod verify;
mod volume;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use copy::CopyRun;
use destination::{Destination, Opening};
pub use error::{ConvertError, Doing};
pub use job::{Existing, INTERVAL, Interrupted, Job, SPARSE};
use journal::{Journal, Record, Stage};
pub use name::Name;
pub use observer::{Observer, Pass, Unwatched};
use place::DestinationKind;
use plan::Plan;
use progress::Progress;
use sectors::check_sectors;
use source::Source;
pub use volume::NewVolume;

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
        place: &DestinationKind,
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
        if let DestinationKind::Made(made) = place {
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
                if let DestinationKind::Made(made) = place {
                    let _ = journal.record.forget(&made.part);
                }
                let _ = journal.remove();
                Err(error)
            }
        }
    }

    /// What is remembered before anything is made.
    fn record(&self, place: &DestinationKind, source: &Source, is_new_volume: bool) -> Record {
        Record {
            names: self.names(),
            sides: [source.identity.value.clone(), Value::Null],
            options: if is_new_volume { json!(self.key_slot) } else { Value::Null },
            replaces: if let DestinationKind::Made(made) = place { made.replaces() } else { Value::Null },
            is_made: matches!(place, DestinationKind::Made(_)),
            stage: Stage::Making,
            position: 0,
        }
    }

    /// Makes or opens the destination.
    fn make(
        &self,
        place: &DestinationKind,
        source: &Source,
        journal: Option<&mut Journal>,
        passphrase: Option<&udm_luks::Secret>,
    ) -> Result<Destination, ConvertError> {
        let (opening, name, size) = (self.opening(), &self.destination, source.size());
        match (place, passphrase, name.path()) {
            (DestinationKind::Made(made), passphrase, _) => {
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
            (DestinationKind::Existing, Some(passphrase), Some(path)) => {
                Destination::formatted(name, path, size, &opening, passphrase)
            }
            (DestinationKind::Existing, ..) => Destination::existing(name, &opening),
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
        place: &DestinationKind,
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
        if let (DestinationKind::Made(made), Some(journal)) = (place, &journal) {
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
        let copy = CopyRun::new(&source.device, &destination.device, destination.zeros)?;
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
