//! The lock that keeps other programs from an image (`flock`).

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::OpenError;

/// How often a lock is tried to be had, and how long there is between two tries: three seconds in all.
const TRIES: u32 = 120;
const INTERVAL: Duration = Duration::from_millis(25);

/// Keeps other programs from the file: from writing it, and if it is to be written here from reading it too.
///
/// # Errors
/// When another program has it, and keeps it for three seconds.
pub(super) fn take(path: &Path, fd: &OwnedFd, read_only: bool) -> Result<(), OpenError> {
    // The kernel releases the locks of a killed process with a ring only when the ring's I/O has ended, a moment after the
    // process; and udev has a shared lock on a block device while it looks at it, as after each time that a writer
    // closed it.
    let mut tries = TRIES;
    loop {
        let Some(holder) = conflict(path, fd, read_only) else { return Ok(()) };
        tries -= 1;
        if tries == 0 {
            return Err(OpenError::InUse { path: path.to_owned(), holder });
        }
        std::thread::sleep(INTERVAL);
    }
}

/// Releases what [`take`] took.
pub(super) fn release(fd: &OwnedFd) {
    let _ = flock(fd, FlockOperation::Unlock);
}

/// Tries to take it: what is in the way, in which case it is not held. A file system without locks is no reason to keep
/// a user from the data.
fn conflict(path: &Path, fd: &OwnedFd, read_only: bool) -> Option<&'static str> {
    let kind = if read_only {
        FlockOperation::NonBlockingLockShared
    } else {
        FlockOperation::NonBlockingLockExclusive
    };
    let mut taken = flock(fd, kind);
    while taken == Err(Errno::INTR) {
        taken = flock(fd, kind);
    }
    match taken {
        Ok(()) => None,
        Err(Errno::WOULDBLOCK) => Some("flock"),
        Err(error) => {
            cannot_lock(path, "flock", &error.into());
            None
        }
    }
}

fn cannot_lock(path: &Path, what: &str, error: &io::Error) {
    tracing::warn!(path = %path.display(), %error, "cannot lock the file by {what}: make sure that no other program writes it");
}
