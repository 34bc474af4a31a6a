//! The handshake with a client, over its socket.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use udm_block::queue::{Interest, PollFlags, Queue};

use super::input::{Input, Received};
use super::socket::Gather;
use crate::nbd::negotiate::{Chosen, ExportInfo, GREETING, Negotiation, NegotiationError, Progress};

/// How long a client may take for all of it.
const PATIENCE: Duration = Duration::from_secs(30);

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
    #[error("the client took more than {} seconds for the handshake", PATIENCE.as_secs())]
    Slow,
    /// The server stops.
    #[error("the server is shutting down")]
    Stopped,
    /// The connection broke.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Agrees with the client on an export; `None` when it ended the session in peace. What the client sent beyond the
/// handshake stays in `input`.
pub(super) fn handshake(
    socket: BorrowedFd<'_>,
    queue: &Queue,
    exports: &[ExportInfo],
    input: &mut Input,
    stop: &AtomicBool,
) -> Result<Option<Chosen>, HandshakeError> {
    let deadline = Instant::now() + PATIENCE;
    let mut negotiation = Negotiation::new(exports);
    let mut out = GREETING.to_vec();
    loop {
        send(socket, queue, &mut out, deadline)?;
        let taken = match negotiation.input(input.bytes(), &mut out) {
            Ok(taken) => taken,
            Err(error) => {
                // The reason is worth a try; whether the client hears it is its own affair.
                let _ = send(socket, queue, &mut out, deadline);
                return Err(error.into());
            }
        };
        input.consume(taken.consumed);
        match taken.progress {
            Progress::Continue if taken.consumed > 0 || !out.is_empty() => {}
            Progress::Continue => match input.receive(socket)? {
                Received::Some => {}
                Received::Later => wait(socket, queue, PollFlags::IN, deadline)?,
                Received::End => return Err(HandshakeError::Left),
            },
            Progress::Transmission(chosen) => {
                send(socket, queue, &mut out, deadline)?;
                return Ok(Some(chosen));
            }
            Progress::Closed => {
                send(socket, queue, &mut out, deadline)?;
                return Ok(None);
            }
        }
        if stop.load(Ordering::Relaxed) {
            return Err(HandshakeError::Stopped);
        }
    }
}

/// Sends all of `out`, and empties it.
fn send(
    socket: BorrowedFd<'_>,
    queue: &Queue,
    out: &mut Vec<u8>,
    deadline: Instant,
) -> Result<(), HandshakeError> {
    let mut sent = 0;
    while sent < out.len() {
        let mut gather = Gather::new();
        gather.push_bytes(&out[sent..], &mut 0);
        match gather.send(socket) {
            Ok(now) => sent += now,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                wait(socket, queue, PollFlags::OUT, deadline)?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    out.clear();
    Ok(())
}

fn wait(
    socket: BorrowedFd<'_>,
    queue: &Queue,
    events: PollFlags,
    deadline: Instant,
) -> Result<(), HandshakeError> {
    let left = deadline.checked_duration_since(Instant::now()).ok_or(HandshakeError::Slow)?;
    Ok(queue.wait(&mut [Interest::new(socket, events)], Some(left))?)
}
