//! The descriptors that the program was started with: taken by number, and whether 0, 1 and 2 were open.
//!
//! Before `main`, Rust's runtime opens /dev/null for each of the three that is closed, so that no file of the program's gets
//! its number. After that nobody can tell a closed stdout from one that the user sent to /dev/null.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

/// Bit N is set where descriptor N was closed when the program was started.
static CLOSED: AtomicU8 = AtomicU8::new(0);

/// The C library calls what is in this section before `main`, and so before Rust's runtime.
#[used]
// SAFETY: the section holds pointers to functions of C's calling convention, and `look` is one. It needs nothing that is set
// up later: it makes three system calls and stores to an atomic.
#[unsafe(link_section = ".init_array")]
static LOOK: extern "C" fn() = look;

extern "C" fn look() {
    let mut closed = 0;
    for number in 0..3 {
        // SAFETY: the call takes no address, and changes nothing.
        if unsafe { libc::fcntl(number, libc::F_GETFD) } == -1 {
            closed |= 1 << number;
        }
    }
    CLOSED.store(closed, Ordering::Relaxed);
}

/// Whether descriptor `number`, which is 0, 1 or 2, was closed when the program was started.
pub(crate) fn was_closed(number: RawFd) -> bool {
    (0..3).contains(&number) && CLOSED.load(Ordering::Relaxed) & (1 << number) != 0
}

/// A descriptor that the program was started with, from where it stands: no path leads to it that would have to exist, be
/// allowed, or lead to the same place in the file.
#[derive(Clone, Debug)]
pub struct Inherited {
    number: RawFd,
    copy: Arc<OwnedFd>,
    /// What it has was given out.
    is_read: Arc<AtomicBool>,
}

impl Inherited {
    /// Descriptor `number`, which has to be open now. Whoever takes it early takes none that the program itself opened.
    ///
    /// # Errors
    /// When it is closed, or there is no room for a copy.
    pub fn take(number: RawFd) -> io::Result<Self> {
        if was_closed(number) {
            return Err(io::Error::from_raw_os_error(libc::EBADF));
        }
        // SAFETY: the call takes no address. A number that is not open is an error.
        let copy = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3) };
        if copy == -1 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just made this descriptor, for this call alone.
        let copy = unsafe { OwnedFd::from_raw_fd(copy) };
        Ok(Self { number, copy: Arc::new(copy), is_read: Arc::default() })
    }

    /// Its number when the program was started.
    pub fn number(&self) -> RawFd {
        self.number
    }

    /// The descriptor for its one reader.
    ///
    /// # Errors
    /// When it was read already: another reader would find what the first one left.
    pub(super) fn open(&self) -> io::Result<OwnedFd> {
        if self.is_read.swap(true, Ordering::Relaxed) {
            return Err(io::Error::other("it was read already, for something else"));
        }
        self.copy.try_clone()
    }
}

impl AsFd for Inherited {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.copy.as_fd()
    }
}
