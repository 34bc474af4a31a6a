//! Walks a request in runs of whole units that are contiguous in memory, which is all that a kernel for a cipher wants.

use crate::error::CryptError;
use crate::request::{Direction, IvRule, MAX_UNIT_SIZE, Request, units_in};
use udm_block::{Span, SpanIter, SpanIterMut, SpanMut};

/// What a request says of all its units.
#[derive(Clone, Copy, Debug)]
pub struct Rule<'a> {
    /// Which way.
    pub direction: Direction,
    /// The bytes that share one IV.
    pub unit_size: usize,
    /// How each unit gets its IV.
    pub iv: &'a IvRule<'a>,
}

/// Whole units one after the other in memory.
#[derive(Debug)]
pub struct Run<'a> {
    /// What the request says of its units.
    pub rule: Rule<'a>,
    /// The number of the first unit within the request: its IV is `rule.iv.iv(first)`.
    pub first: usize,
    /// How many units; at least one.
    pub units: usize,
    /// Where they are, in `units * unit_size` bytes.
    pub src: Span<'a>,
    /// Where the results go: as many bytes, the same memory or none in common.
    pub dst: SpanMut<'a>,
}

/// Whole units one after the other in memory, or a part of one. Where the results go is given beside it: as many bytes, the
/// same memory or none in common.
#[derive(Debug)]
pub struct Part<'a> {
    /// What the request says of its units.
    pub rule: Rule<'a>,
    /// The number within the request of the first unit, or of the one that this is a part of.
    pub first: usize,
    /// How many units; 0 where this is a part of one.
    pub units: usize,
    /// Where in its unit a part begins, in bytes; 0 for whole units.
    pub at: usize,
    /// Where they are.
    pub src: Span<'a>,
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
    request: &mut Request<'_>,
    mut each: impl FnMut(&mut Run<'_>) -> Result<(), CryptError>,
) -> Result<(), CryptError> {
    pieces(request, |piece| match piece {
        Piece::Run(mut run) => each(&mut run),
        Piece::Straddling { rule, unit, src, dst } => bounce(rule, unit, src, dst, &mut each),
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
    request: &mut Request<'_>,
    block: usize,
    mut each: impl FnMut(&Part<'_>, SpanMut<'_>) -> Result<(), CryptError>,
) -> Result<(), CryptError> {
    pieces(request, |piece| match piece {
        Piece::Run(Run { rule, first, units, src, dst }) => {
            each(&Part { rule, first, units, at: 0, src }, dst)
        }
        Piece::Straddling { rule, unit, src, dst } => straddling(rule, block, unit, src, dst, &mut each),
    })
}

/// What the spans of a request cut it into.
enum Piece<'a, 'b> {
    Run(Run<'a>),
    /// A unit, by its number, that is not in one piece; the cursors are to be behind it.
    Straddling {
        rule: Rule<'a>,
        unit: usize,
        src: &'a mut SpanIter<'b>,
        dst: &'a mut SpanIterMut<'b>,
    },
}

/// Gives `each` the pieces of a valid request in order.
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "a small request has one piece, and a call that is worth several blocks"
)]
fn pieces(
    request: &mut Request<'_>,
    mut each: impl FnMut(Piece<'_, '_>) -> Result<(), CryptError>,
) -> Result<(), CryptError> {
    let Request { direction, src, dst, unit_size, iv } = request;
    let rule = Rule { direction: *direction, unit_size: *unit_size, iv };
    let (mut src, mut dst) = (*src, dst.reborrow());
    let mut first = 0;
    while !src.is_empty() {
        let (from, to) = (src.peek(), dst.peek());
        let units = units_in(from.len().min(to.len()), rule.unit_size);
        if units == 0 {
            each(Piece::Straddling { rule, unit: first, src: &mut src, dst: &mut dst })?;
            first += 1;
        } else {
            let len = units * rule.unit_size;
            each(Piece::Run(Run {
                rule,
                first,
                units,
                src: from.slice(0, len),
                dst: to.into_slice(0, len),
            }))?;
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
    rule: Rule<'_>,
    block: usize,
    first: usize,
    src: &mut SpanIter<'_>,
    dst: &mut SpanIterMut<'_>,
    each: &mut impl FnMut(&Part<'_>, SpanMut<'_>) -> Result<(), CryptError>,
) -> Result<(), CryptError> {
    let mut at = 0;
    while at < rule.unit_size {
        let (from, to) = (src.peek(), dst.peek());
        let len = from.len().min(to.len()).min(rule.unit_size - at) / block * block;
        if len == 0 {
            let mut buffer = [0; MAX_BLOCK_SIZE];
            let buffer = &mut buffer[..block];
            src.read(buffer);
            in_place(buffer, |src, dst| each(&Part { rule, first, units: 0, at, src }, dst))?;
            dst.write(buffer);
            at += block;
        } else {
            each(&Part { rule, first, units: 0, at, src: from.slice(0, len) }, to.into_slice(0, len))?;
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
    rule: Rule<'_>,
    first: usize,
    src: &mut SpanIter<'_>,
    dst: &mut SpanIterMut<'_>,
    each: &mut impl FnMut(&mut Run<'_>) -> Result<(), CryptError>,
) -> Result<(), CryptError> {
    let mut buffer = [0; MAX_UNIT_SIZE];
    let buffer = &mut buffer[..rule.unit_size];
    src.read(buffer);
    in_place(buffer, |src, dst| each(&mut Run { rule, first, units: 1, src, dst }))?;
    dst.write(buffer);
    Ok(())
}

/// Gives `each` a buffer twice: to read from, and to write to.
fn in_place(
    buffer: &mut [u8],
    each: impl FnOnce(Span<'_>, SpanMut<'_>) -> Result<(), CryptError>,
) -> Result<(), CryptError> {
    let mut both = SpanMut::new(buffer);
    let (src, dst) = both.in_place();
    each(src, dst)
}
