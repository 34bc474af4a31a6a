//! Whether a size fills the sectors of a volume.

use super::error::ConvertError;

/// Refuses a size that encrypted sectors cannot hold exactly.
pub(super) fn check_sectors(size: u64, sector: u32, would_do: &str) -> Result<(), ConvertError> {
    if size.is_multiple_of(u64::from(sector)) {
        return Ok(());
    }
    let would_do = if size.is_multiple_of(512) {
        would_do
    } else {
        "a volume holds whole sectors of at least 512 bytes: `truncate -s %512 FILE` adds zeros to a copy of the source"
    };
    Err(ConvertError::Request(format!(
        "the source has {size} bytes, not a multiple of the destination's sectors of {sector}, and nothing was written; \
         {would_do}"
    )))
}
