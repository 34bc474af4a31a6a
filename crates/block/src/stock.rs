//! The free elements of a pool that one queue keeps for itself, so that the common allocation touches nothing that
//! queues share (the kernel's per-CPU bio caches).

use crate::lent::Lent;
use crate::mempool::{Alloc, Mempool};
use crate::pool::Element;
use crate::promise::Promise;

/// A channel's free elements of one pool. What it keeps goes home when it is dropped.
pub(crate) struct Stock<E: Element> {
    pool: Mempool<E>,
    kept: Vec<Lent<E>>,
    /// How many it may keep by now, of its pool's share.
    room: usize,
}

impl<E: Element> Stock<E> {
    // not on the I/O path: once a channel
    pub(crate) fn of(pool: &Mempool<E>) -> Self {
        Self { pool: pool.clone(), kept: Vec::with_capacity(pool.options().stock), room: 0 }
    }

    pub(crate) fn pool(&self) -> &Mempool<E> {
        &self.pool
    }

    /// An element, by the rule of [`crate::mempool`].
    #[inline]
    pub(crate) fn alloc(&mut self, promise: &mut Option<Promise>, how: Alloc) -> Option<Lent<E>> {
        self.kept.pop().or_else(|| self.pool.alloc(promise, how))
    }

    /// An element that is kept here.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<Lent<E>> {
        self.kept.pop()
    }

    /// Keeps an element for the next allocation, unless the reserve lacks one or there is no room.
    #[inline]
    pub(crate) fn free(&mut self, element: Lent<E>) {
        debug_assert_eq!(element.pool_id(), self.pool.id(), "an element goes back to its own pool");
        if !self.pool.is_short() && (self.kept.len() < self.room || self.grow()) {
            self.kept.push(element);
        }
    }

    /// Asks for room for one more.
    #[cold]
    fn grow(&mut self) -> bool {
        let options = self.pool.options();
        let grows = self.room < options.stock && options.share.take(options.layout.size());
        self.room += usize::from(grows);
        grows
    }

    /// Drops an element that is kept, so that its memory can serve something else: whether there was one.
    pub(crate) fn evict(&mut self) -> bool {
        let Some(element) = self.kept.pop() else { return false };
        element.discard();
        true
    }
}

impl<E: Element> Drop for Stock<E> {
    fn drop(&mut self) {
        self.kept.clear();
        let options = self.pool.options();
        options.share.give(self.room * options.layout.size());
    }
}

#[cfg(test)]
mod tests {
    use std::alloc::Layout;
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::bio::BioChunk;
    use crate::memory::{Heap, Refuse, Source, Starving};
    use crate::pool::PoolOptions;
    use crate::share::Share;

    fn starving_stock(reserve: usize, keep: usize) -> (Stock<BioChunk>, Arc<Starving>) {
        let starving = Starving::new(Arc::new(Heap));
        let source: Source = Arc::clone(&starving) as Source;
        let layout = Layout::from_size_align(64, 64).unwrap();
        let share = Share::half_of(2 * keep * layout.size());
        let options = PoolOptions { name: "test", layout, reserve, stock: 4, share };
        (Stock::of(&Mempool::new(options, &source).unwrap()), starving)
    }

    #[test]
    fn the_reserve_serves_when_normal_memory_fails_and_is_refilled_first() {
        let (mut stock, starving) = starving_stock(1, 4);
        let alloc = |stock: &mut Stock<BioChunk>, how| stock.alloc(&mut None, how);
        let normal = alloc(&mut stock, Alloc::NoRetry).unwrap();
        starving.refuse(Refuse::Always);
        assert!(alloc(&mut stock, Alloc::NoRetry).is_none());
        let last = alloc(&mut stock, Alloc::NoWait).unwrap();
        assert!(alloc(&mut stock, Alloc::NoWait).is_none());
        // The first free refills the reserve, though the stock had room for it.
        stock.free(normal);
        let again = alloc(&mut stock, Alloc::NoWait).unwrap();
        assert!(alloc(&mut stock, Alloc::NoRetry).is_none());
        stock.free(last);
        stock.free(again);
        assert_eq!(stock.kept.len(), 1, "one in the reserve, one kept");
    }

    #[test]
    fn a_sleeper_is_woken_by_a_free() {
        let (mut stock, starving) = starving_stock(1, 4);
        starving.refuse(Refuse::Always);
        let only = stock.alloc(&mut None, Alloc::NoWait).unwrap();
        let pool = stock.pool().clone();
        std::thread::scope(|scope| {
            let sleeper = scope.spawn(move || drop(Stock::of(&pool).alloc(&mut None, Alloc::Wait)));
            std::thread::sleep(Duration::from_millis(20));
            assert!(!sleeper.is_finished());
            stock.free(only);
        });
    }

    #[test]
    fn what_is_freed_is_there_again_without_asking() {
        let (mut stock, starving) = starving_stock(1, 4);
        for _ in 0..10 {
            let element = stock.alloc(&mut None, Alloc::NoWait).unwrap();
            stock.free(element);
        }
        assert_eq!(starving.counts().0, 2, "the reserve, and one");
    }

    #[test]
    fn no_more_than_the_share_is_kept_and_a_stock_that_ends_gives_it_back() {
        let (mut stock, _) = starving_stock(0, 3);
        let mut other = Stock::of(stock.pool());
        let some = |stock: &mut Stock<BioChunk>| -> Vec<_> {
            (0..5).map(|_| stock.alloc(&mut None, Alloc::NoWait).unwrap()).collect()
        };
        let elements = some(&mut stock);
        for element in elements {
            stock.free(element);
        }
        let elements = some(&mut other);
        for element in elements {
            other.free(element);
        }
        assert_eq!((stock.kept.len(), other.kept.len()), (3, 0), "the share is three");
        drop(stock);
        let elements = some(&mut other);
        for element in elements {
            other.free(element);
        }
        assert_eq!(other.kept.len(), 3);
    }
}
