//! What is served: a device under a name.

use udm_block::memory::Source;
use udm_block::mempool::NoReserve;
use udm_block::zeroes::WriteZeroes;
use udm_block::{DeviceRef, Geometry, SECTOR_SIZE};

use crate::nbd::negotiate::ExportInfo;
use crate::nbd::wire::{BlockSizes, TransmissionFlags};

/// The longest read or write that a client may ask for, in bytes, unless the device takes less at once.
pub const LONGEST: u32 = 4 << 20;
/// What a client does well to ask for at least, in bytes.
const PREFERRED: u32 = 4096;

/// A device that is served under a name.
pub struct Export {
    pub(super) info: ExportInfo,
    /// The device as it is.
    pub(super) device: DeviceRef,
    /// The device with zeros written where it has no operation for them.
    pub(super) with_zeroes: DeviceRef,
}

impl Export {
    /// Serves `device` under `name`; `read_only` refuses writes that the device would take.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn new(
        name: impl Into<String>,
        description: impl Into<String>,
        device: DeviceRef,
        read_only: bool,
        source: &Source,
    ) -> Result<Self, NoReserve> {
        let geometry = device.geometry();
        let size = geometry.size.0 * SECTOR_SIZE as u64;
        let mut info = ExportInfo::new(name, size, flags(&geometry, read_only));
        info.description = description.into();
        let min = geometry.logical_block;
        let max = LONGEST.min(geometry.max_transfer / min * min);
        info.block_sizes = BlockSizes { min, preferred: PREFERRED.min(max).max(min), max };
        let with_zeroes = WriteZeroes::over(DeviceRef::clone(&device), source)?;
        Ok(Self { info, device, with_zeroes })
    }

    /// The same with reads and writes of at most `longest` bytes.
    #[must_use]
    pub fn of_at_most(mut self, longest: u32) -> Self {
        let sizes = &mut self.info.block_sizes;
        sizes.max = sizes.max.min(longest / sizes.min * sizes.min).max(sizes.min);
        sizes.preferred = sizes.preferred.min(sizes.max);
        self
    }

    /// What a client that connects now is told: the device may have another size and other abilities than it had.
    pub(super) fn info_now(&self) -> ExportInfo {
        let mut info = self.info.clone();
        info.size = self.size();
        let read_only = self.is_read_only();
        info.flags = flags(&self.device.geometry(), read_only);
        info
    }

    /// How long the device is now, in bytes.
    pub(super) fn size(&self) -> u64 {
        self.device.geometry().size.bytes().0
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.info.name
    }

    pub(super) fn is_read_only(&self) -> bool {
        self.info.flags.contains(TransmissionFlags::READ_ONLY)
    }
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
