//! When what is copied is remembered.

use std::time::{Duration, Instant};

use super::copy::Watcher;
use super::error::ConvertError;
use super::journal::Journal;
use super::observer::Observer;

/// How long it is at most until what is done is remembered, where there is anything new.
const PATIENCE: Duration = Duration::from_secs(5);

/// Watches a copy, for its journal and its observer.
pub(super) struct Progress<'a> {
    observer: &'a dyn Observer,
    journal: Option<&'a mut Journal>,
    /// How many bytes may be copied until that is remembered.
    interval: u64,
    /// What was remembered last, or is about to be.
    remembered: u64,
    since: Instant,
}

impl<'a> Progress<'a> {
    /// Of a copy that begins at byte `begin`.
    pub(super) fn new(
        observer: &'a dyn Observer,
        journal: Option<&'a mut Journal>,
        interval: u64,
        begin: u64,
    ) -> Self {
        Self { observer, journal, interval, remembered: begin, since: Instant::now() }
    }
}

impl Watcher for Progress<'_> {
    fn reached(&mut self, position: u64) {
        self.observer.reached(position);
    }

    fn wants_durable(&mut self, position: u64) -> bool {
        let new = position - self.remembered;
        let wants =
            self.journal.is_some() && (new >= self.interval || new > 0 && self.since.elapsed() >= PATIENCE);
        if wants {
            (self.remembered, self.since) = (position, Instant::now());
        }
        wants
    }

    fn durable(&mut self, position: u64) -> Result<(), ConvertError> {
        self.journal.as_mut().map_or(Ok(()), |journal| journal.reached(position))
    }

    fn stops(&self) -> bool {
        self.observer.stops()
    }
}
