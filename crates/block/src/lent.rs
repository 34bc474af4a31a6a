//! An element that is out of its pool.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use crate::pool::{Element, Pool};

/// An element of a pool: dropped, it goes home. It keeps the pool.
pub(crate) struct Lent<E: Element>(Option<(E, Arc<Pool<E>>)>);

impl<E: Element> Lent<E> {
    pub(crate) fn new(element: E, pool: Arc<Pool<E>>) -> Self {
        Self(Some((element, pool)))
    }

    /// Drops it for good: its memory goes back to where it came from.
    pub(crate) fn discard(mut self) {
        drop(self.0.take());
    }

    /// Which pool it is of: [`Mempool::id`](crate::mempool::Mempool::id).
    #[inline]
    pub(crate) fn pool_id(&self) -> usize {
        self.0.as_ref().map_or(0, |(_, pool)| Arc::as_ptr(pool).addr())
    }
}

impl<E: Element> Deref for Lent<E> {
    type Target = E;
    #[inline]
    fn deref(&self) -> &E {
        &self.0.as_ref().expect("taken by drop alone").0
    }
}

impl<E: Element> DerefMut for Lent<E> {
    #[inline]
    fn deref_mut(&mut self) -> &mut E {
        &mut self.0.as_mut().expect("taken by drop alone").0
    }
}

impl<E: Element> Drop for Lent<E> {
    fn drop(&mut self) {
        if let Some((element, pool)) = self.0.take() {
            pool.put(element);
        }
    }
}
