//! What a bio that waited carries to its driver: one element of the pool that woke it, which nobody else gets.
#![allow(unsafe_code)]

use std::ptr::NonNull;

/// What can promise its elements: a pool.
pub(crate) trait Promises: Sync {
    /// A promise was not made use of.
    fn take_back(&self);
}

/// The right to one element of a pool's reserve.
pub(crate) struct Promise(NonNull<dyn Promises>);

// SAFETY: what promises is Sync.
unsafe impl Send for Promise {}

impl Promise {
    /// A promise of `pool`, which has counted it.
    ///
    /// # Safety
    /// The pool lives until it has the promise back: by `take_back`, or as an element that is taken.
    pub(crate) unsafe fn new(pool: NonNull<dyn Promises>) -> Self {
        Self(pool)
    }

    /// Whether it is `pool` that promised.
    pub(crate) fn is_of<P: Promises>(&self, pool: &P) -> bool {
        std::ptr::addr_eq(self.0.as_ptr(), pool)
    }

    /// Gives it up for the element that is taken now: always true.
    pub(crate) fn redeem(self) -> bool {
        std::mem::forget(self);
        true
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        // SAFETY: the pool lives until it has its promise back, which is here.
        unsafe { self.0.as_ref().take_back() }
    }
}
