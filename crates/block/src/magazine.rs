//! Per-thread stocks of free elements, so that the common allocation touches no lock and no shared cache line (the
//! kernel's per-CPU bio caches).
//!
//! What a thread keeps and does not use is not lost to the others: a thread that finds no memory takes from any magazine
//! (the kernel drains its caches when memory is short). So each magazine has a mark that says that somebody is at it.
//! Nobody ever waits for the mark: its thread goes to the shared part of the pool then, and others go on to the next.
#![allow(unsafe_code)]

use std::cell::{Cell, UnsafeCell};
use std::sync::{Mutex, atomic};

#[cfg(shuttle)]
use crate::sync::CellKey;
use crate::sync::{AtomicUsize, Ordering, local};

/// How many threads can have magazines at once; further ones go to the shared part of a pool.
const MAX_THREADS: usize = 64;

/// Which of the slots are taken, a bit each.
static TAKEN: Mutex<u64> = Mutex::new(0);
/// How many slots were ever taken: the magazines of the others are empty.
static USED: atomic::AtomicUsize = atomic::AtomicUsize::new(0);

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
        USED.fetch_max(slot + 1, Ordering::Release);
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
    /// How many items there are, or [`BUSY`].
    len: AtomicUsize,
    items: UnsafeCell<Vec<E>>,
}

/// Somebody is at the items.
const BUSY: usize = usize::MAX;

// SAFETY: the items of a slot are touched by whoever has put the mark there, one at a time (see `Slot::at`).
unsafe impl<E: Send> Sync for Magazines<E> {}

impl<E> Slot<E> {
    /// Does `work` on the items, unless another thread is at them. That their number is stored is the last thing that it
    /// does to the slot.
    #[inline]
    fn at<R>(&self, work: impl FnOnce(&mut Vec<E>) -> R) -> Option<R> {
        if self.len.swap(BUSY, Ordering::Acquire) == BUSY {
            return None;
        }
        // SAFETY: this thread has put the mark, and nobody else touches the items while it stands.
        let items = unsafe { &mut *self.items.get() };
        let result = work(items);
        self.len.store(items.len(), Ordering::Release);
        Some(result)
    }
}

impl<E> Magazines<E> {
    /// Empty magazines that hold up to `depth` elements a thread.
    pub(crate) fn new(depth: usize) -> Self {
        let empty = || Slot { len: AtomicUsize::new(0), items: UnsafeCell::new(Vec::new()) };
        Self { slots: (0..MAX_THREADS).map(|_| empty()).collect(), depth }
    }

    /// An element of this thread's magazine.
    #[inline]
    pub(crate) fn pop(&self) -> Option<E> {
        self.slots[slot()?].at(|items| {
            if items.capacity() == 0 {
                // Once a thread: from then on a magazine never allocates. A thread that only frees has none, and so
                // hoards nothing.
                items.reserve_exact(self.depth);
            }
            items.pop()
        })?
    }

    /// Puts an element into this thread's magazine, or hands it back when there is no room. Storing the new length is
    /// the last thing that it does to the pool: see [`Magazines::count`].
    #[inline]
    pub(crate) fn push(&self, element: E) -> Result<(), E> {
        let Some(slot) = slot() else { return Err(element) };
        let mut element = Some(element);
        self.slots[slot].at(|items| {
            if items.len() < self.depth.min(items.capacity())
                && let Some(element) = element.take()
            {
                items.push(element);
            }
        });
        element.map_or(Ok(()), Err)
    }

    /// An element of any thread's magazine, also of threads that have ended: for whoever finds no memory elsewhere.
    #[cold]
    pub(crate) fn steal(&self) -> Option<E> {
        let used = &self.slots[..USED.load(Ordering::Acquire)];
        used.iter().find_map(|slot| match slot.len.load(Ordering::Relaxed) {
            0 | BUSY => None,
            _ => slot.at(Vec::pop).flatten(),
        })
    }

    /// How many elements all magazines hold; `None` while a thread is at one. When that is all that there are, every `push`
    /// has happened, and its thread touches the pool no more.
    pub(crate) fn count(&self) -> Option<usize> {
        let lens = self.slots.iter().map(|slot| slot.len.load(Ordering::Acquire));
        lens.map(|len| (len != BUSY).then_some(len)).sum()
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
        assert_eq!(magazines.count(), Some(3));
        assert_eq!((magazines.pop(), magazines.pop(), magazines.pop()), (Some(2), Some(1), None));
        // That of the thread that has ended is there for whoever asks for it.
        assert_eq!((magazines.steal(), magazines.steal()), (Some(4), None));
    }

    #[test]
    fn nobody_waits_for_a_magazine_that_another_thread_is_at() {
        let magazines = Magazines::new(2);
        assert_eq!((magazines.pop(), magazines.push(1)), (None, Ok(())));
        let mine = &magazines.slots[slot().unwrap()];
        let seen = mine.at(|_| (magazines.pop(), magazines.push(2), magazines.steal(), magazines.count()));
        assert_eq!(seen, Some((None, Err(2), None, None)));
        assert_eq!((magazines.count(), magazines.steal()), (Some(1), Some(1)));
    }
}
