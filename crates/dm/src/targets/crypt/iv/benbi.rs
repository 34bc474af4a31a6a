//! `benbi`: zeros, then the number of the cipher block that the sector begins with, counted from 1, in 64 bits,
//! big-endian, in the last 8 bytes: (s << (9 - log2(block size))) + 1, modulo 2^64.

use udm_crypto::{Iv, IvRule};

/// The rule of a run that begins at `s`, with `step` from one sector to the next, for a cipher with blocks of
/// `block_size` bytes.
pub(super) fn rule(s: u64, step: u64, block_size: usize) -> IvRule<'static> {
    let shift = 9 - block_size.trailing_zeros();
    let mut first = Iv::default();
    first[8..].copy_from_slice(&(s << shift).wrapping_add(1).to_be_bytes());
    IvRule::CounterBe64 { first, stride: step << shift }
}
