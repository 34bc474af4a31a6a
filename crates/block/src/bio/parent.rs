//! The bio that waits inside another, which serves it: as a clone of it, or with memory of its own.

use super::raw::{Bio, Memory, NO_SPANS, Pad, PadBio};

impl Bio {
    /// Takes the bio out that waits inside; it has no data then.
    pub(super) fn take_parent(&mut self) -> Option<Self> {
        let own = self.own_mut();
        match std::mem::replace(&mut own.memory, Memory::Elsewhere) {
            Memory::Parent(parent) => {
                (own.spans, own.skip, own.len) = (NO_SPANS, 0, 0);
                Some(parent)
            }
            other => {
                own.memory = other;
                None
            }
        }
    }
}

impl<P: Pad> PadBio<P> {
    /// Makes it a clone of `parent` (the kernel's `bio_alloc_clone`): the same operation, flags, range and memory.
    /// The parent waits inside until [`PadBio::take_parent`].
    pub fn clone_of(&mut self, parent: Bio) {
        self.bio_mut().borrow_front(&parent, parent.own().len);
        self.bio_mut().own_mut().memory = Memory::Parent(parent);
    }

    /// Keeps `parent` inside without borrowing its memory. It has no data then, and pages of its own go back to their pool.
    /// [`PadBio::set_pages`] would drop the parent: a bio that has both keeps the other bio in its pad.
    pub fn set_parent(&mut self, parent: Bio) {
        let own = self.bio_mut().own_mut();
        (own.spans, own.skip, own.len) = (NO_SPANS, 0, 0);
        own.memory = Memory::Parent(parent);
    }

    /// The bio that waits inside.
    pub fn parent(&self) -> Option<&Bio> {
        match &self.own().memory {
            Memory::Parent(parent) => Some(parent),
            _ => None,
        }
    }

    /// Takes the bio out that waits inside; the clone has no data then.
    pub fn take_parent(&mut self) -> Option<Bio> {
        self.bio_mut().take_parent()
    }
}
