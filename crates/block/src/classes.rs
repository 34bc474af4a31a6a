//! A pool of pieces of memory of several sizes, each four times the one before. The largest has the reserve, and serves
//! everybody in need: so there is one queue of those who wait, and a reserve of one is enough.
//!
//! All sizes share one limit, and what threads keep for their next piece counts. So a burst of large pieces must not leave
//! the limit full of large pieces that nobody uses: whoever finds no room for another size has them given back.

use std::alloc::Layout;
use std::sync::Arc;

use crate::bio::Bio;
use crate::memory::{Chunk, Limited, Source};
use crate::mempool::{Alloc, Element, Lent, Mempool, NoReserve, PoolOptions, Waits};

/// How the sizes are to be, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClassOptions {
    /// What is in them, for messages.
    pub name: &'static str,
    /// The smallest piece.
    pub smallest: usize,
    /// The longest piece.
    pub largest: usize,
    /// What each begins at a multiple of.
    pub align: usize,
    /// How many pieces of the largest size are always there.
    pub reserve: usize,
    /// How much it may take from normal memory beyond the reserve.
    pub limit: usize,
    /// How much a thread may keep for itself in free pieces of one size.
    pub magazine: usize,
}

/// The pools of all sizes, the smallest first.
pub(crate) struct Classes {
    pools: Vec<Mempool<Chunk>>,
    largest: usize,
    /// The bytes of the reserve.
    reserved: usize,
    normal: Arc<Limited>,
}

impl Element for Chunk {
    type Context = ();

    fn from_chunk(chunk: Chunk) -> Self {
        chunk
    }
}

/// The sizes from the smallest on, each four times the one before, and the largest.
pub(crate) fn sizes(smallest: usize, largest: usize) -> impl Iterator<Item = usize> {
    std::iter::successors(Some(smallest), |size| Some(size * 4))
        .take_while(move |size| *size < largest)
        .chain([largest])
}

impl Classes {
    /// Pools that take their memory from `source`.
    ///
    /// # Errors
    /// When there is no memory for the reserve.
    pub(crate) fn new(options: ClassOptions, source: &Source) -> Result<Self, NoReserve> {
        let largest = options.largest;
        // The reserve is a part of what is counted: its pieces and others take each other's places.
        let reserved = options.reserve.saturating_mul(largest);
        let normal = Limited::new(Arc::clone(source), options.limit.saturating_add(reserved));
        let counted = Arc::clone(&normal) as Source;
        let pools = sizes(options.smallest, largest).map(|size| {
            let pool = PoolOptions {
                name: options.name,
                layout: Layout::from_size_align(size, options.align).expect("a size and its alignment"),
                reserve: if size == largest { options.reserve } else { 0 },
                magazine: (options.magazine / size).clamp(1, 1024),
            };
            Mempool::new(pool, &counted, Arc::clone(&counted), ())
        });
        Ok(Self { pools: pools.collect::<Result<_, _>>()?, largest, reserved, normal })
    }

    /// The longest piece in bytes.
    pub(crate) fn largest(&self) -> usize {
        self.largest
    }

    /// The memory beyond the reserve that is taken, in bytes.
    pub(crate) fn taken(&self) -> usize {
        self.normal.taken().saturating_sub(self.reserved)
    }

    /// A piece of at least `len` bytes, which are not more than [`Classes::largest`]; `None` only where `how` allows it.
    pub(crate) fn alloc(&self, len: usize, how: Alloc) -> Option<Lent<Chunk>> {
        let fits = self.pools.iter().position(|pool| pool.element_size() >= len)?;
        let (smaller, (fits, larger)) = (&self.pools[..fits], self.pools[fits..].split_first()?);
        fits.alloc(Alloc::NoRetry).or_else(|| self.alloc_dear(smaller, fits, larger, how))
    }

    /// For what threads keep in larger pieces; else from the reserve; else for what they keep in smaller ones; else it
    /// waits.
    #[cold]
    fn alloc_dear(
        &self,
        smaller: &[Mempool<Chunk>],
        fits: &Mempool<Chunk>,
        larger: &[Mempool<Chunk>],
        how: Alloc,
    ) -> Option<Lent<Chunk>> {
        self.evict(larger, fits)
            // The source has no memory: a larger piece that nobody uses costs nothing.
            .or_else(|| larger.iter().find_map(Mempool::alloc_idle))
            .or_else(|| if how == Alloc::NoRetry { None } else { self.alloc_in_need(smaller, fits, how) })
    }

    fn alloc_in_need(
        &self,
        smaller: &[Mempool<Chunk>],
        fits: &Mempool<Chunk>,
        how: Alloc,
    ) -> Option<Lent<Chunk>> {
        self.reserved()
            .alloc_reserve(Alloc::NoWait)
            .or_else(|| self.evict(smaller, fits))
            .or_else(|| if how == Alloc::Wait { self.reserved().alloc_reserve(how) } else { None })
    }

    /// Gives up what threads keep in pieces of other sizes, one by one, until the limit has room for one that fits.
    fn evict(&self, others: &[Mempool<Chunk>], fits: &Mempool<Chunk>) -> Option<Lent<Chunk>> {
        while self.normal.is_full_for(fits.element_size()) {
            if !others.iter().any(Mempool::evict) {
                return None;
            }
            if let Some(piece) = fits.alloc(Alloc::NoRetry) {
                return Some(piece);
            }
        }
        None
    }

    /// Leaves `bio`, which found no piece here, to the reserve: see [`Mempool::park`].
    pub(crate) fn park(&self, bio: Bio) {
        self.reserved().park(bio);
    }

    /// The same for a bio that knows where it goes.
    pub(crate) fn wait(&self, bio: Bio) {
        self.reserved().wait(bio);
    }

    /// Makes this thread's magazines.
    pub(crate) fn prepare_thread(&self) {
        self.pools.iter().for_each(|pool| drop(pool.alloc_kept()));
    }

    /// How it was waited for.
    pub(crate) fn waits(&self) -> Waits {
        self.reserved().waits()
    }

    /// Whether a bio would find a piece, or have to wait.
    pub(crate) fn is_dry(&self) -> bool {
        self.reserved().is_dry()
    }

    /// The pool with the reserve.
    fn reserved(&self) -> &Mempool<Chunk> {
        self.pools.last().expect("there is at least one size")
    }
}
