//! A pool of pieces of memory of several sizes, each four times the one before. The largest has the reserve, and serves
//! everybody in need: so there is one queue of those who wait, and a reserve of one is enough.
//!
//! All sizes share one limit, and what queues keep for their next piece counts: at most half of it. So a burst of large
//! pieces must not leave the limit full of large pieces that nobody uses: whoever finds no room for another size gives its
//! own back, and those that others have left.

use std::alloc::Layout;
use std::sync::Arc;

use crate::bio::{Bio, BioChunk};
use crate::lent::Lent;
use crate::memory::{Limited, Source};
use crate::mempool::{Alloc, Mempool, NoReserve, Waits};
use crate::pool::PoolOptions;
use crate::promise::Promise;
use crate::share::Share;
use crate::stock::Stock;

/// How the sizes are to be, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClassOptions {
    /// What is in them, for messages.
    pub(crate) name: &'static str,
    /// The smallest piece.
    pub(crate) smallest: usize,
    /// The longest piece.
    pub(crate) largest: usize,
    /// What each begins at a multiple of.
    pub(crate) align: usize,
    /// How many pieces of the largest size are always there.
    pub(crate) reserve: usize,
    /// How much it may take from normal memory beyond the reserve.
    pub(crate) limit: usize,
    /// How much a queue may keep for itself in free pieces of one size.
    pub(crate) stock: usize,
}

/// The pools of all sizes, the smallest first.
#[derive(Clone)]
pub(crate) struct Classes {
    pools: Arc<[Mempool<BioChunk>]>,
    /// The bytes of the reserve.
    reserved: usize,
    normal: Arc<Limited>,
}

/// What one channel keeps of each size.
pub(crate) struct ClassStocks {
    stocks: Vec<Stock<BioChunk>>,
    normal: Arc<Limited>,
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
    // not on the I/O path: once a pool
    pub(crate) fn new(options: ClassOptions, source: &Source) -> Result<Self, NoReserve> {
        let largest = options.largest;
        // The reserve is a part of what is counted: its pieces and others take each other's places.
        let reserved = options.reserve.saturating_mul(largest);
        let normal = Limited::new(Arc::clone(source), options.limit.saturating_add(reserved));
        let counted = Arc::clone(&normal) as Source;
        let share = Share::half_of(options.limit);
        let pools = sizes(options.smallest, largest).map(|size| {
            let pool = PoolOptions {
                name: options.name,
                layout: Layout::from_size_align(size, options.align).expect("a size and its alignment"),
                reserve: if size == largest { options.reserve } else { 0 },
                stock: (options.stock / size).clamp(1, 1024),
                share: Arc::clone(&share),
            };
            Mempool::new(pool, &counted)
        });
        Ok(Self { pools: pools.collect::<Result<_, _>>()?, reserved, normal })
    }

    /// The longest piece in bytes.
    pub(crate) fn largest(&self) -> usize {
        self.with_reserve().element_size()
    }

    /// The memory beyond the reserve that is taken, in bytes.
    pub(crate) fn taken(&self) -> usize {
        self.normal.taken().saturating_sub(self.reserved)
    }

    /// Leaves `bio`, which found no piece, to the reserve: see [`Mempool::park`].
    pub(crate) fn park(&self, bio: Bio) {
        self.with_reserve().park(bio);
    }

    /// How it was waited for.
    pub(crate) fn waits(&self) -> Waits {
        self.with_reserve().waits()
    }

    /// Whether a bio would find a piece, or have to wait.
    pub(crate) fn is_dry(&self) -> bool {
        self.with_reserve().is_dry()
    }

    /// The pool with the reserve.
    fn with_reserve(&self) -> &Mempool<BioChunk> {
        self.pools.last().expect("there is at least one size")
    }
}

impl ClassStocks {
    // not on the I/O path: once a channel
    pub(crate) fn of(classes: &Classes) -> Self {
        Self { stocks: classes.pools.iter().map(Stock::of).collect(), normal: Arc::clone(&classes.normal) }
    }

    /// A piece of at least `len` bytes, which are not more than [`Classes::largest`]; `None` only where `how` allows it.
    #[inline]
    pub(crate) fn alloc(
        &mut self,
        len: usize,
        promise: &mut Option<Promise>,
        how: Alloc,
    ) -> Option<Lent<BioChunk>> {
        let fits = self.stocks.iter().position(|stock| stock.pool().element_size() >= len)?;
        self.stocks[fits].pop().or_else(|| self.alloc_dear(fits, promise, how))
    }

    /// From normal memory; for what is kept in larger pieces; else from the reserve; else for what is kept in smaller ones;
    /// else it waits.
    #[cold]
    fn alloc_dear(
        &mut self,
        fits: usize,
        promise: &mut Option<Promise>,
        how: Alloc,
    ) -> Option<Lent<BioChunk>> {
        if let Some(piece) =
            self.stocks[fits].alloc(promise, Alloc::NoRetry).or_else(|| self.evict(fits, true))
        {
            return Some(piece);
        }
        // The source has no memory: a larger piece that nobody uses costs nothing.
        let mut larger = self.stocks[fits + 1..].iter_mut();
        if let Some(piece) = larger.find_map(|stock| stock.pop().or_else(|| stock.pool().alloc_left())) {
            return Some(piece);
        }
        if how == Alloc::NoRetry {
            return None;
        }
        if let Some(piece) = self.with_reserve().alloc_reserve(promise, Alloc::NoWait) {
            return Some(piece);
        }
        self.evict(fits, false).or_else(|| match how {
            Alloc::Wait => self.with_reserve().alloc_reserve(promise, how),
            _ => None,
        })
    }

    /// Gives up what is kept in larger or smaller pieces, one by one, until the limit has room for one that fits.
    fn evict(&mut self, fits: usize, in_larger: bool) -> Option<Lent<BioChunk>> {
        let size = self.stocks[fits].pool().element_size();
        while self.normal.is_full_for(size) {
            let (smaller, larger) = self.stocks.split_at_mut(fits);
            let others = if in_larger { &mut larger[1..] } else { smaller };
            if !others.iter_mut().any(|stock| stock.evict() || stock.pool().evict()) {
                return None;
            }
            if let Some(piece) = self.stocks[fits].alloc(&mut None, Alloc::NoRetry) {
                return Some(piece);
            }
        }
        None
    }

    /// Keeps a piece for the next allocation, where there is room.
    #[inline]
    pub(crate) fn free(&mut self, piece: Lent<BioChunk>) {
        let id = piece.pool_id();
        match self.stocks.iter_mut().find(|stock| stock.pool().id() == id) {
            Some(stock) => stock.free(piece),
            // It goes home by itself.
            None => drop(piece),
        }
    }

    fn with_reserve(&self) -> &Mempool<BioChunk> {
        self.stocks.last().expect("there is at least one size").pool()
    }
}
