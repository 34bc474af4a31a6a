//! A row of a mapped device.

use udm_block::Sector;

use crate::targets::Target;

/// A row of a table at work: the sectors from `start` up to `end`.
pub struct MappedRow {
    /// Its first sector on the mapped device.
    pub start: Sector,
    /// The sector behind its last one.
    pub end: Sector,
    /// What it maps them to.
    pub target: Box<dyn Target>,
}
