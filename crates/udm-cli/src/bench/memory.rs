//! Memory as bios have it: page by page, so that no register's load straddles cache lines.

use std::sync::Arc;

use udm_block::memory::{Heap, Source};
use udm_block::{Alloc, Buffers, Bytes, PagePool, PagePoolOptions, Pages, Queue, SpanMut};

use super::BenchError;

/// Some buffers of one size.
pub(super) struct Memory<const N: usize>([Pages; N]);

impl<const N: usize> Memory<N> {
    pub(super) fn new(size: usize) -> Result<Self, BenchError> {
        let mut queue = Queue::new().map_err(BenchError::of)?;
        let mut buffers = pool(size, N)?.buffers();
        let pages = (0..N).map(|_| pages(&mut queue, &mut buffers, size)).collect::<Result<Vec<_>, _>>()?;
        let pages = pages.try_into().map_err(|_| BenchError("there are not so many pages".into()))?;
        Ok(Self(pages))
    }

    /// All of each.
    pub(super) fn spans(&mut self) -> [SpanMut<'_>; N] {
        self.0.each_mut().map(|pages| pages.span_mut(Bytes(pages.len() as u64)))
    }
}

/// A pool of `count` buffers of `size` bytes.
pub(super) fn pool(size: usize, count: usize) -> Result<PagePool, BenchError> {
    let source: Source = Arc::new(Heap);
    let options =
        PagePoolOptions { name: "bench", largest: size, reserve: count, limit: 0, stock: count * size };
    PagePool::new(options, &source).map_err(BenchError::of)
}

/// A buffer of the pool.
pub(super) fn pages(queue: &mut Queue, buffers: &mut Buffers, size: usize) -> Result<Pages, BenchError> {
    let pages = buffers.alloc(queue.cx(), Bytes(size as u64), Alloc::NoWait);
    pages.ok_or_else(|| BenchError("no pages".into()))
}
