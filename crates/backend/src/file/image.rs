//! An open file: its descriptors, and what was promised of it when it was opened.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{FlockOperation, flock, fstat};
use udm_block::{Bio, Op, Status};

use super::transfer::{Transfer, Way};
use super::uring::Registrations;

/// An open file. Engines keep it for as long as they have bios of it.
pub(super) struct Image {
    pub(super) path: PathBuf,
    /// Goes through the page cache.
    pub(super) buffered: OwnedFd,
    pub(super) direct: Option<Direct>,
    /// The bytes that the device has, if the file could become shorter than that: a block device could not.
    pub(super) can_shrink_below: Option<u64>,
    /// The file was seen to be shorter than the device. It stays so: what comes back has lost its bytes.
    pub(super) gone: AtomicBool,
    /// The rings that know the descriptors by number, and let go of them with this.
    pub(super) registrations: Registrations,
}

/// The way past the page cache.
pub(super) struct Direct {
    pub(super) fd: OwnedFd,
    /// What places and lengths must be multiples of, in bytes.
    pub(super) align: u32,
    /// What addresses of memory must be multiples of, in bytes.
    pub(super) memory_align: u32,
}

impl Image {
    /// The calls that `bio` takes.
    pub(super) fn transfer(&self, bio: &Bio) -> Transfer {
        let at = bio.sector().checked_bytes().expect("a bio within the device");
        let align = self.direct.as_ref().map_or(1, |direct| direct.align);
        Transfer::new(bio.op(), bio.flags(), at, bio.len().0, self.way(bio), align)
    }

    /// Which way the bytes of `bio` go: see `direct` for why a write never changes over to the page cache.
    fn way(&self, bio: &Bio) -> Way {
        let Some(direct) = &self.direct else { return Way::Buffered };
        let (address, length) = (direct.memory_align as usize, direct.align as usize);
        let aligned = bio
            .data()
            .all(|run| run.as_ptr().addr().is_multiple_of(address) && run.len().is_multiple_of(length));
        way_of(bio.op(), aligned)
    }

    /// The descriptor for this way.
    pub(super) fn fd(&self, way: Way) -> BorrowedFd<'_> {
        match (&self.direct, way) {
            (Some(direct), Way::Direct | Way::Bounce) => direct.fd.as_fd(),
            _ => self.buffered.as_fd(),
        }
    }

    /// Whether the file is known to be shorter than the device.
    pub(super) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }

    /// Looks whether the file is still as long as the device.
    ///
    /// A write behind the end of a file that became shorter would make it longer again, with a hole of zeros before it
    /// that later reads would take for data. So an engine looks before it sends writes, and before it acknowledges a
    /// flush: what gets through between a look and a write is found by the next look, unless the write was of the
    /// very last sector, and is never acknowledged by a flush. A look costs about as much as a tenth of a write that
    /// the page cache takes, and serves all writes that are sent together.
    pub(super) fn is_whole(&self) -> bool {
        let Some(size) = self.can_shrink_below else { return true };
        if self.is_gone() {
            return false;
        }
        let whole = fstat(&self.buffered).is_ok_and(|stat| stat.st_size as u64 >= size);
        if !whole {
            self.shrank();
        }
        whole
    }

    /// The file was seen to be shorter than the device.
    pub(super) fn shrank(&self) -> Status {
        if !self.gone.swap(true, Ordering::Relaxed) {
            tracing::error!(
                path = %self.path.display(),
                "the file became shorter while it is served; no further I/O is done on it"
            );
        }
        Status::Offline
    }
}

/// Which way the bytes of an operation go, where there is a way past the page cache.
fn way_of(op: Op, aligned: bool) -> Way {
    match op {
        _ if aligned => Way::Direct,
        Op::Write => Way::Bounce,
        _ => Way::Buffered,
    }
}

/// An engine of the kernel may hold the descriptor a moment longer than we: the lock is let go of by name.
impl Drop for Image {
    fn drop(&mut self) {
        let _ = flock(&self.buffered, FlockOperation::Unlock);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole-program twin of this needs a block device, and so rights: see `direct` for what was lost there.
    #[test]
    fn no_write_goes_through_the_page_cache_beside_direct_ones() {
        for (op, aligned, way) in [
            (Op::Read, true, Way::Direct),
            (Op::Read, false, Way::Buffered),
            (Op::Write, true, Way::Direct),
            (Op::Write, false, Way::Bounce),
        ] {
            assert_eq!(way_of(op, aligned), way, "{op:?}, aligned: {aligned}");
        }
    }
}
