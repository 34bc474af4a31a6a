//! What went wrong in a world, and how to see it again.

use std::fmt;

use crate::seeds::SEED;
use crate::trace::Event;
use crate::world::Sim;

/// A promise that a device did not keep. It shows as text of several lines, so that `unwrap` tells all.
#[derive(Clone, PartialEq, Eq)]
pub struct Failure {
    /// Which promise.
    pub kind: Kind,
    /// What was found, and what should have been.
    pub what: String,
    /// The seed of the world.
    pub seed: u64,
    /// How many scheduled things had happened.
    pub step: u64,
    /// The virtual time in nanoseconds.
    pub at_ns: u64,
    /// The last events before it.
    pub events: Vec<Event>,
}

/// Which promise a device did not keep.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A read found bytes that nothing can have left there.
    Contents,
    /// A bio never ends.
    Stuck,
    /// A bio ended with an error, and nothing was made to fail.
    Error,
    /// Memory beside a bio's own was written.
    Memory,
}

impl Failure {
    pub(crate) fn new(sim: &Sim, kind: Kind, what: String) -> Self {
        let (seed, step, at_ns, events) = (sim.seed(), sim.steps(), sim.now_ns(), sim.events());
        Self { kind, what, seed, step, at_ns, events }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, seed, step, at_ns, events, .. } = self;
        writeln!(f, "{what}\nseed {seed:#x}, step {step}, {at_ns} ns; the last events:")?;
        events.iter().try_for_each(|event| writeln!(f, "  {event}"))?;
        write!(f, "to see it again: {SEED}={seed:#x} cargo test, and the name of this test")
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Failure {}
