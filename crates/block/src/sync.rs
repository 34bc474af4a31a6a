//! The locks, atomics, threads and thread-locals of the block layer, in one place, so that a model checker can stand
//! in for them: with `--cfg shuttle` they are shuttle's, which runs a model in one chosen order of steps after another.
//!
//! What is `static` stays the standard library's: it outlives a run of a model.

#[cfg(not(shuttle))]
mod kind {
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, fence};
    pub(crate) use std::sync::{Condvar, MutexGuard};
    pub(crate) use std::thread;
    pub(crate) use std::thread_local as local;

    pub(crate) use super::counted::Mutex;
}

/// The standard library's lock; a debug build counts how often it is taken.
#[cfg(not(shuttle))]
mod counted {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{LockResult, MutexGuard};

    static TAKEN: AtomicU64 = AtomicU64::new(0);

    /// How many locks of the block layer all threads have taken, in a debug build; else 0. For tests of what the common
    /// way of an I/O needs.
    pub fn locks_taken() -> u64 {
        TAKEN.load(Ordering::Relaxed)
    }

    pub(crate) struct Mutex<T>(std::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self(std::sync::Mutex::new(value))
        }

        #[inline]
        pub(crate) fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
            if cfg!(debug_assertions) {
                TAKEN.fetch_add(1, Ordering::Relaxed);
            }
            self.0.lock()
        }
    }
}

#[cfg(not(shuttle))]
pub use counted::locks_taken;

#[cfg(shuttle)]
mod kind {
    pub(crate) use super::key::{CellKey, RefCellKey};
    pub(crate) use shuttle::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, fence};
    pub(crate) use shuttle::sync::{Condvar, Mutex, MutexGuard};
    pub(crate) use shuttle::thread;
    pub(crate) use shuttle::thread_local as local;
}

pub(crate) use kind::*;
pub(crate) use std::sync::atomic::Ordering;

/// What the standard library's keys of cells can do, for shuttle's. As there, a cell that needs no destructor can be
/// reached until the thread is gone: here it then has its first value.
#[cfg(shuttle)]
mod key {
    use shuttle::thread::LocalKey;
    use std::cell::{Cell, RefCell};

    pub(crate) trait CellKey<T> {
        fn get(&'static self) -> T
        where
            T: Copy + Default;
        fn set(&'static self, value: T);
        fn replace(&'static self, value: T) -> T;
    }

    impl<T> CellKey<T> for LocalKey<Cell<T>> {
        fn get(&'static self) -> T
        where
            T: Copy + Default,
        {
            self.try_with(Cell::get).unwrap_or_default()
        }
        fn set(&'static self, value: T) {
            let _ = self.try_with(|cell| cell.set(value));
        }
        fn replace(&'static self, value: T) -> T {
            self.with(|cell| cell.replace(value))
        }
    }

    pub(crate) trait RefCellKey<T> {
        fn with_borrow<R>(&'static self, f: impl FnOnce(&T) -> R) -> R;
        fn with_borrow_mut<R>(&'static self, f: impl FnOnce(&mut T) -> R) -> R;
        fn replace(&'static self, value: T) -> T;
    }

    impl<T> RefCellKey<T> for LocalKey<RefCell<T>> {
        fn with_borrow<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
            self.with(|cell| f(&cell.borrow()))
        }
        fn with_borrow_mut<R>(&'static self, f: impl FnOnce(&mut T) -> R) -> R {
            self.with(|cell| f(&mut cell.borrow_mut()))
        }
        fn replace(&'static self, value: T) -> T {
            self.with(|cell| cell.replace(value))
        }
    }
}
