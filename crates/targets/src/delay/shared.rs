//! What all queues of a delay share.

use udm_block::{BioSet, DeviceRef};

use super::hold::Hold;
use super::spec::DelaySpec;
use super::timer::Timer;

/// What all queues share.
pub(super) struct Shared {
    pub(super) spec: DelaySpec,
    pub(super) devices: Vec<DeviceRef>,
    pub(super) holds: BioSet<Hold>,
    pub(super) timer: Timer,
}
