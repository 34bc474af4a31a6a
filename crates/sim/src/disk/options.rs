//! How a disk is to be: its size and limits, how long it takes, and what it lies about.

use udm_block::{Geometry, Sectors};

use crate::dice::Dice;

/// How a [`crate::SimDisk`] is to be.
///
/// New fields come with a new major version only.
#[derive(Clone, Copy, Debug)]
pub struct DiskOptions {
    /// Its name in the trace.
    pub name: &'static str,
    /// Size, limits and abilities. Without `write_cache`, what it acknowledges is durable.
    pub geometry: Geometry,
    /// A physical block in bytes, a power of two from 512 on: what a power cut or an error leaves written as a whole or
    /// not at all. A layer that needs more bytes to be written together than the disk promises is at fault.
    pub physical_block: u32,
    /// How long a bio takes.
    pub delay: Delay,
    /// It ends bios in the order in which they came.
    pub in_order: bool,
    /// What it lies about.
    pub lie: Option<Lie>,
}

/// How long a bio takes, in nanoseconds of virtual time: any time from `min_ns` to `max_ns`, each as likely; and some
/// are stragglers.
#[derive(Clone, Copy, Debug)]
pub struct Delay {
    /// The shortest.
    pub min_ns: u64,
    /// The longest of those that are no stragglers.
    pub max_ns: u64,
    /// How many in a thousand are stragglers.
    pub slow_per_mille: u32,
    /// How long these take more.
    pub slow_ns: u64,
}

/// What a disk lies about: to show that a test would notice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lie {
    /// It acknowledges flushes, and writes that are to be durable, and leaves all of it in its cache.
    IgnoresFlush,
    /// It acknowledges a write when it comes, and does it later.
    AcknowledgesEarly,
    /// It loses one in eight of the writes that are overtaken by a later one.
    LosesOvertaken,
    /// It says `Ok` of a bio that failed.
    HidesErrors,
    /// One write in 64 goes to the block behind its place.
    Misplaces,
    /// One bio in 64 never ends.
    Forgets,
}

impl DiskOptions {
    /// A disk with a volatile cache that takes every operation, in blocks of 512 bytes. It takes 10 to 100 us for a bio,
    /// and one in a hundred takes a millisecond more; so it reorders what is in flight.
    pub const fn new(size: Sectors) -> Self {
        Self {
            name: "disk",
            geometry: Geometry { discard: true, write_zeroes: true, ..Geometry::plain(size) },
            physical_block: 512,
            delay: Delay { min_ns: 10_000, max_ns: 100_000, slow_per_mille: 10, slow_ns: 1_000_000 },
            in_order: false,
            lie: None,
        }
    }
}

impl Delay {
    /// Every bio takes as long as the other.
    pub const fn constant(ns: u64) -> Self {
        Self { min_ns: ns, max_ns: ns, slow_per_mille: 0, slow_ns: 0 }
    }

    /// How long the next one takes.
    pub(super) fn throw(&self, dice: &mut Dice) -> u64 {
        let slow = if dice.chance(self.slow_per_mille) { self.slow_ns } else { 0 };
        self.min_ns + dice.below(self.max_ns.saturating_sub(self.min_ns) + 1) + slow
    }
}
