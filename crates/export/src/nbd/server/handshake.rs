//! The handshake with a client, over its socket: a step whenever the socket is ready. It holds no thread and no buffer, so
//! that clients who say nothing cost next to nothing.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::event::PollFlags;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use udm_nbd::negotiate::{ExportInfo, GREETING, Negotiation, Progress};

use crate::serving::{Greeting, GreetingError, Step};

/// How much is received at once, in bytes.
const CHUNK: usize = 4096;

/// A client that has not chosen an export yet.
pub(super) struct Handshake {
    /// Made when the client says something.
    negotiation: Option<Negotiation<'static>>,
    /// What the client has sent and is not used yet.
    received: Vec<u8>,
    /// What is to be sent before anything else is received.
    out: Vec<u8>,
    sent: usize,
    /// What comes of it when all is sent.
    then: Option<Progress>,
}

/// What a client has chosen.
pub(super) struct Choice {
    /// The export's number.
    pub(super) export: usize,
    /// What the client has sent already.
    pub(super) received: Vec<u8>,
}

impl Handshake {
    pub(super) fn new() -> Self {
        Self { negotiation: None, received: Vec::new(), out: GREETING.to_vec(), sent: 0, then: None }
    }

    /// Goes on as far as the socket lets it, but receives once at most: others have their turn. `exports` says what is
    /// served, and `full` how many slots there are if none is free.
    ///
    /// # Errors
    /// Why the handshake has failed.
    pub(super) fn go_on(
        &mut self,
        socket: BorrowedFd<'_>,
        exports: impl Fn() -> Vec<ExportInfo>,
        full: Option<usize>,
    ) -> Result<Step<Choice>, GreetingError> {
        let mut has_received = false;
        loop {
            match self.send(socket) {
                Ok(true) => {}
                Ok(false) => return Ok(Step::Wait),
                // A client that sent NBD_OPT_ABORT need not wait for the answer.
                Err(_) if self.then == Some(Progress::Closed) => return Ok(Step::Closed),
                Err(error) => return Err(error.into()),
            }
            match self.then {
                None | Some(Progress::Continue) => {}
                Some(Progress::Transmission(export)) => {
                    return Ok(Step::Chosen(Choice { export, received: std::mem::take(&mut self.received) }));
                }
                Some(Progress::Closed) => return Ok(Step::Closed),
            }
            if self.received.is_empty()
                && (std::mem::replace(&mut has_received, true) || !self.receive(socket)?)
            {
                return Ok(Step::Wait);
            }
            let negotiation = self.negotiation.get_or_insert_with(|| Negotiation::owning(exports()));
            match negotiation.input(&self.received, &mut self.out) {
                Ok(step) => {
                    if let (Progress::Transmission(_), Some(slots)) = (step.progress, full) {
                        return Err(GreetingError::Full(slots));
                    }
                    self.received.drain(..step.consumed);
                    self.then = Some(step.progress);
                }
                Err(error) => {
                    // The reason is worth a try; whether the client hears it is its own affair.
                    let _ = self.send(socket);
                    return Err(GreetingError::Protocol(error.into()));
                }
            }
        }
    }

    /// Sends what the socket takes: whether that was all.
    fn send(&mut self, socket: BorrowedFd<'_>) -> io::Result<bool> {
        while self.sent < self.out.len() {
            match send(socket, &self.out[self.sent..], SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
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
    fn receive(&mut self, socket: BorrowedFd<'_>) -> Result<bool, GreetingError> {
        let mut chunk = [0; CHUNK];
        match recv(socket, &mut chunk, RecvFlags::DONTWAIT) {
            Ok((_, 0)) | Err(rustix::io::Errno::CONNRESET) => Err(GreetingError::Left),
            Ok((_, got)) => {
                self.received.extend_from_slice(&chunk[..got]);
                Ok(true)
            }
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(io::Error::from(error).into()),
        }
    }
}

impl Greeting for Handshake {
    fn interest(&self) -> PollFlags {
        if self.out.is_empty() { PollFlags::IN } else { PollFlags::OUT }
    }

    fn unsent(&self) -> usize {
        self.out.len() - self.sent
    }

    fn is_mute(&self) -> bool {
        self.negotiation.is_none()
    }
}
