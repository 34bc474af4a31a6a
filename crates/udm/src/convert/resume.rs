//! How a conversion goes on that was interrupted. What cannot be identified is compared first.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use serde_json::json;

use super::destination::Destination;
use super::error::ConvertError;
use super::identity::{self, modified};
use super::journal::{Journal, Stage};
use super::made::Made;
use super::name::Name;
use super::observer::Observer;
use super::place::DestinationKind;
use super::source::Source;
use super::{Job, Outcome, check_fits, compare};
use crate::device::DeviceName;
use crate::human;

/// Goes on with the conversion of `journal`.
///
/// # Errors
/// Where one of both sides is not what it was, or the conversion fails again.
pub(super) fn resume(
    job: &Job,
    journal: Journal,
    place: &DestinationKind,
    source: &Source,
    observer: &dyn Observer,
) -> Result<Outcome, ConvertError> {
    let opening = job.opening();
    let destination = match place {
        DestinationKind::Existing => Destination::existing(&job.destination, &opening)?,
        DestinationKind::Made(made) => match fs::symlink_metadata(&made.part) {
            Ok(there) if journal.record.has_made(&there) => {
                Destination::unfinished(made, &job.destination, &opening)?
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return finished(job, journal, made, source, observer);
            }
            _ => {
                return Err(ConvertError::Request(format!(
                    "{} is not the file that the conversion made: put that one back at this name; or move both this file \
                     and {} away, to begin anew",
                    made.part.display(),
                    journal.path().display()
                )));
            }
        },
    };
    check_fits(source, &destination)?;
    let record = &journal.record;
    let begin = record.position.min(source.size());
    let reason = check_sides(&journal, source, Some(&destination))?;
    let reason = reason.or_else(|| changed_since_end(&journal, job.destination.path()?));
    observer.begins()?;
    if let Some(reason) = reason.filter(|_| begin > 0) {
        compare_first(source, &destination, begin, &reason, observer)?;
    }
    job.run(place, source, destination, Some(journal), begin, observer)
}

/// Remembers that all is copied, and what the destination is then: nobody writes it any more.
pub(super) fn remember_whole(
    journal: &mut Journal,
    place: &DestinationKind,
    path: Option<&Path>,
    size: u64,
) -> Result<(), ConvertError> {
    let path = if let DestinationKind::Made(made) = place { Some(made.part.as_path()) } else { path };
    if let Some(there) = path.and_then(|path| fs::metadata(path).ok()).filter(fs::Metadata::is_file) {
        journal.record.sides[1]["length"] = json!(there.len());
        journal.record.sides[1]["modified"] = json!(modified(&there));
    }
    journal.record.stage = Stage::Whole;
    journal.reached(size)
}

/// Why the destination may not be what it was when all was copied, where it may not.
fn changed_since_end(journal: &Journal, path: &Path) -> Option<String> {
    let side = &journal.record.sides[1];
    let there = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    let is_same = side["modified"] == modified(&there) && side["length"] == there.len();
    let is_whole = journal.record.stage == Stage::Whole && !journal.record.is_made;
    (is_whole && !is_same).then(|| "the destination was changed since".into())
}

/// The file that was made has no other name any more: it was whole, and the conversion was interrupted before it was
/// forgotten.
fn finished(
    job: &Job,
    journal: Journal,
    made: &Made,
    source: &Source,
    observer: &dyn Observer,
) -> Result<Outcome, ConvertError> {
    let (record, size) = (&journal.record, source.size());
    let reason = check_sides(&journal, source, None)?;
    let made_file = &record.sides[1];
    let is_it = fs::symlink_metadata(&made.path).is_ok_and(|there| {
        identity::is_file(made_file, &there)
            && made_file["modified"] == modified(&there)
            && made_file["length"] == there.len()
    });
    if record.stage != Stage::Whole || record.position != size || !is_it {
        let name = made.path.display();
        return Err(ConvertError::Request(format!(
            "{} is gone, when {} of {size} bytes were copied into it, and {name} is not known to be the whole: give the \
             file that name again and use --resume, or begin anew with --force",
            made.part.display(),
            record.position,
        )));
    }
    let mut sha256 = None;
    if job.verify || reason.is_some() {
        let is_luks = job.destination_is_luks();
        let name = if is_luks { DeviceName::luks(&made.path) } else { DeviceName::raw(&made.path) };
        let name = Name::Device(name);
        let destination = Destination::existing(&name, &job.opening())?;
        observer.begins()?;
        let reason = reason.unwrap_or_else(|| "--verify".into());
        sha256 = Some(compare_first(source, &destination, size, &reason, observer)?);
    }
    journal.remove()?;
    let sha256 = sha256.filter(|_| job.verify);
    Ok(Outcome { size, begin: size, sha256, ..Outcome::default() })
}

/// Whether both sides are what they were: why that is not certain, where it is not.
fn check_sides(
    journal: &Journal,
    source: &Source,
    destination: Option<&Destination>,
) -> Result<Option<String>, ConvertError> {
    let refused = |differs: String| {
        ConvertError::Request(format!(
            "the conversion of {} cannot go on: {differs}; --force begins anew",
            journal.path().display()
        ))
    };
    let [from, to] = &journal.record.sides;
    let one = identity::compare("source", from, &source.identity).map_err(refused)?;
    let other = destination.map_or(Ok(None), |destination| {
        identity::compare("destination", to, &destination.identity).map_err(refused)
    })?;
    Ok(one.or(other))
}

/// Compares the first bytes of both sides, since `reason`: their digest.
fn compare_first(
    source: &Source,
    destination: &Destination,
    size: u64,
    reason: &str,
    observer: &dyn Observer,
) -> Result<String, ConvertError> {
    tracing::warn!(
        "{reason}: the {} that were copied are read from both sides and compared before it goes on",
        human(size)
    );
    compare(source, destination, size, observer).map_err(|error| match error {
        ConvertError::Differs { at } => ConvertError::Request(format!(
            "the source or the destination was changed since the conversion was interrupted: they differ at byte {at} \
             of the {size} that were copied; --force begins anew"
        )),
        error => error,
    })
}
