//! The targets: what a row of a table maps its sectors to. A file or a folder each.

pub mod crypt;
pub mod error;
pub mod linear;
pub mod zero;

use udm_block::{Bio, Bytes, Geometry, LONGEST_DEVICE, Op, Sector};

/// How much each pool of a mapped device has at hand from the start, for when normal memory has none. One of each is
/// enough for every I/O to finish; with more, more of them are under way at once then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reserves {
    /// Bios, in each set of them.
    pub bios: usize,
    /// Buffers for what is written, of [`crypt::LONGEST`] bytes, in each crypt target.
    pub buffers: usize,
}

impl Default for Reserves {
    /// What the kernel's dm-crypt has: 64 bios, and 256 pages.
    fn default() -> Self {
        Self { bios: 64, buffers: 4 }
    }
}

/// One row of a mapped device at work (the kernel's `struct target_type`).
pub trait Target: Send + Sync {
    /// Limits and abilities; the size does not count, the row has one.
    fn geometry(&self) -> Geometry;

    /// Takes a bio that lies within the row, or a flush. `sector` is its place counted from the row's start; the
    /// bio's own sector is still that on the mapped device, so that a bio which finds a pool dry can be parked and
    /// comes here again. The target submits it below, completes it, or parks it. Called while a driver is being called with
    /// the bio, and at no other time.
    fn map(&self, bio: Bio, sector: Sector);

    /// The longest bio of this operation that it takes at once, [`udm_block::LEAST_TRANSFER`] or more; longer ones are
    /// split.
    fn longest(&self, _op: Op) -> Bytes {
        Bytes(u64::MAX)
    }

    /// See [`udm_block::Device::prepare_thread`].
    fn prepare_thread(&self) {}

    /// Whether no thread is still on its way out of it, of a device that no bio is under way on.
    fn is_at_rest(&self) -> bool {
        true
    }

    /// Whether a flush has something to do below it.
    fn has_cache(&self) -> bool {
        false
    }
}

/// The geometry of a target with nothing below it: it takes everything, at once.
fn bottomless() -> Geometry {
    Geometry { discard: true, write_zeroes: true, write_cache: false, ..Geometry::plain(LONGEST_DEVICE) }
}
