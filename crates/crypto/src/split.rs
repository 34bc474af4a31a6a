//! The universal splitter: makes one request of many units into many of one unit.

use crate::error::CryptError;
use crate::request::Request;

/// Gives `one` each unit of a valid request as a request of its own, in order. The cursors move once over the spans, so
/// the work is linear in units and spans together.
///
/// # Errors
/// Those of `one`; the first ends it, with the units before it done.
pub fn split(
    request: &mut Request<'_>,
    mut one: impl FnMut(&mut Request<'_>) -> Result<(), CryptError>,
) -> Result<(), CryptError> {
    let (units, Request { direction, mut src, mut dst, unit_size, iv }) =
        (request.units(), request.reborrow());
    for unit in 0..units {
        let src_of_one = src.first(unit_size);
        let (dst, iv) = (dst.take_first(unit_size), iv.only(unit));
        one(&mut Request { direction, src: src_of_one, dst, unit_size, iv })?;
        src.advance(unit_size);
    }
    Ok(())
}
