//! The targets: what a row of a table maps its sectors to. A file or a folder each.
//!
//! The set is open. A target is three things: a [`TargetType`] reads the arguments of a row, the [`TargetSpec`] that it
//! makes of them is what a table keeps, and the [`Target`] that this builds has the devices open and opens channels. A
//! program that has targets of its own registers their types ([`TargetTypes`]);
//! the crate `udm-targets` has some, and says step by step how they are written.

pub mod crypt;
pub mod error;
pub mod linear;
mod message;
mod registry;
mod target_type;
pub mod zero;

pub use message::MessageError;
pub use registry::TargetTypes;
pub use target_type::{BuildContext, DeviceArg, SpecEq, TargetSpec, TargetType};

use udm_block::{Bytes, Channel, Geometry, Op, OpenError, Opening};

/// How much each pool of a mapped device has at hand from the start, for when normal memory has none. One of each is
/// enough for every I/O to finish; with more, more of them are under way at once then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reserves {
    /// Bios, in each set of them.
    pub bios: usize,
    /// Buffers for what is written, of the longest size that the target takes at once, in each target that has such
    /// buffers. Those of a crypt target have [`crypt::LONGEST`] bytes.
    pub buffers: usize,
}

impl Default for Reserves {
    /// What the kernel's dm-crypt has: 64 bios, and 256 pages.
    fn default() -> Self {
        Self { bios: 64, buffers: 4 }
    }
}

/// One row of a mapped device at work (the kernel's `struct dm_target`). It is shared by all queues that have the device
/// open, and nothing of the I/O path is here.
pub trait Target: Send + Sync {
    /// Limits and abilities; the size does not count, the row has one. A target that changes the bytes takes `write_zeroes`
    /// off what it says of the device below: zeros are to be changed, too, so callers write them as data.
    fn geometry(&self) -> Geometry;

    /// Opens one queue's way into the target. Its channel takes bios that lie within the row, and flushes; sectors are
    /// counted from the row's start. It submits a bio below, completes it, or parks it, and hears of the ends of its own.
    /// What [`geometry`](Self::geometry) does not offer (writes, discards, zeros) does not come. A write may have the flags
    /// `PREFLUSH` and `FUA`, which the bio that goes below must have too.
    ///
    /// # Errors
    /// When something that the I/O needs is not there.
    fn open(&self, opening: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError>;

    /// The longest bio of this operation that it takes at once, [`udm_block::LEAST_TRANSFER`] or more; longer ones are
    /// split.
    fn longest(&self, _op: Op) -> Bytes {
        Bytes(u64::MAX)
    }

    /// Whether a flush has something to do below it. A target over no device says `false`: flushes then end without coming
    /// to its channel.
    fn has_cache(&self) -> bool {
        true
    }

    /// What `dmsetup status` prints behind the target's name. It says so at once, and calls nobody.
    // not on the I/O path: for a person
    fn status(&self) -> String {
        String::new()
    }

    /// Takes a message (`dmsetup message`), which is cut into words.
    ///
    /// # Errors
    /// Where the target does not know it: `EINVAL`, as the kernel says.
    fn message(&self, _words: &[&str]) -> Result<(), MessageError> {
        Err(MessageError::NotSupported)
    }

    /// The device is being suspended: no new bio comes, and the caller waits for those under way (the kernel's
    /// `presuspend`). A target that keeps bios sends them on.
    fn suspend(&self) {}

    /// The device is about to let bios through again, or the suspend failed (the kernel's `resume`, and
    /// `presuspend_undo`).
    fn resume(&self) {}
}
