//! What a clone carries: how far it is.

use udm_block::{Bio, Pad, Pages, Sector};
use udm_crypto::{Direction, Iv, IvRule};

/// The pad of a clone.
pub(super) struct CryptIo {
    /// The first sector, counted from the target's start.
    pub(super) sector: Sector,
    /// The client's bio, when the clone is a write.
    pub(super) writes: Option<Bio>,
    pub(super) stage: Stage,
}

/// What has to end before the clone goes on.
pub(super) enum Stage {
    /// The wait for pages, of a write.
    Pages,
    /// The work of an asynchronous cipher.
    Cipher(Conversion),
    /// The I/O below.
    Below,
}

impl CryptIo {
    /// The pad of a read, which goes below as it is.
    pub(super) fn read(sector: Sector) -> Self {
        Self { sector, writes: None, stage: Stage::Below }
    }

    /// The pad of a write, which has no pages yet.
    pub(super) fn write(sector: Sector) -> Self {
        Self { sector, writes: None, stage: Stage::Pages }
    }

    /// Which way its sectors go.
    pub(super) fn direction(&self) -> Direction {
        if self.writes.is_some() { Direction::Encrypt } else { Direction::Decrypt }
    }
}

impl Pad for CryptIo {}

/// How far the conversion of a clone is, and the one request of it that is with the driver.
pub(super) struct Conversion {
    pub(super) direction: Direction,
    /// The sector of the request, with `iv_offset` in it.
    pub(super) sector: u64,
    /// Bytes before the request, and of it.
    pub(super) done: usize,
    pub(super) len: usize,
    pub(super) units: usize,
    /// What numbers the sectors of the request.
    pub(super) rule: IvRule<'static>,
    /// Whether the IVs are made one by one.
    pub(super) vector: bool,
    /// Whether the IV mode has put into the destination what the cipher is to work on.
    pub(super) in_place: bool,
    /// Room for the one IV of a request of one unit.
    pub(super) iv: Iv,
    /// Memory for requests of several units: their IVs, and behind these what the driver wants.
    pub(super) memory: Option<Pages>,
}
