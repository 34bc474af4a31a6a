//! Overwriting what is not to be found again.

use std::ops::Range;

use crate::error::Error;
use crate::random;
use crate::source::Storage;

/// What is written at a time, in bytes.
const PIECE: usize = 64 << 10;

/// Overwrites `range` with randomness, so that nothing tells what was there. It is durable after a sync.
///
/// # Errors
/// Where it cannot be written.
pub fn overwrite(storage: &mut impl Storage, range: Range<u64>) -> Result<(), Error> {
    pieces(range, |at, piece| {
        random::fill(piece)?;
        storage.write_at(at, piece).map_err(Error::writing("over key material"))
    })
}

/// The same, but that zeros stay: where nothing was ever written there is nothing to hide, and an image stays sparse.
///
/// # Errors
/// Where it cannot be read or written.
pub fn overwrite_used(storage: &mut impl Storage, range: Range<u64>) -> Result<(), Error> {
    pieces(range, |at, piece| {
        storage.read_at(at, piece).map_err(Error::io("what is to be overwritten"))?;
        if is_zero(piece) {
            return Ok(());
        }
        random::fill(piece)?;
        storage.write_at(at, piece).map_err(Error::writing("over key material"))
    })
}

/// Writes zeros over `range`, where there are others.
///
/// # Errors
/// Where it cannot be read or written.
pub fn clear(storage: &mut impl Storage, range: Range<u64>) -> Result<(), Error> {
    pieces(range, |at, piece| {
        storage.read_at(at, piece).map_err(Error::io("what is to be cleared"))?;
        if is_zero(piece) {
            return Ok(());
        }
        piece.fill(0);
        storage.write_at(at, piece).map_err(Error::writing("zeros"))
    })
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

fn pieces(range: Range<u64>, mut each: impl FnMut(u64, &mut [u8]) -> Result<(), Error>) -> Result<(), Error> {
    let mut buffer = vec![0; PIECE];
    let mut at = range.start;
    while at < range.end {
        let piece = &mut buffer[..(range.end - at).min(PIECE as u64) as usize];
        each(at, piece)?;
        at += piece.len() as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_is_overwritten_and_nothing_beside_it() {
        let mut disk = vec![7; 200_000];
        disk[100_000..].fill(0);
        overwrite_used(&mut disk, 1000..180_000).unwrap();
        let left = disk[1000..131_000].windows(4).filter(|bytes| *bytes == [7; 4]).count();
        assert!(left < 10, "{left} bytes are as they were");
        assert!(disk[..1000].iter().all(|byte| *byte == 7), "it began too early");
        assert!(disk[140_000..].iter().all(|byte| *byte == 0), "a hole was filled");
        overwrite(&mut disk, 140_000..150_001).unwrap();
        assert!(disk[150_001..].iter().all(|byte| *byte == 0), "it ended too late");
        clear(&mut disk, 0..150_001).unwrap();
        assert!(disk.iter().all(|byte| *byte == 0));
        assert!(overwrite(&mut disk, 199_999..200_001).is_err(), "past the end");
    }
}
