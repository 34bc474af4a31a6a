//! What the sectors of a model hold: bytes that tell which write left them, and where.

use std::fmt;

use udm_block::SECTOR_SIZE;
use udm_block::memory::splitmix64;

/// A sector's bytes.
pub(crate) type Bytes512 = [u8; SECTOR_SIZE];

/// What a sector may hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Value {
    /// What the write of this number wrote there.
    Written(u64),
    /// Zeros.
    Zeros,
    /// Anything: it was never written, or discarded.
    Any,
}

/// The bytes that the write of this number puts on a sector: number and sector, and behind these a stream of both.
pub(crate) fn bytes_of(number: u64, sector: u64) -> Bytes512 {
    let mut bytes = [0; SECTOR_SIZE];
    let mut seed = number.rotate_left(32) ^ sector;
    let (words, _) = bytes.as_chunks_mut::<8>();
    for (at, word) in words.iter_mut().enumerate() {
        *word = match at {
            0 => number.to_le_bytes(),
            1 => sector.to_le_bytes(),
            _ => splitmix64(&mut seed).to_le_bytes(),
        };
    }
    bytes
}

impl Value {
    /// Whether a sector of these bytes holds it.
    pub fn is(self, sector: u64, bytes: &Bytes512) -> bool {
        match self {
            Self::Written(number) => label(bytes) == (number, sector) && *bytes == bytes_of(number, sector),
            Self::Zeros => bytes.iter().all(|byte| *byte == 0),
            Self::Any => true,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Written(number) => write!(f, "write {number}"),
            Self::Zeros => f.write_str("zeros"),
            Self::Any => f.write_str("anything"),
        }
    }
}

/// The write and the sector that bytes say they are of.
fn label(bytes: &Bytes512) -> (u64, u64) {
    let word = |at: usize| bytes[at * 8..][..8].try_into().map_or(0, u64::from_le_bytes);
    (word(0), word(1))
}

/// What these bytes are, for a person.
pub(crate) fn describe(bytes: &Bytes512) -> String {
    let (number, sector) = label(bytes);
    let written = bytes_of(number, sector);
    let same = bytes.iter().zip(&written).filter(|(a, b)| a == b).count();
    match same {
        _ if Value::Zeros.is(sector, bytes) => "zeros".to_owned(),
        SECTOR_SIZE => format!("what write {number} wrote to sector {sector}"),
        // Two of 512 bytes are equal by chance; the label's sixteen always are.
        64.. => format!("{same} bytes of what write {number} wrote to sector {sector}, and others"),
        _ => format!("bytes that nobody wrote, {:02x?}...", &bytes[..8]),
    }
}
