//! An open file: its descriptors, and what was promised of it when it was opened.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::fstat;
use udm_block::{Bio, BioList, Flags, Op, Status};

use super::lock;
use super::syncs::{OpenSync, Syncs};
use super::transfer::{Call, Medium, Next, Transfer, Way};
use super::uring::Registrations;

/// An open file. Engines keep it for as long as they have bios of it.
pub(super) struct Image {
    pub(super) path: PathBuf,
    /// Goes through the page cache.
    pub(super) buffered: OwnedFd,
    pub(super) direct: Option<Direct>,
    /// Its ranges are discarded and zeroed as those of a block device, and not as those of a file.
    pub(super) is_block_device: bool,
    /// How many bytes there are: the device's last block may reach beyond.
    pub(super) bytes: u64,
    /// The same if the file could become shorter than that: a block device could not.
    pub(super) can_shrink_below: Option<u64>,
    /// The file was seen to be shorter than the device. It stays so: what comes back has lost its bytes.
    pub(super) gone: AtomicBool,
    pub(super) syncs: Syncs,
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
    pub(super) fn transfer(&self, bio: &mut Bio) -> Transfer {
        let at = bio.sector().checked_bytes().expect("a bio within the device");
        let align = self.direct.as_ref().map_or(1, |direct| direct.align);
        let medium = Medium { align, is_block_device: self.is_block_device };
        let (len, stored) = (bio.len().0, self.bytes.saturating_sub(at));
        if len <= stored {
            return Transfer::new(bio.op(), bio.flags(), at, len, self.way(bio), medium);
        }
        if bio.op() == Op::Read {
            bio.data_mut().after(stored as usize).fill(0);
        }
        Transfer::new(bio.op(), bio.flags(), at, stored, Way::Buffered, medium)
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

    /// How `bio` ends before any call is made for it, if it does.
    pub(super) fn refusal(&self, bio: &Bio) -> Option<Status> {
        if self.is_gone() {
            Some(Status::Offline)
        } else if must_be_durable(bio) && self.syncs.have_failed() {
            Some(Status::IoErr)
        } else {
            None
        }
    }

    /// All calls for `bio` have been made, and it would end with `status`: the bio, and how it ends. One that promises
    /// something durable is kept while syncs are under way, whose answers end it.
    pub(super) fn end(&self, bio: Bio, status: Status) -> Option<(Bio, Status)> {
        let status = self.checked(&bio, status);
        if !status.is_ok() || !must_be_durable(&bio) {
            return Some((bio, status));
        }
        let bio = self.syncs.hold(bio)?;
        let status = self.checked(&bio, status);
        Some((bio, status))
    }

    /// The same for a thread that may wait for these syncs: how the bio ends.
    pub(super) fn end_waiting(&self, bio: &Bio, status: Status) -> Status {
        if status.is_ok() && must_be_durable(bio) {
            self.syncs.wait();
        }
        self.checked(bio, status)
    }

    /// How `bio` ends, for which every call succeeded or one failed. A flush is not acknowledged for a file that became
    /// shorter; and nothing is acknowledged as durable when a sync has failed meanwhile, here or for another client.
    fn checked(&self, bio: &Bio, status: Status) -> Status {
        if status.is_ok() && must_be_durable(bio) && self.syncs.have_failed() {
            Status::IoErr
        } else if status.is_ok() && bio.op() == Op::Flush && !self.is_whole() {
            Status::Offline
        } else {
            status
        }
    }

    /// The sync that begins with `call`, if it is one: on the answer, [`Image::answered`] must be told.
    pub(super) fn begin(&self, call: Call) -> Option<OpenSync> {
        call.may_tell_of_others().then(|| self.syncs.begin())
    }

    /// A sync has been answered, and `next` comes of that. Gives the bios that waited for the answer, with their ends.
    pub(super) fn answered(&self, sync: Option<OpenSync>, next: Next) -> (BioList, Status) {
        let Some(sync) = sync else { return (BioList::new(), Status::Ok) };
        if let Next::Unsynced(status) = next {
            self.unsynced(status);
        }
        let released = self.syncs.end(sync);
        (released, if self.syncs.have_failed() { Status::IoErr } else { Status::Ok })
    }

    /// A sync failed, and the bio that asked for it ends with `status`.
    ///
    /// The kernel reports such an error once, marks the pages that it could not write as clean, and answers the next sync
    /// with success. So no later flush can be trusted: each one fails until the image is opened again, when nobody takes
    /// what was acknowledged before for durable.
    pub(super) fn unsynced(&self, status: Status) -> Status {
        if self.syncs.fail() {
            tracing::error!(
                path = %self.path.display(),
                "a sync failed ({status}): writes that were acknowledged may be lost. Every flush of this image fails \
                 until it is opened again; check its contents then"
            );
        }
        status
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

/// Whether `bio` promises that something is durable when it has ended.
pub(super) fn must_be_durable(bio: &Bio) -> bool {
    let flags = bio.flags();
    bio.op() == Op::Flush || flags.has(Flags::PREFLUSH) || (flags.has(Flags::FUA) && bio.op().is_write())
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
        lock::release(&self.buffered);
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
