//! Walks a request in runs of whole units that are contiguous in memory, which is all that a kernel for a cipher wants.

use crate::error::CryptError;
use crate::request::{MAX_UNIT_SIZE, Request, units_in};
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

/// Whole units one after the other in memory, or a part of one.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// The number within the request of the first unit, or of the one that this is a part of.
    pub first: usize,
    /// How many units; 0 where this is a part of one.
    pub units: usize,
    /// Where in its unit a part begins, in bytes; 0 for whole units.
    pub at: usize,
    /// Where they are.
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
    pieces(request, |piece| match piece {
        Piece::Run(run) => each(&run),
        Piece::Straddling { unit, src, dst } => bounce(request.unit_size, unit, src, dst, &mut each),
    })
}

/// Gives `each` all units of a valid request in order, as [`runs`] does, but a unit that straddles spans on either side
/// in parts: whole blocks of `block` bytes where they are. Only a block that itself straddles is carried to the stack
/// and back. A unit's parts come in order, the first with `at` 0.
///
/// # Errors
/// Those of `each`; the walk ends at the first.
///
/// # Panics
/// As [`runs`], and where `block` is 0 or above [`MAX_BLOCK_SIZE`].
pub fn parts(
    request: &Request<'_>,
    block: usize,
    mut each: impl FnMut(&Part<'_>) -> Result<(), CryptError>,
) -> Result<(), CryptError> {
    pieces(request, |piece| match piece {
        Piece::Run(Run { first, units, src, dst }) => each(&Part { first, units, at: 0, src, dst }),
        Piece::Straddling { unit, src, dst } => {
            straddling(request.unit_size, block, unit, src, dst, &mut each)
        }
    })
}

/// What the spans of a request cut it into.
enum Piece<'a, 'b> {
    Run(Run<'b>),
    /// A unit, by its number, that is not in one piece; the cursors are to be behind it.
    Straddling {
        unit: usize,
        src: &'a mut SpanIter<'b>,
        dst: &'a mut SpanIter<'b>,
    },
}

/// Gives `each` the pieces of a valid request in order.
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "a small request has one piece, and a call that is worth several blocks"
)]
fn pieces<'b>(
    request: &Request<'b>,
    mut each: impl FnMut(Piece<'_, 'b>) -> Result<(), CryptError>,
) -> Result<(), CryptError> {
    let (mut src, mut dst) = (request.src, request.dst);
    let mut first = 0;
    while !src.is_empty() {
        let (from, to) = (src.peek(), dst.peek());
        let units = units_in(from.len().min(to.len()), request.unit_size);
        if units == 0 {
            each(Piece::Straddling { unit: first, src: &mut src, dst: &mut dst })?;
            first += 1;
        } else {
            let len = units * request.unit_size;
            each(Piece::Run(Run { first, units, src: from.slice(0, len), dst: to.slice(0, len) }))?;
            src.advance(len);
            dst.advance(len);
            first += units;
        }
    }
    Ok(())
}

/// The largest block in bytes.
pub const MAX_BLOCK_SIZE: usize = 16;

/// The parts of one unit.
fn straddling(
    unit: usize,
    block: usize,
    first: usize,
    src: &mut SpanIter<'_>,
    dst: &mut SpanIter<'_>,
    each: &mut impl FnMut(&Part<'_>) -> Result<(), CryptError>,
) -> Result<(), CryptError> {
    let mut at = 0;
    while at < unit {
        let (from, to) = (src.peek(), dst.peek());
        let len = from.len().min(to.len()).min(unit - at) / block * block;
        if len == 0 {
            let mut buffer = [0; MAX_BLOCK_SIZE];
            let buffer = &mut buffer[..block];
            src.read(buffer);
            let here = Span::new(buffer);
            each(&Part { first, units: 0, at, src: here, dst: here })?;
            dst.write(buffer);
            at += block;
        } else {
            each(&Part { first, units: 0, at, src: from.slice(0, len), dst: to.slice(0, len) })?;
            src.advance(len);
            dst.advance(len);
            at += len;
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
