//! The handshake with a client, over its socket: a step whenever the socket is ready. It holds no thread and no buffer, so
//! that clients who say nothing cost next to nothing.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use rustix::event::PollFlags;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use udm_nbd::negotiate::{ExportInfo, GREETING, Negotiation, NegotiationError, Progress};

/// How much is received at once, in bytes.
const CHUNK: usize = 4096;

/// How a handshake failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandshakeError {
    /// The client broke the protocol, or wanted what there is not.
    #[error("{0}")]
    Negotiation(#[from] NegotiationError),
    /// The client left.
    #[error("the client left in the middle of the handshake")]
    Left,
    /// No connection slot is free for it.
    #[error("{0} are connected, and no more are allowed")]
    Full(usize),
    /// The client is too slow.
    #[error("the client took too long for the handshake")]
    Slow,
    /// The connection broke.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// How far a handshake is.
pub(super) enum Step {
    /// It waits for the client.
    Wait,
    /// It is over, and the client has chosen the export of this index.
    Chosen(usize),
    /// It is over, and the client has ended the session in peace.
    Closed,
}

/// A client that has not chosen an export yet.
pub(super) struct Handshake {
    pub(super) socket: OwnedFd,
    pub(super) peer: String,
    /// When it must be over.
    pub(super) end: Instant,
    /// Made when the client says something.
    negotiation: Option<Negotiation<'static>>,
    /// What the client has sent and is not used yet.
    pub(super) received: Vec<u8>,
    /// What is to be sent before anything else is received.
    out: Vec<u8>,
    sent: usize,
    /// What comes of it when all is sent.
    then: Option<Progress>,
}

impl Handshake {
    pub(super) fn new(socket: OwnedFd, peer: String, end: Instant) -> Self {
        let (negotiation, received, then) = (None, Vec::new(), None);
        Self { socket, peer, end, negotiation, received, out: GREETING.to_vec(), sent: 0, then }
    }

    /// What it waits for.
    pub(super) fn interest(&self) -> PollFlags {
        if self.out.is_empty() { PollFlags::IN } else { PollFlags::OUT }
    }

    /// Whether the client has said nothing at all.
    pub(super) fn is_mute(&self) -> bool {
        self.negotiation.is_none()
    }

    /// How many bytes wait to be sent.
    pub(super) fn unsent(&self) -> usize {
        self.out.len() - self.sent
    }

    /// Goes on as far as the socket lets it, but receives once at most: others have their turn. `exports` says what is
    /// served, and `full` how many slots there are if none is free.
    ///
    /// # Errors
    /// Why the handshake has failed.
    pub(super) fn go_on(
        &mut self,
        exports: impl Fn() -> Vec<ExportInfo>,
        full: Option<usize>,
    ) -> Result<Step, HandshakeError> {
        let mut has_received = false;
        loop {
            match self.send() {
                Ok(true) => {}
                Ok(false) => return Ok(Step::Wait),
                // A client that sent NBD_OPT_ABORT need not wait for the answer.
                Err(_) if self.then == Some(Progress::Closed) => return Ok(Step::Closed),
                Err(error) => return Err(error.into()),
            }
            match self.then {
                None | Some(Progress::Continue) => {}
                Some(Progress::Transmission(export)) => return Ok(Step::Chosen(export)),
                Some(Progress::Closed) => return Ok(Step::Closed),
            }
            if self.received.is_empty() && (std::mem::replace(&mut has_received, true) || !self.receive()?) {
                return Ok(Step::Wait);
            }
            let negotiation = self.negotiation.get_or_insert_with(|| Negotiation::owning(exports()));
            match negotiation.input(&self.received, &mut self.out) {
                Ok(step) => {
                    if let (Progress::Transmission(_), Some(slots)) = (step.progress, full) {
                        return Err(HandshakeError::Full(slots));
                    }
                    self.received.drain(..step.consumed);
                    self.then = Some(step.progress);
                }
                Err(error) => {
                    // The reason is worth a try; whether the client hears it is its own affair.
                    let _ = self.send();
                    return Err(error.into());
                }
            }
        }
    }

    /// Sends what the socket takes: whether that was all.
    fn send(&mut self) -> io::Result<bool> {
        while self.sent < self.out.len() {
            match send(&self.socket, &self.out[self.sent..], SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(now) => self.sent += now,
                Err(rustix::io::Errno::AGAIN) => return Ok(false),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        (self.out, self.sent) = (Vec::new(), 0);
        Ok(true)
    }

    /// Receives what is there: whether there was anything.
    fn receive(&mut self) -> Result<bool, HandshakeError> {
        let mut chunk = [0; CHUNK];
        match recv(&self.socket, &mut chunk, RecvFlags::DONTWAIT) {
            Ok((_, 0)) | Err(rustix::io::Errno::CONNRESET) => Err(HandshakeError::Left),
            Ok((_, got)) => {
                self.received.extend_from_slice(&chunk[..got]);
                Ok(true)
            }
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(io::Error::from(error).into()),
        }
    }
}

impl AsFd for Handshake {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
