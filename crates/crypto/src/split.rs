//! The universal splitter: makes one request of many units into many of one unit.

use crate::error::CryptError;
use crate::request::Request;

/// Gives `one` each unit of a valid request as a request of its own, in order. The cursors move once over the spans, so
/// the work is linear in units and spans together.
///
/// # Errors
/// Those of `one`; the first ends it, with the units before it done.
pub fn split(
    request: &Request<'_>,
    mut one: impl FnMut(&Request<'_>) -> Result<(), CryptError>,
) -> Result<(), CryptError> {
    let (mut src, mut dst) = (request.src, request.dst);
    for unit in 0..request.units() {
        one(&Request {
            src: src.first(request.unit_size),
            dst: dst.first(request.unit_size),
            iv: request.iv.only(unit),
            ..*request
        })?;
        src.advance(request.unit_size);
        dst.advance(request.unit_size);
    }
    Ok(())
}
