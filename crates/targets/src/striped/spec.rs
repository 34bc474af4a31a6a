//! What a `striped` row says.

use udm_dm::targets::DeviceArg;

use super::layout::Layout;

/// What a `striped` row says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StripedSpec {
    /// The sectors of a chunk.
    pub chunk: u32,
    /// A device for each stripe.
    pub devices: Vec<DeviceArg>,
}

impl StripedSpec {
    pub(super) fn layout(&self) -> Layout {
        Layout { stripes: self.devices.len() as u64, chunk: u64::from(self.chunk) }
    }
}
