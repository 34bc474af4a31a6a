//! Buffers for data, from a pool with a reserve.
//!
//! A buffer is one run, as long as a bio of the pool's user can be, so that a bio takes all of its memory at once:
//! two half-filled bios cannot wait for each other (the kernel takes page after page, and needs a lock and a second
//! pass for that), and a cipher or a ring sees one run.

use std::alloc::Layout;

use crate::bio::{BioChunk, Pad, PadBio};
use crate::classes::{self, ClassOptions, ClassStocks, Classes};
use crate::dispatch::Dispatch;
use crate::lent::Lent;
use crate::memory::{PAGE_SIZE, Source};
use crate::mempool::{Alloc, NoReserve, Waits};
use crate::span::{Span, SpanMut};
use crate::units::Bytes;

/// How a page pool is to be. All sizes are in bytes.
///
/// New fields come with a new major version only.
#[derive(Clone, Copy, Debug)]
pub struct PagePoolOptions {
    /// Whose buffers they are, for messages.
    pub name: &'static str,
    /// The longest buffer, a power of two of at least a page.
    pub largest: usize,
    /// How many buffers of the largest size are always there.
    pub reserve: usize,
    /// How much it may take from normal memory beyond the reserve.
    pub limit: usize,
    /// How much a queue may keep for itself in free buffers of one size. All queues together keep at most half of the
    /// limit.
    pub stock: usize,
}

/// A pool of buffers of several sizes, each four times the one before.
pub struct PagePool(Classes);

/// A channel's way to the buffers of a pool, with some that it keeps.
pub struct Buffers {
    pool: Classes,
    stocks: ClassStocks,
}

/// A buffer that goes home to its pool when it is dropped. It begins at a page border.
///
/// Threads may share it: shared, it is only read. It has one writer:
///
/// ```compile_fail,E0502
/// # use udm_block::{Bytes, Pages};
/// fn race(pages: &mut Pages) {
///     let shared = &*pages;
///     std::thread::scope(|scope| {
///         scope.spawn(|| shared.span(Bytes(512)).is_zero());
///         pages.span_mut(Bytes(512)).fill(1);
///     });
/// }
/// ```
pub struct Pages(Lent<BioChunk>);

impl PagePool {
    /// A pool that takes its memory from `source`.
    ///
    /// # Errors
    /// When there is no memory for the reserve.
    ///
    /// # Panics
    /// When the largest size is not a power of two of at least a page.
    pub fn new(options: PagePoolOptions, source: &Source) -> Result<Self, NoReserve> {
        let PagePoolOptions { name, largest, reserve, limit, stock } = options;
        assert!(largest.is_power_of_two() && largest >= PAGE_SIZE, "buffers of {largest} bytes");
        let (smallest, align) = (PAGE_SIZE, PAGE_SIZE);
        let classes = ClassOptions { name, smallest, largest, align, reserve, limit, stock };
        Ok(Self(Classes::new(classes, source)?))
    }

    /// The longest buffer that it gives.
    pub fn largest(&self) -> Bytes {
        Bytes(self.0.largest() as u64)
    }

    /// The memory beyond the reserve that is taken, in bytes: in use, or kept by a thread for its next buffer.
    pub fn taken(&self) -> Bytes {
        Bytes(self.0.taken() as u64)
    }

    /// A channel's own way to the buffers, for as long as it lives.
    // not on the I/O path: once a channel
    pub fn buffers(&self) -> Buffers {
        Buffers { stocks: ClassStocks::of(&self.0), pool: self.0.clone() }
    }

    /// The layouts of the buffers that it gives, from the smallest on: pages, each size four times the one before.
    pub fn layouts(largest: usize) -> impl Iterator<Item = Layout> {
        classes::sizes(PAGE_SIZE, largest)
            .map(|size| Layout::from_size_align(size, PAGE_SIZE).expect("a power of two of pages"))
    }

    /// How it was waited for.
    pub fn waits(&self) -> Waits {
        self.0.waits()
    }
}

impl Buffers {
    /// The longest buffer that it gives.
    pub fn largest(&self) -> Bytes {
        Bytes(self.pool.largest() as u64)
    }

    /// A buffer of at least `len` bytes; `None` only where `how` allows it.
    ///
    /// # Panics
    /// When `len` exceeds [`Buffers::largest`].
    pub fn alloc(&mut self, cx: &mut Dispatch, len: Bytes, how: Alloc) -> Option<Pages> {
        assert!(len <= self.largest(), "a buffer of {len} bytes from a pool of at most {}", self.largest());
        debug_assert!(how != Alloc::Wait || cx.may_sleep(), "a queue that never sleeps is about to");
        self.stocks.alloc(len.0 as usize, &mut cx.promise, how).map(Pages)
    }

    /// Takes a buffer back, for the next allocation here. One that is dropped goes to the pool.
    pub fn free(&mut self, pages: Pages) {
        self.stocks.free(pages.0);
    }
}

impl Pages {
    /// How many bytes it holds.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Never: a buffer has at least a page.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Its first `len` bytes.
    ///
    /// # Panics
    /// Where it is shorter.
    pub fn span(&self, len: Bytes) -> Span<'_> {
        self.0.span().slice(0, len.0 as usize)
    }

    /// Its first `len` bytes, to be written.
    ///
    /// # Panics
    /// Where it is shorter.
    pub fn span_mut(&mut self, len: Bytes) -> SpanMut<'_> {
        self.0.span_mut().into_slice(0, len.0 as usize)
    }
}

impl<P: Pad> PadBio<P> {
    /// Gives it the first `len` bytes of `pages` for its data. It has pages or a parent inside, not both: a parent that waits
    /// inside is dropped, and so lost. A driver that writes from pages of its own keeps the bio that it serves in its pad.
    ///
    /// # Panics
    /// Where `pages` are shorter.
    pub fn set_pages(&mut self, pages: Pages, len: Bytes) {
        self.set_chunk(pages.0, len.0 as usize);
    }

    /// Takes its pages back; its data is empty then.
    pub fn take_pages(&mut self) -> Option<Pages> {
        self.take_chunk().map(Pages)
    }

    /// Leaves it to `buffers`, where its channel found none for it: it ends, on its queue and with the status that it has,
    /// when the reserve has a buffer for it. Its channel's `end_io` claims it, finds that buffer by the same
    /// [`Buffers::alloc`] and goes on: so the pad says for what the bio was under way. Not for a bio of a queue's user.
    pub fn wait(self, buffers: &Buffers) {
        buffers.pool.park(self.into_waiting());
    }
}
