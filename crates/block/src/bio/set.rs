//! A pool of bios with a guaranteed reserve (the kernel's `struct bio_set`).

use std::io;
use std::sync::Arc;

use super::raw::{BioMemory, layout};
use super::{Bio, INLINE_SPANS, Pad, table};
use crate::classes::Classes;
use crate::device::DeviceRef;
use crate::memory::{Limited, Source};
use crate::mempool::{Mempool, NoReserve, PoolOptions, Waits};
use crate::rescue::Rescuer;
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

pub(super) struct Inner<P: Pad> {
    rescuer: Option<Rescuer>,
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

    /// The set with a rescuer, for a driver that allocates with [`Alloc::Wait`](crate::Alloc::Wait) while bios of the set
    /// that it has submitted may still wait on its queue's lists: before it sleeps, these are given to a thread that
    /// dispatches them to `lower`, the devices that the driver submits to. A set whose bios never wait behind one another
    /// needs none.
    ///
    /// # Errors
    /// When there is no memory for the reserve, the system gives no thread, or a device cannot be opened.
    pub fn rescued(options: &BioSetOptions, source: &Source, lower: &[DeviceRef]) -> io::Result<Self> {
        let rescuer = Rescuer::start(options.name, lower)?;
        Self::make(options, source, Some(rescuer)).map_err(io::Error::other)
    }

    // not on the I/O path: once a set
    fn make(options: &BioSetOptions, source: &Source, rescuer: Option<Rescuer>) -> Result<Self, NoReserve> {
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
        self.rescuer().map_or(0, Rescuer::punts)
    }

    /// For tests: the first attempt of an allocation that may sleep fails from now on, so that each goes by the
    /// rescuer (the way in which the kernel's patch was tested).
    pub fn refuse_first(&self, refuses: bool) {
        self.0.refuses_first.store(refuses, Ordering::Relaxed);
    }

    pub(super) fn refuses_first(&self) -> bool {
        self.0.refuses_first.load(Ordering::Relaxed)
    }

    pub(super) fn rescuer(&self) -> Option<&Rescuer> {
        self.0.rescuer.as_ref()
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
