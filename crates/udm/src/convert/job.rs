//! What is to be converted into what, and how.

use std::path::PathBuf;

use serde_json::{Map, Value};

use super::name::Name;
use super::volume::NewVolume;
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
