//! Per-thread stocks of free elements, so that the common allocation touches no lock and no shared cache line (the
//! kernel's per-CPU bio caches).
#![allow(unsafe_code)]

use std::cell::{Cell, UnsafeCell};
use std::sync::Mutex;

#[cfg(shuttle)]
use crate::sync::CellKey;
use crate::sync::{AtomicUsize, Ordering, local};

/// How many threads can have magazines at once; further ones go to the shared part of a pool.
const MAX_THREADS: usize = 64;

/// Which of the slots are taken, a bit each.
static TAKEN: Mutex<u64> = Mutex::new(0);

local! {
    static SLOT: Cell<Option<usize>> = const { Cell::new(None) };
    static LEASE: Lease = Lease::take();
}

/// This thread's slot, given back when the thread ends.
struct Lease(Option<usize>);

impl Lease {
    fn take() -> Self {
        let mut taken = TAKEN.lock().unwrap();
        let slot = (!*taken).trailing_zeros() as usize;
        if slot >= MAX_THREADS {
            return Self(None);
        }
        *taken |= 1 << slot;
        SLOT.set(Some(slot));
        Self(Some(slot))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // What other thread-local destructors free after this goes to the shared part.
        SLOT.set(None);
        if let Some(slot) = self.0 {
            *TAKEN.lock().unwrap() &= !(1 << slot);
        }
    }
}

/// This thread's slot; `None` when all are taken or the thread is ending.
#[inline]
fn slot() -> Option<usize> {
    SLOT.get().or_else(|| LEASE.try_with(|lease| lease.0).ok().and_then(|_| SLOT.get()))
}

/// A magazine for each thread.
pub(crate) struct Magazines<E> {
    slots: Box<[Slot<E>]>,
    depth: usize,
}

/// One thread's magazine, on cache lines of its own.
#[repr(align(128))]
struct Slot<E> {
    /// The length of `items`, for other threads to read.
    len: AtomicUsize,
    items: UnsafeCell<Vec<E>>,
}

// SAFETY: the items of a slot are touched by the thread that leases the slot alone; a lease passes from thread to
// thread through the lock of `TAKEN`. Whoever has the magazines exclusively (`&mut`) may touch them all.
unsafe impl<E: Send> Sync for Magazines<E> {}

impl<E> Magazines<E> {
    /// Empty magazines that hold up to `depth` elements a thread.
    pub(crate) fn new(depth: usize) -> Self {
        let empty = || Slot { len: AtomicUsize::new(0), items: UnsafeCell::new(Vec::new()) };
        Self { slots: (0..MAX_THREADS).map(|_| empty()).collect(), depth }
    }

    /// An element of this thread's magazine.
    #[inline]
    pub(crate) fn pop(&self) -> Option<E> {
        let slot = &self.slots[slot()?];
        // SAFETY: this thread leases the slot, and no other reference to the items lives beyond a call of this type.
        let items = unsafe { &mut *slot.items.get() };
        let Some(element) = items.pop() else {
            if items.capacity() == 0 {
                // Once a thread: from then on a magazine never allocates. A thread that only frees has none, and so
                // hoards nothing.
                items.reserve_exact(self.depth);
            }
            return None;
        };
        slot.len.store(items.len(), Ordering::Release);
        Some(element)
    }

    /// Puts an element into this thread's magazine, or hands it back when there is no room. Storing the new length is
    /// the last thing that it does to the pool: see [`Magazines::count`].
    #[inline]
    pub(crate) fn push(&self, element: E) -> Result<(), E> {
        let Some(slot) = slot().map(|slot| &self.slots[slot]) else { return Err(element) };
        // SAFETY: as in `pop`.
        let items = unsafe { &mut *slot.items.get() };
        if items.len() >= self.depth.min(items.capacity()) {
            return Err(element);
        }
        items.push(element);
        slot.len.store(items.len(), Ordering::Release);
        Ok(())
    }

    /// How many elements all magazines hold. When that is all that there are, every `push` has happened, and its
    /// thread touches the pool no more.
    pub(crate) fn count(&self) -> usize {
        self.slots.iter().map(|slot| slot.len.load(Ordering::Acquire)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thread_has_its_own_magazine() {
        let magazines = Magazines::new(2);
        assert_eq!(
            (magazines.push(0), magazines.pop()),
            (Err(0), None),
            "a thread that only frees has a magazine"
        );
        assert_eq!((magazines.push(1), magazines.push(2), magazines.push(3)), (Ok(()), Ok(()), Err(3)));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                assert_eq!(magazines.pop(), None);
                assert_eq!(magazines.push(4), Ok(()));
            });
        });
        assert_eq!(magazines.count(), 3);
        assert_eq!((magazines.pop(), magazines.pop(), magazines.pop()), (Some(2), Some(1), None));
    }
}
