//! What is at the destination and at the journal's name, and whether it may be touched. Nothing is touched here.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::error::ConvertError;
use super::identity::{self, resolved};
use super::job::{Existing, Interrupted, Job};
use super::journal::{Journal, beside};
use super::made::Made;
use super::name::Name;
use crate::device::DeviceName;

/// Behind the destination's name, the file that remembers how far a conversion is.
const JOURNAL: &str = ".udm-convert";

/// Whether the destination is made.
pub(super) enum DestinationKind {
    Made(Made),
    Existing,
}

impl Job {
    /// Where it is remembered how far it is: beside the destination, where that is a file.
    pub(super) fn journal_path(&self) -> Option<PathBuf> {
        let beside_it = || {
            let path = self.destination.path()?;
            let is_device = fs::metadata(path).is_ok_and(|found| !found.is_file());
            (!is_device).then(|| beside(&Made::at(path).path, JOURNAL))
        };
        self.journal.clone().or_else(beside_it)
    }

    /// What both sides are called.
    pub(super) fn names(&self) -> [String; 2] {
        [identity::name(&self.source), identity::name(&self.destination)]
    }

    /// Refuses a journal that would be one of the files that are converted. What else is there says itself whether it is
    /// a journal.
    pub(super) fn check_journal(&self, path: &Path) -> Result<(), ConvertError> {
        let here = resolved(path);
        let made = self.destination.path().map(Made::at);
        let is = |other: &Path| here == resolved(other) || is_same_file(path, other);
        let what = match &made {
            _ if self.source.path().is_some_and(is) => "the source itself",
            Some(made) if is(&made.path) => "the destination itself",
            Some(made) if is(&made.part) => "what the destination is called until it is whole",
            _ => return Ok(()),
        };
        Err(ConvertError::Request(format!(
            "--journal: {} is {what}; name a file that is not there yet",
            path.display()
        )))
    }

    /// Refuses a journal of another conversion, and of this one where nobody said what becomes of that.
    pub(super) fn check_found(&self, found: &Journal) -> Result<(), ConvertError> {
        let path = found.path().display();
        let names = self.names();
        for (index, side) in ["source", "destination"].into_iter().enumerate() {
            let (then, now) = (&found.record.names[index], &names[index]);
            if then != now {
                return Err(ConvertError::Request(format!(
                    "{path} is of another conversion, whose {side} was {then}, and not {now}, and is left as it is: go on \
                     with that one, move this file away, or name another one with --journal"
                )));
            }
        }
        if self.interrupted == Interrupted::Refuse {
            return Err(ConvertError::Request(format!(
                "{path} is of a conversion that was interrupted: --resume goes on with it, --force begins anew"
            )));
        }
        Ok(())
    }

    /// Whether the destination is to be made.
    pub(super) fn place(&self, found: Option<&Journal>) -> Result<DestinationKind, ConvertError> {
        let refuse = |why: &str, hint: &str| {
            let name = self.destination.describe();
            Err(ConvertError::Request(format!("{name} {why}; {hint}")))
        };
        let into = "--no-create writes into it";
        let Some(path) = self.destination.path() else {
            return match self.existing {
                Existing::Refuse => refuse("is there already", into),
                _ => Ok(DestinationKind::Existing),
            };
        };
        if let Some(found) = found {
            return Ok(if found.record.is_made {
                DestinationKind::Made(Made::at(path))
            } else {
                DestinationKind::Existing
            });
        }
        let made = || Ok(DestinationKind::Made(Made::at(path)));
        let there = match (fs::metadata(path), self.existing) {
            (Ok(there), _) => there,
            (Err(_), Existing::Keep) => return refuse("is not there", "it is made without --no-create"),
            (Err(_), _) if fs::symlink_metadata(path).is_ok() => {
                return refuse(
                    "is a symbolic link that leads nowhere",
                    "name the file that it should lead to",
                );
            }
            (Err(_), _) => return made(),
        };
        let (is_file, is_device) = (there.is_file(), there.file_type().is_block_device());
        let is_source = self.source.path().is_some_and(|source| is_same_file(source, path));
        match self.existing {
            _ if !is_file && !is_device => {
                refuse("is neither a file nor a block device", "name one of these")
            }
            Existing::Replace if is_file => made(),
            Existing::Refuse if is_file => {
                refuse("is there already", &format!("--force replaces it, {into}"))
            }
            Existing::Refuse => refuse("is a block device, whose bytes would be lost", into),
            _ if is_source => refuse("is the source itself", "name another destination"),
            _ => Ok(DestinationKind::Existing),
        }
    }

    /// Whether the destination is a LUKS volume.
    pub(super) fn destination_is_luks(&self) -> bool {
        matches!(self.destination, Name::Device(DeviceName::Luks(_)))
    }

    /// Where a volume is made, if one is.
    pub(super) fn new_volume(&self, place: &DestinationKind) -> Option<&Path> {
        let is_made = matches!(place, DestinationKind::Made(_)) || self.existing == Existing::Replace;
        self.destination.path().filter(|_| self.destination_is_luks() && is_made)
    }
}

/// Whether two paths lead to one file.
fn is_same_file(one: &Path, other: &Path) -> bool {
    let number = |path| fs::metadata(path).map(|found| (found.dev(), found.ino())).ok();
    number(one).is_some() && number(one) == number(other)
}
