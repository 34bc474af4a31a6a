//! One client in the transmission phase: the thread with the queue that takes its requests and sends its replies.
//!
//! Nothing here waits but `Queue::wait`: not for the disk, not for the client, not for memory. A request that finds no
//! memory is held, and nothing more is received, until a reply has gone out.

use std::collections::VecDeque;
use std::io;
use std::os::fd::BorrowedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use udm_block::memory::Source;
use udm_block::mempool::NoReserve;
use udm_block::queue::{Interest, PollFlags, Queue};
use udm_block::{ChannelId, Geometry, OpenError, PadBio, Status};

use super::export::Export;
use super::input::{Input, Received};
use super::memory::RequestMemory;
use super::ranges::Ranges;
use super::replies::Replies;
use super::request::{LONGEST_TAKEN, Work, work};
use super::socket;
use super::steps::Pending;
use crate::serving::{Budget, DEPTH, Ending};
use udm_nbd::wire::{Command, ErrorNumber, Request, WireError};

/// The longest write whose data is skipped to be answered with an error; a longer one ends the connection.
const LONGEST_SKIPPED: u32 = 2 * LONGEST_TAKEN;

/// How often it is looked whether the last replies have arrived; the system tells nobody.
const SEE_OFF_INTERVAL: Duration = Duration::from_millis(2);

/// How a connection ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Hangup {
    /// The client said that it would.
    #[error("the client disconnected")]
    Clean,
    /// The client closed the connection between two requests without saying so.
    #[error("the client closed the connection without NBD_CMD_DISC")]
    Closed,
    /// The connection broke in the middle of something.
    #[error("the client vanished in the middle of a request")]
    Vanished,
    /// The server stops.
    #[error("the server is shutting down")]
    Stopped,
    /// A panic on this thread.
    #[error("a fault of the server ended the connection")]
    Fault,
    /// The client breaks the protocol.
    #[error("{0}")]
    Wire(#[from] WireError),
    /// A write that is too long even to be skipped.
    #[error(
        "a write of {0} bytes, of which even the refusal would cost too much; the longest is {LONGEST_TAKEN}"
    )]
    TooLong(u32),
    /// A long read failed after its first bytes were sent, and there is no other way to say so.
    #[error("the device failed in the middle of a read that was being sent: {0}")]
    Torn(Status),
    /// The connection broke.
    #[error("{0}")]
    Io(io::Error),
}

impl From<io::Error> for Hangup {
    /// A socket whose other end is gone is a client that vanished.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Self::Vanished,
            _ => Self::Io(error),
        }
    }
}

/// What the bytes that come next are.
pub(super) enum Next {
    /// A request.
    Header,
    /// The data of a write, whose bio has `filled` bytes of it.
    Data { bio: PadBio<Pending>, filled: usize },
    /// The data of a long write's next piece, once its bio is back from the device.
    Piece,
    /// The data of a write that is refused.
    Skip { left: usize, cookie: u64, error: ErrorNumber },
    /// Whatever comes has to wait: there was no memory for this one.
    Held { work: Work, cookie: u64 },
}

/// Whether to go on with the input.
#[derive(PartialEq, Eq)]
pub(super) enum Step {
    /// There may be more to do.
    More,
    /// Nothing to do until something comes or ends.
    Wait,
}

/// The transmission phase with one client.
pub(super) struct Connection<'a> {
    socket: BorrowedFd<'a>,
    pub(super) queue: Queue,
    /// The queue's way into the device of the export.
    pub(super) device: ChannelId,
    pub(super) export: &'a Export,
    ending: &'a Ending,
    input: Input,
    /// How many requests are on their way through the device, or wait for their place among the writes.
    pub(super) under_way: usize,
    /// How many of them `ending` knows.
    counted: usize,
    /// How a long read failed that is half sent.
    pub(super) torn: Option<Status>,
    /// Writes that wait for others to the same blocks.
    pub(super) waiting: VecDeque<PadBio<Pending>>,
    pub(super) next: Next,
    pub(super) ranges: Ranges,
    pub(super) replies: Replies,
    pub(super) memory: RequestMemory,
}

/// Why a connection did not begin.
#[derive(Debug, thiserror::Error)]
pub(super) enum BeginError {
    /// No memory for its requests.
    #[error(transparent)]
    NoReserve(#[from] NoReserve),
    /// The device has no way for its queue.
    #[error("the device cannot be opened for a client: {0}")]
    Open(#[from] OpenError),
}

impl<'a> Connection<'a> {
    /// Opens the device, and begins with what the handshake has left in `input`.
    pub(super) fn new(
        socket: BorrowedFd<'a>,
        mut queue: Queue,
        export: &'a Export,
        ending: &'a Ending,
        input: Input,
        budget: &Budget,
        source: &Source,
    ) -> Result<Self, BeginError> {
        let memory = RequestMemory::new(&queue, budget, source)?;
        let device = queue.open(&export.device)?;
        Ok(Self {
            socket,
            queue,
            device,
            export,
            ending,
            input,
            under_way: 0,
            counted: 0,
            torn: None,
            waiting: VecDeque::with_capacity(DEPTH),
            next: Next::Header,
            ranges: Ranges::new(DEPTH),
            replies: Replies::new(DEPTH),
            memory,
        })
    }

    /// What the device is now, as far as this connection has heard.
    pub(super) fn geometry(&self) -> Geometry {
        self.queue.geometry(self.device)
    }

    /// Serves the client until it goes. No request of it is under way then. When there is nothing left to wait for but
    /// that it reads its last replies, it has `patience` for them.
    pub(super) fn run(mut self, patience: Duration) -> Hangup {
        let hangup = catch_unwind(AssertUnwindSafe(|| self.serve())).unwrap_or(Hangup::Fault);
        // What the client has not read by now it may still read, unless it is gone.
        let reads = matches!(hangup, Hangup::Clean | Hangup::Closed | Hangup::Stopped);
        let mut deadline = reads.then(|| Instant::now() + patience);
        // Who said goodbye in the protocol's way has a right to what was asked before.
        if !matches!(hangup, Hangup::Clean) {
            self.forget_ranges();
        }
        loop {
            // Whatever happens, all bios are waited for: writes of other clients may wait for theirs. A device with a fault
            // gives up the bio that it has the fault with.
            let drained = catch_unwind(AssertUnwindSafe(|| self.drain(&mut deadline, patience)));
            if drained.is_ok() {
                break;
            }
        }
        if let (Hangup::Stopped, Some(end)) = (&hangup, deadline) {
            self.see_off(end);
        }
        hangup
    }

    /// Waits until `end` for the last replies to arrive. When a TCP socket is closed with bytes that nobody has read, the
    /// system throws away what is on its way to the client, so these are taken meanwhile.
    fn see_off(&mut self, end: Instant) {
        while socket::is_sending(self.socket) && Instant::now() < end {
            let client = &mut [Interest::new(self.socket, PollFlags::IN)];
            let goes_on = match self.input.receive(self.socket) {
                Ok(Received::Some) => {
                    self.input.skip(usize::MAX);
                    true
                }
                Ok(Received::Later) => self.queue.wait(client, Some(SEE_OFF_INTERVAL)).is_ok(),
                Ok(Received::End) | Err(_) => false,
            };
            if !goes_on {
                return;
            }
        }
    }

    /// Waits for what is under way, and sends the replies until `deadline`; none of them without one.
    fn drain(&mut self, deadline: &mut Option<Instant>, patience: Duration) {
        loop {
            if self.under_way > 0 && deadline.is_some() {
                // The time that the device takes is not the client's.
                *deadline = Some(Instant::now() + patience);
            }
            self.take_ended();
            if self.ending.is_asked() {
                self.forget_ranges();
            }
            self.ending.count(self.counted, self.under_way);
            self.counted = self.under_way;
            let may_send = self.torn.is_none() && deadline.is_some_and(|end| Instant::now() < end);
            if !may_send || self.send().is_err() {
                *deadline = None;
                self.replies.clear(&mut self.memory);
            }
            if self.under_way == 0 && self.replies.is_empty() {
                return;
            }
            let left = deadline.filter(|_| self.under_way == 0).map(|end| end.duration_since(Instant::now()));
            if self.wait(false, left).is_err() {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }

    fn serve(&mut self) -> Hangup {
        loop {
            self.take_ended();
            if let Some(status) = self.torn {
                return Hangup::Torn(status);
            }
            if let Err(error) = self.send() {
                return error.into();
            }
            match self.take_input() {
                Ok(receives) => {
                    if self.ending.is_asked() {
                        return Hangup::Stopped;
                    }
                    if let Err(error) = self.wait(receives, None) {
                        return error.into();
                    }
                }
                Err(hangup) => return hangup,
            }
        }
    }

    /// Sends what the socket takes, and has long reads go on whose last piece is sent.
    fn send(&mut self) -> io::Result<()> {
        self.replies.send(self.socket, &mut self.memory)?;
        if let Some(bio) = self.replies.take_goes_on() {
            self.read_on(bio);
        }
        Ok(())
    }

    /// Sends I/O on its way, and waits for the client or for I/O.
    fn wait(&mut self, receives: bool, timeout: Option<Duration>) -> io::Result<()> {
        let mut events = PollFlags::empty();
        events.set(PollFlags::IN, receives);
        events.set(PollFlags::OUT, self.replies.are_due());
        // Long ranges are done for somebody. Once it is known that the client leaves, there is nothing more to see.
        events.set(PollFlags::RDHUP, !self.ranges.is_empty() && !self.ranges.is_over());
        let client = &mut [Interest::new(self.socket, events)];
        // Without a wish the socket is left out: a hang-up that is not waited for would end every wait at once.
        let fds = if events.is_empty() { &mut client[..0] } else { &mut client[..] };
        self.queue.wait(fds, timeout)?;
        if client[0].ready().intersects(PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR) {
            self.forget_ranges();
        }
        Ok(())
    }

    /// Takes requests while there is room: whether to wait for more of them.
    fn take_input(&mut self) -> Result<bool, Hangup> {
        loop {
            if self.under_way + self.replies.len() >= DEPTH {
                return Ok(false);
            }
            if self.step()? == Step::Wait || self.ending.is_asked() {
                return Ok(!matches!(self.next, Next::Held { .. } | Next::Piece));
            }
        }
    }

    /// Goes one step on with what the client sends.
    fn step(&mut self) -> Result<Step, Hangup> {
        match std::mem::replace(&mut self.next, Next::Header) {
            Next::Header => self.header(),
            Next::Data { bio, filled } => self.data(bio, filled),
            Next::Piece => {
                self.next = Next::Piece;
                Ok(Step::Wait)
            }
            Next::Skip { left, cookie, error } => self.skip(left, cookie, error),
            Next::Held { work, cookie } => Ok(self.begin(work, cookie)),
        }
    }

    /// Takes the next request.
    fn header(&mut self) -> Result<Step, Hangup> {
        let Some(header) = self.input.take::<{ Request::SIZE }>() else {
            return match self.input.receive(self.socket)? {
                Received::Some => Ok(Step::More),
                Received::Later => Ok(Step::Wait),
                Received::End if self.input.bytes().is_empty() => Err(Hangup::Closed),
                Received::End => Err(Hangup::Vanished),
            };
        };
        let request = Request::decode(&header)?;
        if request.command == Command::Disc {
            return Err(Hangup::Clean);
        }
        match work(&request, self.export, &self.geometry()) {
            Ok(work) => Ok(self.begin(work, request.cookie)),
            Err(error) => self.refuse(&request, error),
        }
    }

    /// Answers a request with an error, once its data is out of the way.
    fn refuse(&mut self, request: &Request, error: ErrorNumber) -> Result<Step, Hangup> {
        tracing::debug!(?request, %error, "refused a request");
        if request.command != Command::Write {
            self.replies.push(request.cookie, Some(error));
        } else if request.length > LONGEST_SKIPPED {
            return Err(Hangup::TooLong(request.length));
        } else {
            self.next = Next::Skip { left: request.length as usize, cookie: request.cookie, error };
        }
        Ok(Step::More)
    }

    /// Receives the data of a write.
    fn data(&mut self, mut bio: PadBio<Pending>, filled: usize) -> Result<Step, Hangup> {
        let (got, received) = self.input.fill(self.socket, bio.data_mut().after(filled))?;
        let filled = filled + got;
        if filled as u64 == bio.pad().len() {
            if bio.pad().left() > 0 {
                self.next = Next::Piece;
            }
            self.start(bio);
            return Ok(Step::More);
        }
        self.next = Next::Data { bio, filled };
        if received == Received::End { Err(Hangup::Vanished) } else { Ok(Step::Wait) }
    }

    /// Throws the data of a refused write away, and then answers it.
    fn skip(&mut self, left: usize, cookie: u64, error: ErrorNumber) -> Result<Step, Hangup> {
        let left = left - self.input.skip(left);
        if left == 0 {
            self.replies.push(cookie, Some(error));
            return Ok(Step::More);
        }
        self.next = Next::Skip { left, cookie, error };
        match self.input.receive(self.socket)? {
            Received::Some => Ok(Step::More),
            Received::Later => Ok(Step::Wait),
            Received::End => Err(Hangup::Vanished),
        }
    }
}
