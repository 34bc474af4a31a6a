//! The locks, atomics and threads of the block layer, in one place, so that a model checker can stand
//! in for them: with `--cfg shuttle` they are shuttle's, which runs a model in one chosen order of steps after another.
//!
//! What is `static` stays the standard library's: it outlives a run of a model.

#[cfg(not(shuttle))]
mod kind {
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, fence};
    pub(crate) use std::sync::{Condvar, MutexGuard};
    pub(crate) use std::thread;

    pub(crate) use super::counted::Mutex;
}

/// The standard library's lock; a debug build counts how often it is taken.
#[cfg(not(shuttle))]
mod counted {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{LockResult, MutexGuard, TryLockError, TryLockResult};

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

        #[inline]
        pub(crate) fn try_lock(&self) -> TryLockResult<MutexGuard<'_, T>> {
            let locked = self.0.try_lock();
            if cfg!(debug_assertions) && !matches!(locked, Err(TryLockError::WouldBlock)) {
                TAKEN.fetch_add(1, Ordering::Relaxed);
            }
            locked
        }
    }
}

#[cfg(not(shuttle))]
pub use counted::locks_taken;

#[cfg(shuttle)]
mod kind {
    pub(crate) use shuttle::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, fence};
    pub(crate) use shuttle::sync::{Condvar, Mutex, MutexGuard};
    pub(crate) use shuttle::thread;
}

pub(crate) use kind::*;
pub(crate) use std::sync::atomic::Ordering;
