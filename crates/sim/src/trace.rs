//! What happened, in order: a digest of all of it, the last events, and on demand every one.

use std::collections::VecDeque;
use std::fmt;

use udm_block::{Flags, Op, Sector, Status};

use crate::dice::{digest, mix};

/// How many events a failure shows.
const LAST: usize = 40;

/// Something that happened in the world.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event {
    /// How many scheduled things had happened before or with it.
    pub step: u64,
    /// The virtual time in nanoseconds.
    pub at_ns: u64,
    /// The name of the disk or the client.
    pub who: &'static str,
    /// What it did.
    pub what: What,
}

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    /// A bio came to a disk, or a client sent one.
    Began {
        /// Its number there.
        number: u64,
        /// What it asks for.
        op: Op,
        /// Its wishes.
        flags: Flags,
        /// Where it begins.
        sector: Sector,
        /// Its length in bytes.
        len: u64,
    },
    /// The bio of this number ended there.
    Ended {
        /// Its number there.
        number: u64,
        /// How it ended.
        status: Status,
        /// A digest of what a client has read; 0 where there is none.
        digest: u64,
    },
    /// The power went.
    PowerCut,
    /// The power came back.
    PowerBack,
    /// Something that a test wants to see in the trace ([`crate::Sim::note`]).
    Note(&'static str),
}

/// The record of a world.
pub(crate) struct Trace {
    digest: u64,
    last: VecDeque<Event>,
    /// How many events are kept.
    keep: usize,
}

impl Trace {
    pub fn new() -> Self {
        Self { digest: 0, last: VecDeque::new(), keep: LAST }
    }

    /// Keeps every event from now on.
    pub fn keep_all(&mut self) {
        self.keep = usize::MAX;
    }

    pub fn push(&mut self, event: Event) {
        self.digest = event.words().into_iter().fold(self.digest, mix);
        if self.last.len() >= self.keep {
            self.last.pop_front();
        }
        self.last.push_back(event);
    }

    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// The last events, or all that were kept.
    pub fn events(&self) -> Vec<Event> {
        self.last.iter().copied().collect()
    }
}

impl Event {
    /// All that it says, as numbers.
    fn words(&self) -> [u64; 8] {
        let what = match self.what {
            What::Began { number, op, flags, sector, len } => {
                [1, number, op as u64 | u64::from(bits(flags)) << 8, sector.0, len]
            }
            What::Ended { number, status, digest } => [2, number, status as u64, digest, 0],
            What::PowerCut => [3, 0, 0, 0, 0],
            What::PowerBack => [4, 0, 0, 0, 0],
            What::Note(note) => [5, digest(note.as_bytes()), 0, 0, 0],
        };
        let mut words = [self.step, self.at_ns, digest(self.who.as_bytes()), 0, 0, 0, 0, 0];
        words[3..].copy_from_slice(&what);
        words
    }
}

/// The wishes that a bio can have, with the kernel's names.
const WISHES: [(Flags, &str); 4] = [
    (Flags::FUA, "fua"),
    (Flags::PREFLUSH, "preflush"),
    (Flags::NO_UNMAP, "no-unmap"),
    (Flags::FAST, "fast"),
];

fn bits(flags: Flags) -> u8 {
    (0..).zip(WISHES).map(|(bit, (wish, _))| u8::from(flags.has(wish)) << bit).sum()
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step {:6} {:12} ns  {:10} ", self.step, self.at_ns, self.who)?;
        match self.what {
            What::Began { number, op, flags, sector, len } => {
                write!(f, "#{number} {op:?} of {len} bytes at sector {sector}")?;
                WISHES
                    .iter()
                    .filter(|(wish, _)| flags.has(*wish))
                    .try_for_each(|(_, name)| write!(f, ", {name}"))
            }
            What::Ended { number, status, .. } => write!(f, "#{number} ended: {status}"),
            What::PowerCut => f.write_str("the power goes"),
            What::PowerBack => f.write_str("the power is back"),
            What::Note(note) => f.write_str(note),
        }
    }
}
