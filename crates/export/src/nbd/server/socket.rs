//! The two calls that move bytes between a socket and memory that is reached by address, and one that asks what became
//! of them.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use udm_block::{Span, SpanMut};

/// How many runs one call sends.
pub(super) const MAX_RUNS: usize = 64;

/// Receives what is there into `to`: how many bytes, 0 at the end of the stream.
///
/// # Errors
/// `WouldBlock` when nothing is there; what the system says.
pub(super) fn receive(socket: BorrowedFd<'_>, mut to: SpanMut<'_>) -> io::Result<usize> {
    // SAFETY: the run is memory of this length that may be written.
    let got = unsafe { libc::recv(socket.as_raw_fd(), to.as_mut_ptr().cast(), to.len(), libc::MSG_DONTWAIT) };
    usize::try_from(got).map_err(|_| io::Error::last_os_error())
}

/// Whether bytes that were sent over TCP have not arrived yet. Those sent over a Unix socket arrive at once.
pub(super) fn is_sending(socket: BorrowedFd<'_>) -> bool {
    if rustix::net::sockopt::socket_domain(socket) == Ok(rustix::net::AddressFamily::UNIX) {
        return false;
    }
    let mut unsent: libc::c_int = 0;
    // SAFETY: the call writes one integer, and that is there.
    let asked = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut unsent) };
    asked == 0 && unsent > 0
}

/// Runs of memory that are sent by one call.
pub(super) struct Gather<'a> {
    runs: [Span<'a>; MAX_RUNS],
    filled: usize,
}

impl<'a> Gather<'a> {
    pub(super) fn new() -> Self {
        Self { runs: [Span::EMPTY; MAX_RUNS], filled: 0 }
    }

    /// Whether so many runs more fit in.
    pub(super) fn has_room_for(&self, runs: usize) -> bool {
        MAX_RUNS - self.filled >= runs
    }

    /// Adds a run, without its first `skip` bytes; takes these off `skip`.
    pub(super) fn push(&mut self, run: Span<'a>, skip: &mut usize) {
        let skipped = run.len().min(*skip);
        *skip -= skipped;
        if skipped < run.len() {
            self.runs[self.filled] = run.slice(skipped, run.len() - skipped);
            self.filled += 1;
        }
    }

    /// Adds bytes that nobody changes meanwhile.
    pub(super) fn push_bytes(&mut self, bytes: &'a [u8], skip: &mut usize) {
        self.push(Span::new(bytes), skip);
    }

    /// Sends what the socket takes: how many bytes.
    ///
    /// # Errors
    /// `WouldBlock` when it takes none now; what the system says.
    pub(super) fn send(&self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        let mut iovecs = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; MAX_RUNS];
        for (iovec, run) in iovecs.iter_mut().zip(&self.runs[..self.filled]) {
            *iovec = libc::iovec { iov_base: run.as_ptr().cast_mut().cast(), iov_len: run.len() };
        }
        // SAFETY: all zeros is a message without address, data and control data.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        message.msg_iov = iovecs.as_mut_ptr();
        message.msg_iovlen = self.filled as _;
        // SAFETY: the message refers to `filled` runs of memory that stay for 'a, which outlives the call.
        let sent = unsafe {
            libc::sendmsg(socket.as_raw_fd(), &raw const message, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
        };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }
}
