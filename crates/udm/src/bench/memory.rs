//! Memory as bios have it: page by page, so that no register's load straddles cache lines.

use std::sync::Arc;

use udm_block::memory::{Heap, Source};
use udm_block::{Alloc, Bytes, PagePool, PagePoolOptions, Pages, Span};

use super::BenchError;

/// Some buffers of one size.
pub(super) struct Buffers<const N: usize> {
    // Dropped in this order: a pool goes when what is of it is home.
    pages: [Pages; N],
    _pool: PagePool,
}

impl<const N: usize> Buffers<N> {
    pub(super) fn new(size: usize) -> Result<Self, BenchError> {
        let pool = pool(size, N)?;
        let pages = (0..N).map(|_| pages(&pool, size)).collect::<Result<Vec<_>, _>>()?;
        let pages = pages.try_into().map_err(|_| BenchError("there are not so many pages".into()))?;
        Ok(Self { pages, _pool: pool })
    }

    /// All of each.
    pub(super) fn spans(&self) -> [Span<'_>; N] {
        self.pages.each_ref().map(|pages| pages.span(Bytes(pages.len() as u64)))
    }
}

/// A pool of `count` buffers of `size` bytes.
pub(super) fn pool(size: usize, count: usize) -> Result<PagePool, BenchError> {
    let source: Source = Arc::new(Heap);
    let options =
        PagePoolOptions { name: "bench", largest: size, reserve: count, limit: 0, magazine: count * size };
    PagePool::new(options, &source).map_err(BenchError::of)
}

/// A buffer of the pool.
pub(super) fn pages(pool: &PagePool, size: usize) -> Result<Pages, BenchError> {
    pool.alloc(Bytes(size as u64), Alloc::NoWait).ok_or_else(|| BenchError("no pages".into()))
}
