//! How many completions must come before a bio ends. `tests/loom` includes this file, and has loom try every order in
//! which memory may be seen.

use crate::sync::{AtomicU32, Ordering, fence};

/// The bio's own completion, and one for each piece that was split off.
pub(super) struct Pending(AtomicU32);

impl Pending {
    /// Its own alone.
    pub(super) fn one() -> Self {
        Self(AtomicU32::new(1))
    }

    /// One more must come. Said by one that has yet to come.
    pub(super) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// One came: whether it was the last. What the others did before theirs has then happened, and only the bio's own is
    /// left to be told of.
    pub(super) fn arrive(&self) -> bool {
        // The common case is a bio without pieces, whose count nobody else touches.
        if self.0.load(Ordering::Acquire) != 1 {
            if self.0.fetch_sub(1, Ordering::Release) != 1 {
                return false;
            }
            fence(Ordering::Acquire);
            self.0.store(1, Ordering::Relaxed);
        }
        true
    }
}
