//! A pool of bios with a guaranteed reserve (the kernel's `struct bio_set`).

use std::sync::Arc;

use super::raw::{Bio, BioMemory, INLINE_SPANS, Pad, layout};
use super::table;
use crate::classes::Classes;
use crate::dispatch::Dispatch;
use crate::memory::{Limited, Source};
use crate::mempool::{Mempool, NoReserve, Waits};
use crate::pool::PoolOptions;
use crate::share::Share;
use crate::sync::{AtomicBool, Ordering};

/// How a set is to be.
///
/// New fields come with a new major version only.
#[derive(Clone, Debug)]
pub struct BioSetOptions {
    /// Whose bios they are, for messages.
    pub name: &'static str,
    /// How many bios are always there. One is enough for progress; more is faster when memory is short.
    pub reserve: usize,
    /// How many bios more it may take from normal memory.
    pub limit: usize,
    /// How many free bios a channel may keep for itself. All channels together keep at most half of the limit.
    pub stock: usize,
    /// How many runs of memory a bio may have, up to [`MAX_SPANS`](super::MAX_SPANS). With more than [`INLINE_SPANS`]
    /// the set has tables too: as many in reserve as bios, and as many more.
    pub runs: usize,
}

impl BioSetOptions {
    /// A reserve of 64 as dm-crypt has, and room for 1024 more, with the runs that fit inside.
    pub const fn named(name: &'static str) -> Self {
        Self { name, reserve: 64, limit: 1024, stock: 64, runs: INLINE_SPANS }
    }
}

/// A pool of bios whose pad is `P`. Each level of a stack has a set of its own, and each channel its own way to it
/// ([`crate::Opening::bios`]).
pub struct BioSet<P: Pad>(pub(super) Arc<Inner<P>>);

/// Who dispatches the bios of a set that an allocation which sleeps would block: the rescuer (`rescue.rs`).
pub(crate) trait Rescue: Send + Sync {
    /// Takes the bios of the set `set` from the lists of a queue and dispatches them.
    fn punt(&self, cx: &mut Dispatch, set: usize);

    /// How often bios were given to it.
    fn punts(&self) -> u64;
}

pub(super) struct Inner<P: Pad> {
    rescuer: Option<Box<dyn Rescue>>,
    refuses_first: AtomicBool,
    pub(super) pool: Mempool<BioMemory<P>>,
    /// For bios with more runs than fit inside.
    pub(super) tables: Option<Classes>,
}

impl<P: Pad> Clone for BioSet<P> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<P: Pad> BioSet<P> {
    /// A set that takes its memory from `source`.
    ///
    /// # Errors
    /// When there is no memory for the reserve.
    pub fn new(options: &BioSetOptions, source: &Source) -> Result<Self, NoReserve> {
        Self::make(options, source, None)
    }

    /// The same with a rescuer.
    // not on the I/O path: once a set
    pub(crate) fn make(
        options: &BioSetOptions,
        source: &Source,
        rescuer: Option<Box<dyn Rescue>>,
    ) -> Result<Self, NoReserve> {
        let &BioSetOptions { name, reserve, limit, stock, runs } = options;
        let layout = layout::<P>();
        // The reserve is a part of what is counted: its bios and others take each other's places.
        let counted: Source = Limited::new(Arc::clone(source), (limit + reserve) * layout.size());
        let share = Share::half_of(limit * layout.size());
        let options = PoolOptions { name, layout, reserve, stock, share };
        let pool = Mempool::new(options, &counted)?;
        let tables = table::tables(name, runs, (reserve, limit, stock), source)?;
        Ok(Self(Arc::new(Inner { rescuer, refuses_first: AtomicBool::new(false), pool, tables })))
    }

    /// How often a sleeping allocation gave bios to the rescuer.
    pub fn punts(&self) -> u64 {
        self.rescuer().map_or(0, Rescue::punts)
    }

    /// For tests: the first attempt of an allocation that may sleep fails from now on, so that each goes by the
    /// rescuer (the way in which the kernel's patch was tested).
    pub fn refuse_first(&self, refuses: bool) {
        self.0.refuses_first.store(refuses, Ordering::Relaxed);
    }

    pub(super) fn refuses_first(&self) -> bool {
        self.0.refuses_first.load(Ordering::Relaxed)
    }

    pub(super) fn rescuer(&self) -> Option<&dyn Rescue> {
        self.0.rescuer.as_deref()
    }

    /// Leaves `bio`, which found no bio here or no table, to the next free.
    pub(super) fn park(&self, bio: Bio) {
        match &self.0.tables {
            Some(tables) if tables.is_dry() && !self.0.pool.is_dry() => tables.park(bio),
            _ => self.0.pool.park(bio),
        }
    }

    /// How its bios, and then its tables, were waited for.
    pub fn waits(&self) -> (Waits, Waits) {
        (self.0.pool.waits(), self.0.tables.as_ref().map(Classes::waits).unwrap_or_default())
    }
}
