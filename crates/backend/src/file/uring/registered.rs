//! The files that a ring knows by number (`IORING_REGISTER_FILES`), so that a call need not look its descriptor up and
//! count a reference to it: that count is shared by all queues that serve the file.
//!
//! The price is that the ring keeps them open, and with them what goes with an open file: its lock, the claim on a
//! block device, the file system that it is on. So an image says goodbye to every ring when it is dropped, on whichever
//! thread, and a ring to every image.
#![allow(unsafe_code)]

use std::array;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use io_uring::IoUring;
use rustix::io::{Errno, Result};
use rustix::io_uring::{IoringRegisterOp, io_uring_ptr, io_uring_register, io_uring_rsrc_update};

use super::numbers::{Numbers, PAIR};
use super::release;
use crate::file::image::Image;

/// For how many images a ring has numbers. Those of further ones go by descriptors.
const PAIRS: usize = 32;

/// In place of an image's address: nobody has these numbers.
const FREE: usize = 0;
/// In place of an image's address: the kernel refused to change these numbers. So it is asked a few times at most.
const UNUSABLE: usize = 1;

/// The ring's table of files. Its queue alone gives out numbers; whoever drops an image takes them back.
pub(super) struct Table {
    /// A second descriptor of the ring.
    ring: OwnedFd,
    /// Whose numbers these are: the address of the image, which no other has before it is dropped.
    holders: [AtomicUsize; PAIRS],
    /// Held while the kernel changes its table, so that nobody who finds it gone goes on before its files have.
    changing: Mutex<()>,
}

impl Table {
    /// An empty table for `ring`, if the kernel gives one.
    // not on the I/O path: once, when it is made
    pub(super) fn new(ring: &IoUring) -> Option<Arc<Self>> {
        if !release::is_prompt() {
            return None;
        }
        let second = rustix::io::fcntl_dupfd_cloexec(ring, 0).ok()?;
        if let Err(error) = ring.submitter().register_files(&[-1; PAIRS * PAIR]) {
            tracing::debug!(%error, "a ring has no table of files; its calls go by descriptors");
            return None;
        }
        let holders = array::from_fn(|_| AtomicUsize::new(FREE));
        Some(Arc::new(Self { ring: second, holders, changing: Mutex::new(()) }))
    }

    /// The numbers of `image`: those that it has, else free ones. For the ring's queue alone.
    pub(super) fn numbers(self: &Arc<Self>, image: &Arc<Image>) -> Option<Numbers> {
        let mut free = None;
        for (index, holder) in self.holders.iter().enumerate() {
            match holder.load(Ordering::Relaxed) {
                holder if holder == address(image) => return Some(Numbers(index)),
                FREE => free = free.or(Some(index)),
                _ => {}
            }
        }
        self.give(free?, image)
    }

    #[cold]
    fn give(self: &Arc<Self>, index: usize, image: &Arc<Image>) -> Option<Numbers> {
        let direct = image.direct.as_ref().map_or(-1, |direct| direct.fd.as_raw_fd());
        let fds = [image.buffered.as_raw_fd(), direct];
        let changing = self.change();
        if let Err(error) = self.set(index, fds, address(image)) {
            tracing::debug!(%error, path = %image.path.display(), "a ring takes no file; its calls go by the descriptor");
            let _ = self.set(index, [-1; PAIR], UNUSABLE);
            return None;
        }
        drop(changing);
        image.registrations.add(self, index);
        Some(Numbers(index))
    }

    /// Takes numbers back. The kernel has let go of the files when this returns.
    fn take_back(&self, index: usize) {
        let _changing = self.change();
        match self.set(index, [-1; PAIR], FREE) {
            // With the whole table, the files have gone too.
            Ok(()) | Err(Errno::NXIO) => {}
            Err(error) => {
                tracing::warn!(%error, "the system keeps a closed image open for as long as a queue that served it");
            }
        }
    }

    /// Lets go of all files: of a ring that is only closed, the kernel does so some time later. None of its calls is
    /// under way.
    pub(super) fn close(&self) {
        let _changing = self.change();
        // SAFETY: the operation has no argument.
        let _ = unsafe { io_uring_register(&self.ring, IoringRegisterOp::UnregisterFiles, ptr::null(), 0) };
    }

    fn change(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts `fds` into the pair at `index`, where -1 takes away what is there, and says who has it then.
    fn set(&self, index: usize, fds: [RawFd; PAIR], holder: usize) -> Result<()> {
        let mut update = io_uring_rsrc_update::default();
        update.offset = (index * PAIR) as u32;
        update.data = io_uring_ptr::new(ptr::from_ref(&fds).cast_mut().cast());
        let (operation, argument) = (IoringRegisterOp::RegisterFilesUpdate, ptr::from_ref(&update).cast());
        // SAFETY: the kernel reads the update and the `PAIR` descriptors that it names, and keeps neither address.
        let set = unsafe { io_uring_register(&self.ring, operation, argument, PAIR as u32) };
        // The kernel stops at the first descriptor that it refuses.
        let set = set.and_then(|count| if count as usize == PAIR { Ok(()) } else { Err(Errno::BADF) });
        self.holders[index].store(if set.is_ok() { holder } else { UNUSABLE }, Ordering::Relaxed);
        set
    }
}

fn address(image: &Arc<Image>) -> usize {
    Arc::as_ptr(image).addr()
}

/// The rings that know an image's files: it says goodbye to them when it is dropped.
#[derive(Default)]
pub(in crate::file) struct Registrations(Mutex<Vec<(Weak<Table>, usize)>>);

impl Registrations {
    fn add(&self, table: &Arc<Table>, index: usize) {
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Queues come and go, while the image stays.
        list.retain(|(table, _)| table.strong_count() > 0);
        list.push((Arc::downgrade(table), index));
    }
}

impl Drop for Registrations {
    fn drop(&mut self) {
        let list = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        for (table, index) in list.drain(..) {
            if let Some(table) = table.upgrade() {
                table.take_back(index);
            }
        }
    }
}
