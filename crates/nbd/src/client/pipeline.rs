//! The requests in flight: which replies are due, and what follows each of them.

use super::PipelineError;
use crate::wire::{Command, CommandFlags, ErrorNumber, Request, SimpleReply};

/// The most requests in flight. From there on a reply must be received before the next request is sent.
pub const MAX_IN_FLIGHT: usize = 1024;

/// The transmission phase of a client: it makes requests and matches replies to them.
///
/// A server may reply in any order; a request's cookie says to which request a reply belongs. The caller sends what
/// [`request`](Self::request) makes, with the data of a write behind it, and gives each reply's header to
/// [`reply`](Self::reply). After an error that leaves the two sides out of step, everything is refused with
/// [`PipelineError::Broken`].
///
/// A server may stop reading until its replies are read. A client that sends and receives on one thread must then receive
/// while it sends, or both wait for ever. [`due`](Self::due) bounds the memory that this takes.
///
/// ```
/// use udm_nbd::client::{Answer, Pipeline};
/// use udm_nbd::wire::{Command, CommandFlags, Request, SimpleReply};
///
/// let mut pipeline = Pipeline::new();
/// let cookie = pipeline.next_cookie();
/// let read = Request { flags: CommandFlags::NONE, command: Command::Read, cookie, offset: 0, length: 512 };
/// let to_server = pipeline.request(&read)?;
/// assert_eq!(to_server.len(), 28);
///
/// let from_server = SimpleReply { error: None, cookie }.encode();
/// // 512 bytes of data follow this reply.
/// assert_eq!(pipeline.reply(&from_server)?, Answer { cookie, result: Ok(512) });
/// assert_eq!(pipeline.in_flight(), 0);
/// # Ok::<(), udm_nbd::client::PipelineError>(())
/// ```
#[derive(Debug, Default)]
pub struct Pipeline {
    in_flight: Vec<InFlight>,
    next_cookie: u64,
    is_broken: bool,
}

/// A request whose reply is due.
#[derive(Clone, Copy, Debug)]
struct InFlight {
    cookie: u64,
    /// The bytes of data that follow a reply without an error.
    data: u32,
}

/// What a reply's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the request may have failed, and data may follow"]
pub struct Answer {
    /// The request's cookie.
    pub cookie: u64,
    /// The number of bytes of data that follow, which is 0 for anything but a read; or the server's error, which no data
    /// follow.
    pub result: Result<u32, ErrorNumber>,
}

impl Pipeline {
    /// No request is in flight yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many replies are due.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// The most bytes that the server can send before it gets another request: all replies that are due, with their data.
    pub fn due(&self) -> u64 {
        self.in_flight.iter().map(|one| SimpleReply::SIZE as u64 + u64::from(one.data)).sum()
    }

    /// A new cookie, for a caller that has no numbers of its own. It counts from 0 on.
    pub fn next_cookie(&mut self) -> u64 {
        let cookie = self.next_cookie;
        self.next_cookie = cookie.wrapping_add(1);
        cookie
    }

    /// Counts a request as in flight, and makes the bytes to send. A write's data go behind them.
    ///
    /// The request may be one that the export does not offer, or that the protocol does not know. [`Command::Disc`] has no
    /// reply, so it is made by [`Pipeline::disconnect`].
    ///
    /// # Errors
    /// A cookie that is in flight, [`MAX_IN_FLIGHT`] requests in flight, or an earlier error.
    pub fn request(&mut self, request: &Request) -> Result<[u8; Request::SIZE], PipelineError> {
        self.check()?;
        if self.in_flight.len() >= MAX_IN_FLIGHT {
            return Err(PipelineError::InFlight { count: self.in_flight.len() });
        }
        if self.in_flight.iter().any(|other| other.cookie == request.cookie) {
            return Err(PipelineError::CookieInUse { cookie: request.cookie });
        }
        let data = if request.command == Command::Read { request.length } else { 0 };
        self.in_flight.push(InFlight { cookie: request.cookie, data });
        Ok(request.encode())
    }

    /// Reads a reply's header. If it announces data, they follow on the wire.
    ///
    /// # Errors
    /// Nothing is in flight, or the reply belongs to no request in flight: then the two sides are out of step.
    pub fn reply(&mut self, header: &[u8; SimpleReply::SIZE]) -> Result<Answer, PipelineError> {
        self.expect_reply()?;
        let answer = self.matched(header);
        self.is_broken = answer.is_err();
        answer
    }

    /// Checks that a reply is due, before a caller waits for it.
    ///
    /// # Errors
    /// Nothing is in flight, or an earlier error.
    pub fn expect_reply(&self) -> Result<(), PipelineError> {
        self.check()?;
        if self.in_flight.is_empty() { Err(PipelineError::NothingInFlight) } else { Ok(()) }
    }

    /// Ends the pipeline, because the connection failed or part of a message was lost.
    pub fn mark_broken(&mut self) {
        self.is_broken = true;
    }

    /// Checks that the two sides are in step.
    ///
    /// # Errors
    /// An earlier error.
    pub fn check(&self) -> Result<(), PipelineError> {
        if self.is_broken { Err(PipelineError::Broken) } else { Ok(()) }
    }

    /// The request that ends the session. The server finishes what is in flight, and hangs up without a reply.
    pub fn disconnect(&mut self) -> [u8; Request::SIZE] {
        let cookie = self.next_cookie();
        Request { flags: CommandFlags::NONE, command: Command::Disc, cookie, offset: 0, length: 0 }.encode()
    }

    fn matched(&mut self, header: &[u8; SimpleReply::SIZE]) -> Result<Answer, PipelineError> {
        let SimpleReply { error, cookie } = SimpleReply::decode(header)?;
        let at = self.in_flight.iter().position(|one| one.cookie == cookie);
        let InFlight { data, .. } =
            self.in_flight.swap_remove(at.ok_or(PipelineError::UnknownCookie { cookie })?);
        Ok(Answer { cookie, result: error.map_or(Ok(data), Err) })
    }
}
