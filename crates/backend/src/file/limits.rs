//! What a block device can do besides reading and writing, as the kernel tells it in sysfs (`queue_limits`).
//!
//! `BLKDISCARD` cuts a range by `discard_max_bytes`, `discard_granularity` and the device's alignment itself, so all that
//! must be known of them is whether there is any discard.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::fs::{fstat, major, minor};

/// What a block device can do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Limits {
    /// It takes no writes, though it may be opened for them.
    pub(super) read_only: bool,
    /// It has a discard.
    pub(super) discard: bool,
    /// It makes zeros by itself. On one that does not, some of the kernel's calls for zeros would write them.
    pub(super) write_zeroes: bool,
}

/// The limits of the block device that is open as `fd`: none of all that where the kernel tells nothing.
pub(super) fn of(fd: &OwnedFd) -> Limits {
    let Ok(stat) = fstat(fd) else { return Limits::default() };
    let device = PathBuf::from(format!("/sys/dev/block/{}:{}", major(stat.st_rdev), minor(stat.st_rdev)));
    // A partition has no queue of its own: it is in the folder of its disk.
    let queue =
        ["queue", "../queue"].map(|queue| device.join(queue)).into_iter().find(|queue| queue.is_dir());
    let is_some = |folder: Option<&PathBuf>, name: &str| {
        let text = folder.and_then(|folder| fs::read_to_string(folder.join(name)).ok());
        text.is_some_and(|text| text.trim().parse::<u64>().is_ok_and(|number| number > 0))
    };
    Limits {
        read_only: is_some(Some(&device), "ro"),
        discard: is_some(queue.as_ref(), "discard_max_bytes"),
        write_zeroes: is_some(queue.as_ref(), "write_zeroes_max_bytes"),
    }
}
