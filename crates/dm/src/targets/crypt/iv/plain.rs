//! `plain`: the low 32 bits of s, little-endian, then zeros.
//!
//! The counter is 32 bits wide and wraps: a wider one would carry into the fifth byte beyond 2 TiB.

use udm_crypto::{Iv, IvRule};

/// The rule of a run that begins at `s`, with `step` from one sector to the next.
pub(super) fn rule(s: u64, step: u64) -> IvRule<'static> {
    let mut first = Iv::default();
    first[..4].copy_from_slice(&(s as u32).to_le_bytes());
    IvRule::CounterLe32 { first, stride: step }
}
