//! The pads of a row of stripes.

use udm_block::{Op, Pad};

/// The pad of a clone that goes to one stripe.
pub(super) struct StripeIo {
    pub(super) stripe: usize,
}

/// The pad of a bio that visits all stripes, one after another: a flush, a discard or zeros.
pub(super) struct Walk {
    pub(super) op: Op,
    /// The stripe that is visited next.
    pub(super) next: usize,
}

impl Pad for StripeIo {}
impl Pad for Walk {}
