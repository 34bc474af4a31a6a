//! Tables of runs, for bios that have more of them than fit inside (the kernel's `bvec` slabs).

use std::mem::align_of;

use super::raw::INLINE_SPANS;
use crate::alloc::NoReserve;
use crate::classes::{ClassOptions, Classes};
use crate::memory::Source;
use crate::span::Span;

/// The most runs of memory that a bio can have (the kernel's `BIO_MAX_VECS`).
pub const MAX_SPANS: usize = 256;

/// The shortest table, in runs.
const SHORTEST: usize = 16;

/// Tables of up to `longest` runs: `reserve` of the longest are always there, and `limit` more, as long, at most.
///
/// # Errors
/// When there is no memory for the reserve.
pub(super) fn tables(
    name: &'static str,
    longest: usize,
    (reserve, limit, stock): (usize, usize, usize),
    source: &Source,
) -> Result<Option<Classes>, NoReserve> {
    assert!(longest <= MAX_SPANS, "bios of {longest} runs, where the most is {MAX_SPANS}");
    if longest <= INLINE_SPANS {
        return Ok(None);
    }
    let largest = bytes(longest.max(SHORTEST));
    let options = ClassOptions {
        name,
        smallest: bytes(SHORTEST),
        largest,
        align: align_of::<Span<'_>>(),
        reserve,
        limit: limit * largest,
        stock: stock * largest,
    };
    Classes::new(options, source).map(Some)
}

/// The size of a table of so many runs.
pub(super) const fn bytes(runs: usize) -> usize {
    runs * size_of::<Span<'_>>()
}
