//! A pool of bios with a guaranteed reserve (the kernel's `struct bio_set`).

use std::io;
use std::sync::Arc;

use super::raw::{BioMemory, layout};
use super::{Bio, Pad, PadBio};
use crate::memory::{Limited, Source};
use crate::mempool::{Alloc, Lent, Mempool, NoReserve, PoolOptions};
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
}

impl BioSetOptions {
    /// A reserve of 64 as dm-crypt has, and room for 1024 more.
    pub const fn named(name: &'static str) -> Self {
        Self { name, reserve: 64, limit: 1024, magazine: 64 }
    }
}

/// A pool of bios whose pad is `P`. Each level of a stack has a set of its own.
pub struct BioSet<P: Pad> {
    /// Goes before the pool: it brings home what it has.
    rescuer: Option<Rescuer>,
    refuses_first: AtomicBool,
    pool: Mempool<BioMemory<P>>,
}

impl<P: Pad> BioSet<P> {
    /// A set that takes its memory from `source`; `context` is what its bios share.
    ///
    /// # Errors
    /// When there is no memory for the reserve.
    pub fn new(options: &BioSetOptions, source: &Source, context: P::Context) -> Result<Self, NoReserve> {
        let layout = layout::<P>();
        let normal = Limited::new(Arc::clone(source), options.limit * layout.size());
        let pool =
            PoolOptions { name: options.name, layout, reserve: options.reserve, magazine: options.magazine };
        let pool = Mempool::new(pool, source, normal, context)?;
        Ok(Self { rescuer: None, refuses_first: AtomicBool::new(false), pool })
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
        let memory = match how {
            Alloc::Wait => self.alloc_wait(),
            how => self.pool.alloc(how),
        };
        match memory {
            Some(memory) => Ok(PadBio::init(memory, pad)),
            None => Err(pad),
        }
    }

    /// First without sleeping; then what this sleep would block is punted, and only then it sleeps.
    #[cold]
    fn alloc_wait(&self) -> Option<Lent<BioMemory<P>>> {
        if !self.refuses_first.load(Ordering::Relaxed)
            && let Some(memory) = self.pool.alloc(Alloc::NoWait)
        {
            return Some(memory);
        }
        if let Some(rescuer) = &self.rescuer {
            rescuer.punt(self.pool.id());
        }
        self.pool.alloc(Alloc::Wait)
    }

    /// Leaves `bio`, which found no bio here, to the next free: see [`Mempool::park`].
    pub fn park(&self, bio: Bio) {
        self.pool.park(bio);
    }

    /// The bio of this set that `bio` is.
    ///
    /// # Errors
    /// Hands it back when it is of another set.
    pub fn claim(&self, bio: Bio) -> Result<PadBio<P>, Bio> {
        PadBio::claim(bio, &self.pool)
    }
}
