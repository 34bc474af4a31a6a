//! A pool of bios with a guaranteed reserve (the kernel's `struct bio_set`).

use std::io;
use std::sync::Arc;

use super::raw::{BioMemory, layout};
use super::table::{self, Table};
use super::{Bio, INLINE_SPANS, Pad, PadBio};
use crate::classes::Classes;
use crate::memory::{Limited, Source};
use crate::mempool::{Alloc, Lent, Mempool, NoReserve, PoolOptions, Waits};
use crate::rescue::Rescuer;
use crate::sync::{AtomicBool, Ordering};

/// How a set is to be.
#[derive(Clone, Debug)]
pub struct BioSetOptions {
    /// Whose bios they are, for messages.
    pub name: &'static str,
    /// How many bios are always there. One is enough for progress; more is faster when memory is short.
    pub reserve: usize,
    /// How many bios more it may take from normal memory.
    pub limit: usize,
    /// How many free bios a thread may keep for itself.
    pub magazine: usize,
    /// How many runs of memory a bio may have, up to [`MAX_SPANS`](super::MAX_SPANS). With more than [`INLINE_SPANS`]
    /// the set has tables too: as many in reserve as bios, and as many more.
    pub runs: usize,
}

impl BioSetOptions {
    /// A reserve of 64 as dm-crypt has, and room for 1024 more, with the runs that fit inside.
    pub const fn named(name: &'static str) -> Self {
        Self { name, reserve: 64, limit: 1024, magazine: 64, runs: INLINE_SPANS }
    }
}

/// A pool of bios whose pad is `P`. Each level of a stack has a set of its own.
pub struct BioSet<P: Pad> {
    /// Goes before the pool: it brings home what it has.
    rescuer: Option<Rescuer>,
    refuses_first: AtomicBool,
    pool: Mempool<BioMemory<P>>,
    /// For bios with more runs than fit inside.
    tables: Option<Classes>,
}

impl<P: Pad> BioSet<P> {
    /// A set that takes its memory from `source`; `context` is what its bios share.
    ///
    /// # Errors
    /// When there is no memory for the reserve.
    pub fn new(options: &BioSetOptions, source: &Source, context: P::Context) -> Result<Self, NoReserve> {
        let &BioSetOptions { name, reserve, limit, magazine, runs } = options;
        let layout = layout::<P>();
        // The reserve is a part of what is counted: its bios and others take each other's places.
        let counted: Source = Limited::new(Arc::clone(source), (limit + reserve) * layout.size());
        let options = PoolOptions { name, layout, reserve, magazine };
        let pool = Mempool::new(options, &counted, Arc::clone(&counted), context)?;
        let tables = table::tables(name, runs, (reserve, limit, magazine), source)?;
        Ok(Self { rescuer: None, refuses_first: AtomicBool::new(false), pool, tables })
    }

    /// The set with a rescuer: for a driver that allocates with [`Alloc::Wait`] while bios of the set that it has
    /// submitted may still wait on its thread's lists. A set whose bios never wait behind one another needs none.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn rescued(mut self, name: &str) -> io::Result<Self> {
        self.rescuer = Some(Rescuer::start(name)?);
        Ok(self)
    }

    /// How often a sleeping allocation gave bios to the rescuer.
    pub fn punts(&self) -> u64 {
        self.rescuer.as_ref().map_or(0, Rescuer::punts)
    }

    /// For tests: the first attempt of an allocation that may sleep fails from now on, so that each goes by the
    /// rescuer (the way in which the kernel's patch was tested).
    pub fn refuse_first(&self, refuses: bool) {
        self.refuses_first.store(refuses, Ordering::Relaxed);
    }

    /// What its bios share.
    pub fn context(&self) -> &P::Context {
        self.pool.context()
    }

    /// A bio with this pad, by the rule of [`crate::mempool`]; the pad comes back when there is none.
    ///
    /// # Errors
    /// When there is no bio, which `Alloc::Wait` never says.
    #[inline]
    pub fn alloc(&self, pad: P, how: Alloc) -> Result<PadBio<P>, P> {
        let kept = if self.refuses_first.load(Ordering::Relaxed) { None } else { self.pool.alloc_kept() };
        match kept.or_else(|| self.alloc_dear(how)) {
            Some(memory) => Ok(PadBio::init(memory, pad)),
            None => Err(pad),
        }
    }

    /// Memory for a bio where this thread keeps none.
    #[cold]
    fn alloc_dear(&self, how: Alloc) -> Option<Lent<BioMemory<P>>> {
        match how {
            Alloc::Wait => self.alloc_wait(|how| self.pool.alloc(how)),
            how => self.pool.alloc(how),
        }
    }

    /// The same for a bio that will have `runs` runs of memory, with a table for them where they do not fit inside.
    ///
    /// # Errors
    /// When there is no bio or no table, which `Alloc::Wait` never says.
    ///
    /// # Panics
    /// For more runs than the set was made for.
    pub fn alloc_with(&self, pad: P, runs: usize, how: Alloc) -> Result<PadBio<P>, P> {
        if runs <= INLINE_SPANS {
            return self.alloc(pad, how);
        }
        // The table first, always: who holds one may wait for a bio, and nobody with a bio waits for a table.
        let Some(table) = self.table(runs, how) else { return Err(pad) };
        let mut bio = self.alloc(pad, how)?;
        bio.set_table(table);
        Ok(bio)
    }

    /// A table for so many runs.
    fn table(&self, runs: usize, how: Alloc) -> Option<Table> {
        let (tables, len) = (self.tables.as_ref(), table::bytes(runs));
        let tables = tables.filter(|tables| len <= tables.largest());
        let tables = tables.unwrap_or_else(|| panic!("{runs} runs in a bio of a set for fewer"));
        match how {
            Alloc::Wait => self.alloc_wait(|how| tables.alloc(len, how)),
            how => tables.alloc(len, how),
        }
    }

    /// First without sleeping; then what this sleep would block is punted, and only then it sleeps.
    fn alloc_wait<T>(&self, alloc: impl Fn(Alloc) -> Option<T>) -> Option<T> {
        if !self.refuses_first.load(Ordering::Relaxed)
            && let Some(memory) = alloc(Alloc::NoWait)
        {
            return Some(memory);
        }
        if let Some(rescuer) = &self.rescuer {
            rescuer.punt(self.pool.id());
        }
        alloc(Alloc::Wait)
    }

    /// Makes this thread's magazine, which its first bio would make otherwise.
    pub fn prepare_thread(&self) {
        drop(self.pool.alloc_kept());
        if let Some(tables) = &self.tables {
            tables.prepare_thread();
        }
    }

    /// Leaves `bio`, which found no bio here or no table, to the next free: see [`Mempool::park`].
    pub fn park(&self, bio: Bio) {
        match &self.tables {
            Some(tables) if tables.is_dry() && !self.pool.is_dry() => tables.park(bio),
            _ => self.pool.park(bio),
        }
    }

    /// How its bios, and then its tables, were waited for.
    pub fn waits(&self) -> (Waits, Waits) {
        (self.pool.waits(), self.tables.as_ref().map(Classes::waits).unwrap_or_default())
    }

    /// The bio of this set that `bio` is.
    ///
    /// # Errors
    /// Hands it back when it is of another set.
    pub fn claim(&self, bio: Bio) -> Result<PadBio<P>, Bio> {
        PadBio::claim(bio, &self.pool)
    }
}
