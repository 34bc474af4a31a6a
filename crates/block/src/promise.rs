//! What a bio that waited carries to its driver: one element of the pool that woke it, which nobody else gets.

use std::sync::Arc;

/// What can promise its elements: a pool.
pub(crate) trait Promises: Send + Sync {
    /// A promise was not made use of.
    fn take_back(self: Arc<Self>);
}

/// The right to one element of a pool's reserve.
pub(crate) struct Promise(Option<Arc<dyn Promises>>);

impl Promise {
    /// A promise of `pool`, which has counted it.
    pub(crate) fn new(pool: Arc<dyn Promises>) -> Self {
        Self(Some(pool))
    }

    /// Whether it is `pool` that promised.
    pub(crate) fn is_of<P: Promises>(&self, pool: &P) -> bool {
        self.0.as_ref().is_some_and(|mine| std::ptr::addr_eq(Arc::as_ptr(mine), pool))
    }

    /// Gives it up for the element that is taken now.
    pub(crate) fn redeem(mut self) {
        self.0 = None;
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        if let Some(pool) = self.0.take() {
            pool.take_back();
        }
    }
}
