//! How much of a pool's limit all queues together may keep in their stocks.

use std::sync::Arc;

use crate::sync::{AtomicUsize, Ordering};

/// What may be kept: half of a limit. So whatever queues keep and do not use, the other half is there for who needs it.
#[derive(Debug)]
pub(crate) struct Share {
    most: usize,
    kept: AtomicUsize,
}

impl Share {
    /// Half of `limit`, in bytes.
    pub(crate) fn half_of(limit: usize) -> Arc<Self> {
        // not on the I/O path: once a pool
        Arc::new(Self { most: limit / 2, kept: AtomicUsize::new(0) })
    }

    /// Asks for room for `bytes` more.
    pub(crate) fn take(&self, bytes: usize) -> bool {
        if self.kept.load(Ordering::Relaxed).saturating_add(bytes) > self.most {
            // Whoever asks in vain again and again only reads.
            return false;
        }
        let fits = self.kept.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) <= self.most;
        if !fits {
            self.give(bytes);
        }
        fits
    }

    /// Gives room for `bytes` back.
    pub(crate) fn give(&self, bytes: usize) {
        self.kept.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_a_limit_may_be_kept() {
        let share = Share::half_of(10);
        assert!(share.take(3) && share.take(2) && !share.take(1));
        share.give(2);
        assert!(!share.take(3) && share.take(2));
        assert!(!Share::half_of(1).take(1));
    }
}
