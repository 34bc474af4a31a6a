//! What is served: a device under a name.

use std::sync::Arc;

use udm_block::{DeviceRef, Geometry};

use super::guard::Guard;
use crate::serving::LONGEST;
use udm_nbd::negotiate::ExportInfo;
use udm_nbd::wire::{BlockSizes, TransmissionFlags};

/// What a client does well to ask for at least, in bytes, unless the device has longer blocks.
const PREFERRED: u32 = 4096;
/// What a client may ask for at least, in bytes: what is no whole block is read, changed and written here. Some clients
/// (libnbd, and so nbdfuse) refuse shorter requests of their own user where they are told of more.
const LEAST: u32 = 1;

/// A device that is served under a name.
pub struct Export {
    pub(super) info: ExportInfo,
    /// The longest read or write that clients are told of, unless the device takes less at once.
    longest: u32,
    /// Shared by all exports of the device.
    pub(super) guard: Arc<Guard>,
    pub(super) device: DeviceRef,
}

impl Export {
    /// Serves `device` under `name`; `read_only` refuses writes that the device would take.
    pub fn new(
        name: impl Into<String>,
        description: impl Into<String>,
        device: DeviceRef,
        read_only: bool,
    ) -> Self {
        let (name, geometry): (String, _) = (name.into(), device.geometry());
        let mut info = ExportInfo::new(name, geometry.stored().0, flags(&geometry, read_only));
        info.description = description.into();
        info.block_sizes = block_sizes(&geometry, LONGEST);
        let guard = Arc::new(Guard::new());
        Self { info, longest: LONGEST, guard, device }
    }

    /// The same with reads and writes of at most `longest` bytes.
    #[must_use]
    pub fn of_at_most(mut self, longest: u32) -> Self {
        self.longest = longest;
        self.info.block_sizes = block_sizes(&self.device.geometry(), longest);
        self
    }

    /// Has the exports of one device know of each other's writes.
    pub(super) fn share_guards(exports: &mut [Self]) {
        for at in 1..exports.len() {
            let (earlier, later) = exports.split_at_mut(at);
            let is_same = |other: &&Self| Arc::ptr_eq(&other.device, &later[0].device);
            if let Some(same) = earlier.iter().find(is_same) {
                later[0].guard = Arc::clone(&same.guard);
            }
        }
    }

    /// What a client that connects now is told: the device may have another size, other blocks and other abilities than
    /// it had.
    pub(super) fn info_now(&self) -> ExportInfo {
        let mut info = self.info.clone();
        let geometry = self.device.geometry();
        info.size = geometry.stored().0;
        info.flags = flags(&geometry, self.is_read_only());
        info.block_sizes = self.sizes(&geometry);
        info
    }

    /// What clients may ask for, what is fast, and the longest read or write that a device of `geometry` takes at once, in
    /// bytes.
    pub(super) fn sizes(&self, geometry: &Geometry) -> BlockSizes {
        block_sizes(geometry, self.longest)
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.info.name
    }

    pub(super) fn is_read_only(&self) -> bool {
        self.info.flags.contains(TransmissionFlags::READ_ONLY)
    }
}

/// What a client may ask for, and what it does well to keep to: whole blocks of the device.
fn block_sizes(geometry: &Geometry, longest: u32) -> BlockSizes {
    let block = geometry.logical_block;
    let max = longest.min(geometry.max_transfer) / block * block;
    BlockSizes { min: LEAST, preferred: PREFERRED.min(max).max(block), max }
}

/// What the device lets a client do.
fn flags(geometry: &Geometry, read_only: bool) -> TransmissionFlags {
    // All connections reach one device, and a flush covers every write that it has acknowledged, whoever sent it:
    // so several connections are safe.
    let flags = TransmissionFlags::HAS_FLAGS
        | TransmissionFlags::SEND_FLUSH
        | TransmissionFlags::SEND_FUA
        | TransmissionFlags::CAN_MULTI_CONN;
    if read_only || geometry.read_only {
        return flags | TransmissionFlags::READ_ONLY;
    }
    let flags = flags | TransmissionFlags::SEND_WRITE_ZEROES | TransmissionFlags::SEND_FAST_ZERO;
    if geometry.discard { flags | TransmissionFlags::SEND_TRIM } else { flags }
}
