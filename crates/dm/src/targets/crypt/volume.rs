//! What all queues of a crypt target share.

use udm_block::{BioSet, DeviceRef, PagePool, Sector, Sectors};
use udm_crypto::Direction;

use super::convert::Converter;
use super::crypt_io::CryptIo;
use super::offload::Offload;

/// What all queues share: the keys, the pools, and the device below. The keys are wiped when the target and all channels
/// are gone.
pub(super) struct Volume {
    pub(super) converter: Converter,
    pub(super) lower: DeviceRef,
    pub(super) start: Sector,
    pub(super) allow_discards: bool,
    pub(super) clones: BioSet<CryptIo>,
    pub(super) pages: PagePool,
    /// Where the cipher driver is asynchronous.
    pub(super) offload: Option<Offload>,
}

impl Volume {
    /// What there is for sectors that go this way, where the cipher driver is asynchronous.
    pub(super) fn offload(&self, direction: Direction) -> Option<&Offload> {
        self.offload.as_ref().filter(|offload| offload.takes(direction))
    }

    /// The place on the lower device of a sector of the target.
    pub(super) fn below(&self, sector: Sector) -> Sector {
        self.start + Sectors(sector.0)
    }
}
