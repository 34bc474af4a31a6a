//! Signals while the terminal is not as the user left it: they are noted, and raised again when it is.
//!
//! The handlers that were there are put back exactly, an ignored signal stays ignored, and a suspended process is suspended
//! by the kernel's own rules (which do not stop a process that nobody could continue). A library that keeps its handlers,
//! as signal-hook does, can do none of the three.
#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, Ordering};

use rustix::io::{Errno, read};
use rustix::pipe::{PipeFlags, pipe_with};

/// The signals that end or stop a process if it does not handle them, and that others send; and the one that continues it.
const CAUGHT: [libc::c_int; 10] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTERM,
    libc::SIGALRM,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGXCPU,
    libc::SIGTSTP,
    libc::SIGCONT,
];

/// Where `note` writes the signals to. It is set once, to a descriptor that is never closed.
static NOTES: AtomicI32 = AtomicI32::new(-1);

/// The handler: whoever asks at the terminal reads the signal's number from the pipe.
extern "C" fn note(signal: libc::c_int) {
    let number = signal as u8;
    // SAFETY: a handler may use `errno` and `write`; the byte is on this stack. A pipe that is full has signals enough.
    unsafe {
        let errno = *libc::__errno_location();
        libc::write(NOTES.load(Ordering::Relaxed), ptr::from_ref(&number).cast(), 1);
        *libc::__errno_location() = errno;
    }
}

/// Signals that are noted, until this is dropped.
pub(super) struct Caught {
    pipe: BorrowedFd<'static>,
    before: Vec<(libc::c_int, libc::sigaction)>,
}

impl Caught {
    /// Begins to note signals, apart from those that are ignored.
    pub(super) fn catch() -> io::Result<Self> {
        let mut caught = Self { pipe: pipe()?, before: Vec::with_capacity(CAUGHT.len()) };
        // What came since the last time was handled by others.
        while caught.signal().is_some() {}
        for signal in CAUGHT {
            let before = action(signal, None)?;
            if before.sa_sigaction != libc::SIG_IGN {
                action(signal, Some(&noted()))?;
                caught.before.push((signal, before));
            }
        }
        Ok(caught)
    }

    /// Can be read when a signal has come.
    pub(super) fn pipe(&self) -> &BorrowedFd<'static> {
        &self.pipe
    }

    /// A signal that has come.
    pub(super) fn signal(&self) -> Option<libc::c_int> {
        let mut number = [0];
        loop {
            return match read(self.pipe, &mut number) {
                Ok(1) => Some(number[0].into()),
                Err(Errno::INTR) => continue,
                _ => None,
            };
        }
    }
}

impl Drop for Caught {
    fn drop(&mut self) {
        for (signal, before) in self.before.drain(..).rev() {
            let _ = action(signal, Some(&before));
        }
    }
}

/// Sends this thread a signal, which is handled before this returns.
pub(super) fn raise(signal: libc::c_int) {
    // SAFETY: the call takes no address, and the signal was one of `CAUGHT`.
    unsafe { libc::raise(signal) };
}

/// The end of the pipe that is read.
fn pipe() -> io::Result<BorrowedFd<'static>> {
    static PIPE: OnceLock<(OwnedFd, OwnedFd)> = OnceLock::new();
    if PIPE.get().is_none() {
        let ends = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let _ = PIPE.set(ends);
    }
    let (reads, writes) = PIPE.get().expect("it was set, or was there");
    NOTES.store(writes.as_raw_fd(), Ordering::Relaxed);
    Ok(std::os::fd::AsFd::as_fd(reads))
}

/// The action that is `note`, with everything else held off meanwhile.
fn noted() -> libc::sigaction {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: zeros are a valid action, of no flags, with the default handler; the calls fill in the rest of it.
    unsafe {
        let action = action.assume_init_mut();
        action.sa_sigaction = note as *const () as libc::sighandler_t;
        action.sa_flags = libc::SA_RESTART;
        libc::sigfillset(&raw mut action.sa_mask);
    }
    // SAFETY: as above.
    unsafe { action.assume_init() }
}

/// The action of a signal, after which it is `new`, where that is given.
fn action(signal: libc::c_int, new: Option<&libc::sigaction>) -> io::Result<libc::sigaction> {
    let mut before = MaybeUninit::zeroed();
    let new = new.map_or(ptr::null(), ptr::from_ref);
    // SAFETY: both addresses are of actions, or null; `new` has a handler that is safe in a signal handler (`note`), or
    // is what this call gave before.
    if unsafe { libc::sigaction(signal, new, before.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: zeros were a valid action already, and the call has filled it in.
    Ok(unsafe { before.assume_init() })
}
