//! What an engine can be made to do wrong, alone or together, by a seed. For tests of whoever uses one.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use udm_block::memory::splitmix64;

/// The faults of an engine, which it takes when it gets its key: see [`with`](Self::with).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Faults {
    /// What decides whom a fault strikes; each engine draws dice of its own from it.
    pub seed: u64,
    /// The unit size in bytes that it refuses in requests of several units, though it says that it takes such.
    pub refuses: Option<usize>,
    /// How many of 1000 requests fail, with some of their units done.
    pub fails_per_mille: u16,
    /// Whether requests overtake one another.
    pub reorders: bool,
    /// How long a request takes at most.
    pub latency_us_max: u32,
    /// How many of 1000 requests of several units find that their descriptors are lost, from some unit on. The engine
    /// sees that: where it is the first unit it begins again, else the request fails.
    pub loses_per_mille: u16,
    /// How many of 1000 requests end well with a wrong bit. No driver may do that: it shows that a check sees it.
    pub lies_per_mille: u16,
}

thread_local!(static HERE: Cell<Faults> = const { Cell::new(Faults::NONE) });

impl Faults {
    /// An engine that does what it should.
    pub const NONE: Self = Self {
        seed: 0,
        refuses: None,
        fails_per_mille: 0,
        reorders: false,
        latency_us_max: 0,
        loses_per_mille: 0,
        lies_per_mille: 0,
    };

    /// Gives these faults to the engines that get a key on this thread while `during` runs.
    ///
    /// A registry whose drivers are tested in that time finds the faulty ones, and does not use them: ask for its
    /// [`list`](crate::Registry::list) before.
    pub fn with<T>(self, during: impl FnOnce() -> T) -> T {
        /// Takes them back, also where `during` panics.
        struct Back(Faults);
        impl Drop for Back {
            fn drop(&mut self) {
                HERE.set(self.0);
            }
        }
        let _back = Back(HERE.replace(self));
        during()
    }

    /// Those of an engine that gets its key now, with a seed that no other has.
    pub(super) fn at_birth() -> Self {
        let mut faults = HERE.get();
        let mut seed = faults.seed;
        splitmix64(&mut seed);
        HERE.set(Self { seed, ..faults });
        faults.seed = splitmix64(&mut seed);
        faults
    }
}

/// Dice that many threads throw.
#[derive(Debug)]
pub(super) struct Dice(AtomicU64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// A number below `end`, which is not 0.
    pub(super) fn below(&self, end: usize) -> usize {
        let mut state = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        (splitmix64(&mut state) % end as u64) as usize
    }

    /// Whether this is one of the `per_mille` of 1000.
    pub(super) fn strikes(&self, per_mille: u16) -> bool {
        per_mille > 0 && self.below(1000) < usize::from(per_mille)
    }
}
