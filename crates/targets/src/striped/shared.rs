//! What all queues of a row of stripes share.

use std::sync::atomic::AtomicU64;

use udm_block::bio::Piece;
use udm_block::{BioSet, DeviceRef};

use super::layout::Layout;
use super::pads::{StripeIo, Walk};
use super::spec::StripedSpec;

/// What all queues share.
pub(super) struct Shared {
    pub(super) spec: StripedSpec,
    pub(super) layout: Layout,
    pub(super) devices: Vec<DeviceRef>,
    /// The I/Os that failed, of each stripe.
    pub(super) errors: Vec<AtomicU64>,
    pub(super) pieces: BioSet<Piece>,
    pub(super) clones: BioSet<StripeIo>,
    pub(super) walks: BioSet<Walk>,
}
