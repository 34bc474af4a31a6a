//! `null`: the IV is zeros, for every sector. Also what a cipher that takes no IV is given.

use udm_crypto::IvRule;

/// The rule of any run.
pub(super) fn rule() -> IvRule<'static> {
    IvRule::Constant([0; 16])
}
