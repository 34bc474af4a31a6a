//! The mapped device: rows without a gap, each with a target (the kernel's `dm.c`). `channel` is what it does with bios.

mod channel;
mod row;

use std::sync::Arc;

use udm_block::bio::Piece;
use udm_block::memory::Source;
use udm_block::mempool::NoReserve;
use udm_block::{BioSet, BioSetOptions, Channel, Device, DeviceRef, Geometry, OpenError, Opening, Sectors};

use crate::targets::{Reserves, Target};
use channel::{FlushWalk, MappedChannel};
pub use row::MappedRow;

/// A device made of rows without a gap.
pub struct MappedDevice {
    rows: Box<[MappedRow]>,
    geometry: Geometry,
    pieces: BioSet<Piece>,
    flushes: BioSet<FlushWalk>,
}

impl MappedDevice {
    /// A device of these rows, which begin at sector 0, lie in order, and leave no gap.
    ///
    /// # Errors
    /// When there is no memory for the reserves of its bios.
    ///
    /// # Panics
    /// When there is no row, or the last one ends behind [`udm_block::LONGEST_DEVICE`].
    pub fn new(rows: Vec<MappedRow>, source: &Source, reserves: Reserves) -> Result<Self, NoReserve> {
        let geometry = stacked_geometry(&rows);
        // A piece waits for what lies below it alone, and a walk is one flush after another: neither waits for
        // another of its set.
        let pieces = BioSetOptions { reserve: reserves.bios, ..BioSetOptions::named("dm pieces") };
        let reserve = reserves.bios.min(4);
        let flushes = BioSetOptions { reserve, limit: 64, stock: 4, ..BioSetOptions::named("dm flushes") };
        Ok(Self {
            pieces: BioSet::new(&pieces, source)?,
            flushes: BioSet::new(&flushes, source)?,
            rows: rows.into(),
            geometry,
        })
    }

    /// The targets, in the order of the rows.
    pub fn targets(&self) -> impl Iterator<Item = &dyn Target> {
        self.rows.iter().map(|row| &*row.target)
    }
}

/// What a device of these rows can do: what all of them can. It takes bios of any length, and splits them for its rows.
fn stacked_geometry(rows: &[MappedRow]) -> Geometry {
    let size = rows.last().map(|row| Sectors(row.end.0)).expect("a table has at least one row");
    let stacked = Geometry::stacked(size, rows.iter().map(|row| row.target.geometry()));
    Geometry { max_transfer: u32::MAX, ..stacked }
}

impl Device for MappedDevice {
    fn geometry(&self) -> Geometry {
        self.geometry
    }

    // not on the I/O path: once a channel
    fn open(&self, opening: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        let block = u64::from(self.geometry.logical_block);
        Ok(Box::new(MappedChannel::open(&self.rows, block, &self.pieces, &self.flushes, opening)?))
    }
}

impl std::fmt::Debug for MappedDevice {
    // not on the I/O path: for a person
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let rows: Vec<_> = self.rows.iter().map(|row| row.start..row.end).collect();
        f.debug_struct("MappedDevice")
            .field("rows", &rows)
            .field("geometry", &self.geometry)
            .finish_non_exhaustive()
    }
}

/// The device as others refer to it.
impl From<MappedDevice> for DeviceRef {
    fn from(device: MappedDevice) -> Self {
        // not on the I/O path: once a device
        Arc::new(device)
    }
}
