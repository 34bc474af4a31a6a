//! The handshake with a client, over its socket.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use udm_block::queue::{Interest, PollFlags, Queue};

use super::input::{Input, Received};
use super::socket::Gather;
use crate::nbd::negotiate::{Chosen, ExportInfo, GREETING, Negotiation, NegotiationError, Progress};

/// How a handshake failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandshakeError {
    /// The client broke the protocol, or wanted what there is not.
    #[error("{0}")]
    Negotiation(#[from] NegotiationError),
    /// The client left.
    #[error("the client left in the middle of the handshake")]
    Left,
    /// The client is too slow.
    #[error("the client took too long for the handshake")]
    Slow,
    /// The server stops.
    #[error("the server is shutting down")]
    Stopped,
    /// The connection broke.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// What ends the handshake before its time: the clock, or the server's end.
pub(super) struct Deadline<'a> {
    pub(super) queue: &'a Queue,
    pub(super) stop: &'a AtomicBool,
    pub(super) at: Instant,
}

/// Agrees with the client on an export; `None` when it ended the session in peace. What the client sent beyond the
/// handshake stays in `input`.
pub(super) fn handshake(
    socket: BorrowedFd<'_>,
    end: &Deadline<'_>,
    exports: &[ExportInfo],
    input: &mut Input,
) -> Result<Option<Chosen>, HandshakeError> {
    let mut negotiation = Negotiation::new(exports);
    let mut out = GREETING.to_vec();
    loop {
        send(socket, end, &mut out)?;
        let taken = match negotiation.input(input.bytes(), &mut out) {
            Ok(taken) => taken,
            Err(error) => {
                // The reason is worth a try; whether the client hears it is its own affair.
                let _ = send(socket, end, &mut out);
                return Err(error.into());
            }
        };
        input.consume(taken.consumed);
        match taken.progress {
            // A client that sends without a pause is held to the deadline too.
            Progress::Continue if taken.consumed > 0 || !out.is_empty() => end.left().map(drop)?,
            Progress::Continue => match input.receive(socket)? {
                Received::Some => {}
                Received::Later => end.wait(socket, PollFlags::IN)?,
                Received::End => return Err(HandshakeError::Left),
            },
            Progress::Transmission(chosen) => {
                send(socket, end, &mut out)?;
                return Ok(Some(chosen));
            }
            Progress::Closed => {
                // A client that sent NBD_OPT_ABORT need not wait for the answer.
                let _ = send(socket, end, &mut out);
                return Ok(None);
            }
        }
    }
}

/// Sends all of `out`, and empties it.
fn send(socket: BorrowedFd<'_>, end: &Deadline<'_>, out: &mut Vec<u8>) -> Result<(), HandshakeError> {
    let mut sent = 0;
    while sent < out.len() {
        let mut gather = Gather::new();
        gather.push_bytes(&out[sent..], &mut 0);
        match gather.send(socket) {
            Ok(now) => sent += now,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => end.wait(socket, PollFlags::OUT)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    out.clear();
    Ok(())
}

impl Deadline<'_> {
    /// The time that is left.
    fn left(&self) -> Result<Duration, HandshakeError> {
        if self.stop.load(Ordering::SeqCst) {
            return Err(HandshakeError::Stopped);
        }
        self.at.checked_duration_since(Instant::now()).ok_or(HandshakeError::Slow)
    }

    /// Waits for `events`. The server's end is looked for before the wait: this thread is in the list of those that
    /// a stop wakes, so a stop that comes later ends the wait.
    fn wait(&self, socket: BorrowedFd<'_>, events: PollFlags) -> Result<(), HandshakeError> {
        Ok(self.queue.wait(&mut [Interest::new(socket, events)], Some(self.left()?))?)
    }
}
