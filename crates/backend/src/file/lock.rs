//! The locks that keep other programs from an image: `flock`, and QEMU's locks of single bytes.
//!
//! Both are advisory: a program that looks at neither is not kept out. `docs/locking.md` says which programs do.
//!
//! QEMU (`block/file-posix.c`, `raw_apply_lock_bytes` and `raw_check_lock_bytes`) has one byte of the file for each
//! permission that a program uses, from byte 100 on, and one for each that it does not share, from byte 200 on. Both kinds
//! of bytes are locked for reading, so any number of programs can have them. A program that has taken its own then looks
//! whether others have those that contradict them: nobody may use what it does not share, and the other way round. The
//! locks belong to the open file (`F_OFD_SETLK`), as with `flock`.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::OpenError;

/// The byte of the first permission that is used.
const USED: i64 = 100;
/// The byte of the first permission that is not shared.
const UNSHARED: i64 = 200;

/// QEMU's permissions, by the place of their bytes: `BLK_PERM_CONSISTENT_READ`, `BLK_PERM_WRITE`, `BLK_PERM_RESIZE`.
/// (`BLK_PERM_WRITE_UNCHANGED`, 2, is shared with everybody.)
const READ: i64 = 0;
const WRITE: i64 = 1;
const RESIZE: i64 = 3;

/// QEMU's locks that udm takes, and those of others that contradict them, with what these mean.
struct Bytes {
    own: &'static [i64],
    others: &'static [(i64, &'static str)],
}

/// QEMU's tools share writing unless told otherwise, so a writer keeps them out by not sharing reading.
const WRITER: Bytes = Bytes {
    own: &[USED + READ, USED + WRITE, UNSHARED + READ, UNSHARED + WRITE, UNSHARED + RESIZE],
    others: &[
        (USED + WRITE, "QEMU's lock: it is written"),
        (USED + READ, "QEMU's lock: it is read"),
        (USED + RESIZE, "QEMU's lock: it is resized"),
        (UNSHARED + READ, "QEMU's lock: it is not shared"),
        (UNSHARED + WRITE, "QEMU's lock: it is not shared for writing"),
    ],
};
const READER: Bytes = Bytes {
    own: &[USED + READ, UNSHARED + WRITE, UNSHARED + RESIZE],
    others: &[
        (USED + WRITE, "QEMU's lock: it is written"),
        (USED + RESIZE, "QEMU's lock: it is resized"),
        (UNSHARED + READ, "QEMU's lock: it is not shared"),
    ],
};

/// How often a lock is tried to be had, and how long there is between two tries: three seconds in all.
const TRIES: u32 = 120;
const INTERVAL: Duration = Duration::from_millis(25);

/// Keeps other programs from the file: from writing it, and if it is to be written here from reading it too.
///
/// # Errors
/// When another program has it, and keeps it for three seconds.
pub(super) fn take(path: &Path, fd: &OwnedFd, read_only: bool) -> Result<(), OpenError> {
    until_free(path, || conflict(path, fd.as_fd(), read_only))
}

/// Keeps QEMU from a file that is to be written: for who has a lock of another kind already. The locks end when the file is
/// closed everywhere.
///
/// # Errors
/// When another program has it, and keeps it for three seconds.
pub fn keep_qemu_out(path: &Path, file: BorrowedFd<'_>) -> Result<(), OpenError> {
    until_free(path, || qemu_conflict(path, file, false))
}

/// Tries until nothing is in the way, for three seconds.
fn until_free(path: &Path, conflict: impl Fn() -> Option<&'static str>) -> Result<(), OpenError> {
    // The kernel releases the locks of a killed process with a ring only when the ring's I/O has ended, a moment after the
    // process; and udev has a shared lock on a block device while it looks at it, as after each time that a writer
    // closed it.
    let mut tries = TRIES;
    loop {
        let Some(holder) = conflict() else { return Ok(()) };
        tries -= 1;
        if tries == 0 {
            return Err(OpenError::InUse { path: path.to_owned(), holder });
        }
        std::thread::sleep(INTERVAL);
    }
}

/// Releases what [`take`] took.
pub(super) fn release(fd: &OwnedFd) {
    release_bytes(fd.as_fd());
    let _ = flock(fd, FlockOperation::Unlock);
}

/// Tries to take all locks: what is in the way, in which case none is held. A file system without locks is no reason to keep
/// a user from the data.
fn conflict(path: &Path, fd: BorrowedFd<'_>, read_only: bool) -> Option<&'static str> {
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
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Some("flock"),
        Err(error) => cannot_lock(path, "flock", &error.into()),
    }
    let holder = qemu_conflict(path, fd, read_only);
    if holder.is_some() {
        let _ = flock(fd, FlockOperation::Unlock);
    }
    holder
}

/// The same with QEMU's locks alone.
fn qemu_conflict(path: &Path, fd: BorrowedFd<'_>, read_only: bool) -> Option<&'static str> {
    match bytes(fd, read_only) {
        Ok(None) => None,
        Ok(holder) => {
            release_bytes(fd);
            holder
        }
        Err(error) => {
            cannot_lock(path, "QEMU's locks (F_OFD_SETLK)", &error);
            None
        }
    }
}

fn release_bytes(fd: BorrowedFd<'_>) {
    let _ = set(fd, libc::F_UNLCK, USED, UNSHARED + RESIZE + 1 - USED);
}

fn cannot_lock(path: &Path, what: &str, error: &io::Error) {
    tracing::warn!(path = %path.display(), %error, "cannot lock the file by {what}: make sure that no other program writes it");
}

/// Takes QEMU's locks, and looks who contradicts them: what is in the way.
fn bytes(fd: BorrowedFd<'_>, read_only: bool) -> io::Result<Option<&'static str>> {
    let bytes = if read_only { READER } else { WRITER };
    for byte in bytes.own {
        match set(fd, libc::F_RDLCK, *byte, 1) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Ok(Some("a lock of its bytes"));
            }
            done => done?,
        }
    }
    for (byte, meaning) in bytes.others {
        if is_locked(fd, *byte)? {
            return Ok(Some(meaning));
        }
    }
    Ok(None)
}

fn range(kind: i32, start: i64, len: i64) -> libc::flock {
    libc::flock { l_type: kind as i16, l_whence: libc::SEEK_SET as i16, l_start: start, l_len: len, l_pid: 0 }
}

/// Sets or removes a lock of this open file.
fn set(fd: BorrowedFd<'_>, kind: i32, start: i64, len: i64) -> io::Result<()> {
    call(fd, libc::F_OFD_SETLK, &mut range(kind, start, len))
}

/// Whether another open file has a lock of `byte`.
fn is_locked(fd: BorrowedFd<'_>, byte: i64) -> io::Result<bool> {
    let mut lock = range(libc::F_WRLCK, byte, 1);
    call(fd, libc::F_OFD_GETLK, &mut lock)?;
    Ok(i32::from(lock.l_type) != libc::F_UNLCK)
}

/// Does `F_OFD_SETLK` or `F_OFD_GETLK`.
fn call(fd: BorrowedFd<'_>, command: i32, lock: &mut libc::flock) -> io::Result<()> {
    // SAFETY: the kernel reads and writes the structure before it returns, and keeps no address of it.
    let done = unsafe { libc::fcntl(fd.as_raw_fd(), command, &raw mut *lock) };
    if done == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
