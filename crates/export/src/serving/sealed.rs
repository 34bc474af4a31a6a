//! Connections that take all of their memory before their first request: for devices that are swapped to.

use std::io;
use std::sync::Arc;

use udm_block::memory::{Heap, Source};
use udm_block::sealed::{NoStock, Sealed};
use udm_block::{PagePool, Queue};

use super::budget::{Budget, DEPTH};

/// The longest read or write of an export whose connections are sealed, in bytes: see
/// [`Export::of_at_most`](crate::nbd::server::Export::of_at_most). Linux's nbd driver asks for 128 KiB at most, unless it is told
/// otherwise (`max_sectors_kb`).
pub const SEALED_LONGEST: u32 = 256 << 10;
/// At most what a sealed connection takes, in bytes: its buffers, bios, stack and ring.
pub const SEALED_MEMORY: usize = 10 << 20;
/// The stack of a sealed connection's thread, in bytes.
pub(super) const STACK: usize = 1 << 20;

/// How many buffers of each size are in stock, from pages on: a full depth of pages, and fewer of what moves more.
const STOCK: [usize; 4] = [DEPTH, 64, 32, 15];

/// A sealed connection's budget: what is in stock, and for when that is out a reserve of one longest buffer.
const BUDGET: Budget = Budget {
    longest: SEALED_LONGEST as usize,
    bios: DEPTH,
    buffers: 1,
    limit: (STOCK[0] * 4 + STOCK[1] * 16 + STOCK[2] * 64 + STOCK[3] * 256) << 10,
};

/// Is told of the connections of a server whose memory is locked. Its calls come on the thread of the connection.
pub trait MemoryLockGuard: Send + Sync {
    /// A connection has taken all that it will take; its first request comes next.
    fn began(&self, memory: &Arc<Sealed>);

    /// The connection has answered its last request.
    fn ended(&self, memory: &Arc<Sealed>);
}

/// Where a connection's memory comes from.
pub enum ConnectionMemory<'a> {
    /// From the process's own memory, when it is wanted.
    Growing(&'a Source),
    /// Everything at once.
    Sealed(Arc<Sealed>, &'a dyn MemoryLockGuard),
}

impl<'a> ConnectionMemory<'a> {
    /// Sealed where there is a guard.
    pub(super) fn new(source: &'a Source, lock_guard: Option<&'a dyn MemoryLockGuard>) -> Self {
        lock_guard
            .map_or(Self::Growing(source), |lock_guard| Self::Sealed(Sealed::new(Arc::new(Heap)), lock_guard))
    }

    /// A queue that takes no memory later, where the connection is sealed.
    ///
    /// # Errors
    /// When the system has no descriptor left.
    pub fn queue(&self) -> io::Result<Queue> {
        match self {
            Self::Growing(_) => Queue::new(),
            Self::Sealed(..) => Queue::sealed(),
        }
    }

    /// What a connection has at hand.
    pub fn budget(&self) -> &'static Budget {
        match self {
            Self::Growing(_) => &Budget::GROWING,
            Self::Sealed(..) => &BUDGET,
        }
    }

    /// What its pools take memory from.
    pub fn source(&self) -> Source {
        match self {
            Self::Growing(source) => Arc::clone(source),
            Self::Sealed(memory, _) => Arc::clone(memory) as Source,
        }
    }

    /// Takes the rest, and closes the source: the connection was made of it.
    ///
    /// # Errors
    /// When there is not enough memory.
    pub fn begin(&self) -> Result<(), NoStock> {
        let Self::Sealed(memory, lock_guard) = self else { return Ok(()) };
        memory.stock_as_reserved()?;
        stock_pages(memory, &STOCK)?;
        memory.seal();
        lock_guard.began(memory);
        Ok(())
    }

    /// The connection is over.
    pub fn end(&self) {
        if let Self::Sealed(memory, lock_guard) = self {
            lock_guard.ended(memory);
        }
    }
}

/// Takes `counts` buffers of the sizes that a [`PagePool`] has, from pages on.
///
/// # Errors
/// Those of [`Sealed::stock`].
pub fn stock_pages(memory: &Sealed, counts: &[usize]) -> Result<(), NoStock> {
    PagePool::layouts(1 << 30).zip(counts).try_for_each(|(layout, count)| memory.stock(layout, *count))
}
