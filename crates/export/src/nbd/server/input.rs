//! What a client has sent and we have not used yet.

use std::io;
use std::os::fd::BorrowedFd;

use udm_block::{SpanIterMut, SpanMut};

use super::socket;

/// How much is read ahead of what is needed, in bytes.
const BUFFER: usize = 64 << 10;
/// From how much on the data of a write is received where it belongs, and not through the buffer.
const DIRECT: usize = 4 << 10;

/// What receiving found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Received {
    /// Bytes.
    Some,
    /// None now.
    Later,
    /// The end of the stream.
    End,
}

/// A buffer of bytes between the socket and us.
pub(super) struct Input {
    bytes: Box<[u8]>,
    begin: usize,
    end: usize,
}

impl Input {
    /// A buffer that begins with `received`, which is shorter than it.
    // not on the I/O path: once, when it is made
    pub(super) fn new(received: &[u8]) -> Self {
        let mut bytes = vec![0; BUFFER].into_boxed_slice();
        bytes[..received.len()].copy_from_slice(received);
        Self { bytes, begin: 0, end: received.len() }
    }

    /// The bytes that are here.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[self.begin..self.end]
    }

    /// The first bytes are used.
    pub(super) fn consume(&mut self, len: usize) {
        self.begin += len;
        debug_assert!(self.begin <= self.end, "more was used than was there");
        if self.begin == self.end {
            (self.begin, self.end) = (0, 0);
        }
    }

    /// The first `N` bytes, used, when they are here.
    pub(super) fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let taken = *self.bytes().first_chunk::<N>()?;
        self.consume(N);
        Some(taken)
    }

    /// Uses at most `len` of the bytes that are here, unseen: how many.
    pub(super) fn skip(&mut self, len: usize) -> usize {
        let skipped = len.min(self.end - self.begin);
        self.consume(skipped);
        skipped
    }

    /// Receives more into the buffer.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<Received> {
        if self.end == self.bytes.len() {
            self.bytes.copy_within(self.begin.., 0);
            (self.begin, self.end) = (0, self.end - self.begin);
        }
        let (received, got) = outcome(socket::receive(socket, SpanMut::new(&mut self.bytes[self.end..])))?;
        self.end += got;
        Ok(received)
    }

    /// Fills `to` with what is here and what the socket has: how many bytes, and what the socket said last.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn fill(
        &mut self,
        socket: BorrowedFd<'_>,
        mut to: SpanIterMut<'_>,
    ) -> io::Result<(usize, Received)> {
        let all = to.len();
        loop {
            let now = to.len().min(self.bytes().len());
            to.write(&self.bytes()[..now]);
            self.consume(now);
            if to.is_empty() {
                return Ok((all, Received::Some));
            }
            let received = if to.len() >= DIRECT {
                let (received, got) = outcome(socket::receive(socket, to.peek()))?;
                to.advance(got);
                received
            } else {
                self.receive(socket)?
            };
            if received != Received::Some {
                return Ok((all - to.len(), received));
            }
        }
    }
}

/// What a receiving call says.
fn outcome(result: io::Result<usize>) -> io::Result<(Received, usize)> {
    match result {
        Ok(0) => Ok((Received::End, 0)),
        Ok(got) => Ok((Received::Some, got)),
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
            Ok((Received::Later, 0))
        }
        Err(error) => Err(error),
    }
}
