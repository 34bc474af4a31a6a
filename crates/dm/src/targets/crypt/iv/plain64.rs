//! `plain64`: s in 64 bits, little-endian, then zeros. Nothing ever carries into the upper 8 bytes.

use udm_crypto::{Iv, IvRule};

/// The rule of a run that begins at `s`, with `step` from one sector to the next.
pub(super) fn rule(s: u64, step: u64) -> IvRule<'static> {
    let mut first = Iv::default();
    first[..8].copy_from_slice(&s.to_le_bytes());
    IvRule::CounterLe64 { first, stride: step }
}
