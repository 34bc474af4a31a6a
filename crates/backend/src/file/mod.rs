//! Files and block devices as devices.
//!
//! * [`open()`](open::open): what may be opened, and what is promised of it.
//! * `lock`: the locks that keep other programs from it.
//! * `limits`: what a block device can do.
//! * `direct`: whether the page cache is passed by.
//! * `image`: an open file, shared by all engines.
//! * `syncs`: what may be acknowledged while syncs of an image are under way.
//! * `transfer`: what calls a bio takes, and what their answers mean. All engines share it.
//! * `channel`: one queue's way to a file.
//! * `uring`: the engine of queues, a ring for each.
//! * `threads`: the engine of queues where there is no ring.
//! * `calls`: the engine of queues that may sleep: plain system calls.
//! * `backlog`: the files that an engine has bios of.

mod backlog;
mod calls;
mod channel;
mod direct;
#[cfg(test)]
mod held;
mod image;
mod limits;
mod lock;
mod open;
mod syncs;
mod threads;
mod transfer;
mod uring;

pub use lock::keep_qemu_out;
pub use open::open;

use std::sync::Arc;

use udm_block::{Channel, Device, Geometry, Opening};

use crate::OpenError;
use channel::FileChannel;
use image::Image;

/// The longest block that a device can have, in bytes.
const BLOCK_MAX: u32 = 4096;

/// How a file is to be opened.
///
/// New fields come with a new major version only.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileOptions {
    /// Whether nothing is to be written.
    pub read_only: bool,
    /// What the system's page cache is used for.
    pub cache: Cache,
    /// What drives the I/O of queues.
    pub engine: EngineChoice,
    /// The smallest unit that the user of the device will transfer, in bytes: 512, 1024, 2048 or 4096. A device whose
    /// own blocks are larger offers those, up to 4096 bytes. One of even larger blocks goes through the page cache.
    pub block_size: u32,
    /// Whether other programs are kept from the file by locks (`flock` and QEMU's): from writing it, and unless
    /// `read_only` from reading it too.
    pub lock: bool,
}

impl Default for FileOptions {
    fn default() -> Self {
        Self { read_only: false, cache: Cache::Auto, engine: EngineChoice::Auto, block_size: 512, lock: true }
    }
}

impl FileOptions {
    /// The block size, if it is one.
    pub(crate) fn checked_block_size(self) -> Result<u32, OpenError> {
        let size = self.block_size;
        if size.is_power_of_two() && (512..=BLOCK_MAX).contains(&size) {
            Ok(size)
        } else {
            Err(OpenError::BlockSize(size))
        }
    }
}

/// What the system's page cache is used for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Cache {
    /// It is passed by (`O_DIRECT`) where the file can do that for every block of the device.
    #[default]
    Auto,
    /// It is passed by; where that is not possible, the file is not opened. Where the file asks for larger blocks than
    /// [`FileOptions::block_size`], the device has those.
    None,
    /// Everything goes through it: a write is acknowledged when it is in memory, and a flush makes it durable.
    Writeback,
}

/// What drives the I/O of queues. One that may sleep ([`udm_block::Queue::sleeping`]) always waits for its calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum EngineChoice {
    /// `io_uring` where the kernel permits it and the environment does not say `UDM_IO_URING=0`, else threads.
    #[default]
    Auto,
    /// `io_uring`; where there is none, the file is not opened.
    Uring,
    /// A small pool of threads.
    Threads,
}

/// A regular file or a block device.
///
/// Reads and writes that overlap and are under way at once are in no order, as on a disk.
pub struct FileDevice {
    image: Arc<Image>,
    geometry: Geometry,
    /// Whether queues use a ring.
    uring: bool,
    /// Why, and how the way past the page cache was chosen, for people.
    words: [String; 2],
}

impl FileDevice {
    /// What was chosen and why, for people: `/path: io_uring, O_DIRECT (512-byte alignment)`.
    // not on the I/O path: for a person
    pub fn describe(&self) -> String {
        format!("{}: {}", self.image.path.display(), self.words.join(", "))
    }

    /// Whether the page cache is passed by.
    pub fn is_direct(&self) -> bool {
        self.image.direct.is_some()
    }
}

impl Device for FileDevice {
    fn geometry(&self) -> Geometry {
        self.geometry
    }

    // not on the I/O path: once a channel
    fn open(&self, opening: &mut Opening<'_>) -> Result<Box<dyn Channel>, udm_block::OpenError> {
        Ok(Box::new(FileChannel::open(&self.image, self.uring, opening)))
    }
}
