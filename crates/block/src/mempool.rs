//! A pool with a guaranteed reserve (the kernel's `mempool_t`), and the rule by which an allocation is served.
//!
//! An allocation takes from the channel's stock (`stock.rs`); else what others have left here; else from normal memory,
//! within the pool's limit; else from the reserve; else it gives up, and its bio is parked on the pool, or it sleeps.
//! Freeing refills the reserve first, so a stock never robs it.
//!
//! Who waits, a parked bio or a sleeping thread, has a ticket, and the reserve serves tickets in their order. A parked
//! bio that is woken carries a promise of one element to its driver, so that nobody overtakes it on the way.
//!
//! A pool knows nothing of bios: its elements say what waits for them (`Element`, in `pool.rs`).

use std::sync::Arc;

use crate::lent::Lent;
use crate::memory::Source;
use crate::pool::{Element, Pool, PoolOptions};
use crate::promise::Promise;

pub use crate::alloc::{Alloc, NoReserve};
pub use crate::reserve::Waits;

/// A pool of elements with a reserve. It lives until the last of them is dropped.
pub(crate) struct Mempool<E: Element>(Arc<Pool<E>>);

impl<E: Element> Clone for Mempool<E> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<E: Element> Mempool<E> {
    /// A pool that takes its reserve from `source` now, and later what it has beyond that.
    ///
    /// # Errors
    /// When there is not enough memory for the reserve.
    pub(crate) fn new(options: PoolOptions, source: &Source) -> Result<Self, NoReserve> {
        Pool::new(options, source).map(Self)
    }

    /// Tells pools apart while they live.
    #[inline]
    pub(crate) fn id(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    pub(crate) fn options(&self) -> &PoolOptions {
        self.0.options()
    }

    /// An element that is no queue's, by the rule of this module; `None` only where `how` allows it. `promise` is that of
    /// the bio for which it is; it is taken when it is of this pool.
    #[cold]
    pub(crate) fn alloc(&self, promise: &mut Option<Promise>, how: Alloc) -> Option<Lent<E>> {
        match self.0.take_left().or_else(|| self.0.take_normal()) {
            Some(element) => Some(self.lend(element)),
            None if how == Alloc::NoRetry => None,
            None => self.alloc_reserve(promise, how),
        }
    }

    /// An element that some queue has left here.
    pub(crate) fn alloc_left(&self) -> Option<Lent<E>> {
        self.0.take_left().map(|element| self.lend(element))
    }

    /// An element of the reserve, or what `how` says where there is none.
    pub(crate) fn alloc_reserve(&self, promise: &mut Option<Promise>, how: Alloc) -> Option<Lent<E>> {
        self.0.take_reserve(promise, how).map(|element| self.lend(element))
    }

    fn lend(&self, element: E) -> Lent<E> {
        Lent::new(element, Arc::clone(&self.0))
    }

    /// How it was waited for so far.
    pub(crate) fn waits(&self) -> Waits {
        self.0.waits()
    }

    /// Whether an allocation would have to wait for the reserve now.
    pub(crate) fn is_dry(&self) -> bool {
        self.0.is_dry()
    }

    /// Whether the reserve lacks an element: then what is free goes there first.
    #[inline]
    pub(crate) fn is_short(&self) -> bool {
        self.0.is_short()
    }

    /// The size of an element in bytes.
    pub(crate) fn element_size(&self) -> usize {
        self.options().layout.size()
    }

    /// Leaves `waiter`, which found the pool dry, to the pool: when the reserve has an element for it, first come, first
    /// served, it goes on with a promise of that element. When one has become free meanwhile that is at once.
    pub(crate) fn park(&self, waiter: E::Waiter) {
        self.0.park(waiter);
    }

    /// Drops an element that some queue has left here, so that its memory can serve something else: whether there was one.
    pub(crate) fn evict(&self) -> bool {
        self.0.take_left().is_some()
    }
}
