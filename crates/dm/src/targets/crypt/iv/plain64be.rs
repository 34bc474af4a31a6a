//! `plain64be`: zeros, then s in 64 bits, big-endian, in the last 8 bytes.

use udm_crypto::{Iv, IvRule};

/// The rule of a run that begins at `s`, with `step` from one sector to the next.
pub(super) fn rule(s: u64, step: u64) -> IvRule<'static> {
    let mut first = Iv::default();
    first[8..].copy_from_slice(&s.to_be_bytes());
    IvRule::CounterBe64 { first, stride: step }
}
