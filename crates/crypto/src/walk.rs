//! Walks a request in runs of whole units that are contiguous in memory, which is all that a kernel for a cipher wants.

use crate::error::CryptError;
use crate::request::{MAX_UNIT_SIZE, Request};
use udm_block::{Span, SpanIter};

/// Whole units one after the other in memory.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// The number of the first unit within the request: its IV is `request.iv.iv(first)`.
    pub first: usize,
    /// How many units; at least one.
    pub units: usize,
    /// Where they are, in `units * unit_size` bytes.
    pub src: Span<'a>,
    /// Where the results go: as many bytes, the same memory or none in common.
    pub dst: Span<'a>,
}

/// Gives `each` all units of a valid request in order, in runs as long as the spans allow. A unit that straddles spans
/// on either side comes alone, in a buffer on the stack, and is carried there and back.
///
/// # Errors
/// Those of `each`; the walk ends at the first.
///
/// # Panics
/// Where the unit size is 0 or above [`MAX_UNIT_SIZE`], or the spans hold fewer bytes than their cursors say.
pub fn runs(
    request: &Request<'_>,
    mut each: impl FnMut(&Run<'_>) -> Result<(), CryptError>,
) -> Result<(), CryptError> {
    let unit = request.unit_size;
    let (mut src, mut dst) = (request.src, request.dst);
    let mut first = 0;
    while !src.is_empty() {
        let (from, to) = (src.peek(), dst.peek());
        let units = from.len().min(to.len()) / unit;
        if units == 0 {
            bounce(unit, first, &mut src, &mut dst, &mut each)?;
            first += 1;
        } else {
            let len = units * unit;
            each(&Run { first, units, src: from.slice(0, len), dst: to.slice(0, len) })?;
            src.advance(len);
            dst.advance(len);
            first += units;
        }
    }
    Ok(())
}

/// One unit by way of the stack. Out of line, so that the usual walk has no page-sized frame to set up.
#[inline(never)]
fn bounce(
    unit: usize,
    first: usize,
    src: &mut SpanIter<'_>,
    dst: &mut SpanIter<'_>,
    each: &mut impl FnMut(&Run<'_>) -> Result<(), CryptError>,
) -> Result<(), CryptError> {
    let mut buffer = [0; MAX_UNIT_SIZE];
    let buffer = &mut buffer[..unit];
    src.read(buffer);
    let here = Span::new(buffer);
    each(&Run { first, units: 1, src: here, dst: here })?;
    dst.write(buffer);
    Ok(())
}
