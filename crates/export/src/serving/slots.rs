//! Places for clients: as many as there may be at once.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::core::Core;

/// One of the places for clients, from the moment that one has chosen what it wants.
pub(super) struct ConnectionSlot(Arc<Core>);

impl ConnectionSlot {
    /// A connection slot, if one is free. The thread that accepts is the only one that takes any.
    pub(super) fn take(core: &Arc<Core>) -> Option<Self> {
        if !Self::is_free(core) {
            return None;
        }
        core.slots_taken.fetch_add(1, Ordering::SeqCst);
        Some(Self(Arc::clone(core)))
    }

    pub(super) fn is_free(core: &Core) -> bool {
        core.slots_taken.load(Ordering::SeqCst) < core.max_connections
    }

    pub(super) fn core(&self) -> &Core {
        &self.0
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.0.slots_taken.fetch_sub(1, Ordering::SeqCst);
    }
}
