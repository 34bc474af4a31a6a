//! What is to be sent to a client: replies in the order in which their requests ended, many of them in one call.

use std::collections::VecDeque;
use std::io;
use std::os::fd::BorrowedFd;

use udm_block::{Flags, Op, PadBio, Status};

use super::memory::RequestMemory;
use super::socket::Gather;
use super::steps::{self, Pending};
use udm_nbd::wire::{ErrorNumber, SimpleReply};

/// A reply: its header, and the bio whose data follows it.
struct Reply {
    header: [u8; SimpleReply::SIZE],
    /// Whether the header is due: not where a long read goes on.
    begins: bool,
    data: Option<PadBio<Pending>>,
}

/// Replies that wait for the socket.
pub(super) struct Replies {
    queue: VecDeque<Reply>,
    /// Bytes of the first one that are sent.
    sent: usize,
    /// A long read whose last piece is sent: its next one is due.
    goes_on: Option<PadBio<Pending>>,
    /// Nothing else can be sent before the next piece of a long read.
    is_within: bool,
}

impl Reply {
    fn header(&self) -> &[u8] {
        if self.begins { &self.header } else { &[] }
    }

    fn len(&self) -> usize {
        self.header().len() + self.data.as_ref().map_or(0, |bio| bio.len().0 as usize)
    }
}

impl Replies {
    /// Room for `depth` replies, made once.
    pub(super) fn new(depth: usize) -> Self {
        Self { queue: VecDeque::with_capacity(depth), sent: 0, goes_on: None, is_within: false }
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether the socket is waited for.
    pub(super) fn are_due(&self) -> bool {
        !self.queue.is_empty() && !self.is_within
    }

    /// A long read that goes on, now that its last piece is sent.
    pub(super) fn take_goes_on(&mut self) -> Option<PadBio<Pending>> {
        self.goes_on.take()
    }

    /// Answers a request that has no data.
    pub(super) fn push(&mut self, cookie: u64, error: Option<ErrorNumber>) {
        let header = SimpleReply { error, cookie }.encode();
        self.queue.push_back(Reply { header, begins: true, data: None });
    }

    /// Answers the request of a bio that ended: with data, where it has read some.
    pub(super) fn push_ended(&mut self, mut bio: PadBio<Pending>, memory: &mut RequestMemory) {
        let pad = bio.pad();
        let is_fast = pad.work.flags.has(Flags::FAST);
        let (cookie, error) = (pad.cookie, error_number(bio.status(), is_fast));
        if pad.work.op != Op::Read || error.is_some() {
            memory.free(bio);
            return self.push(cookie, error);
        }
        let begins = pad.is_first();
        steps::show_data(&mut bio);
        let reply = Reply { header: SimpleReply { error, cookie }.encode(), begins, data: Some(bio) };
        if begins {
            return self.queue.push_back(reply);
        }
        self.queue.push_front(reply);
        self.is_within = false;
    }

    /// Forgets everything: there is nobody to send it to.
    pub(super) fn clear(&mut self, memory: &mut RequestMemory) {
        let bios = self.queue.drain(..).filter_map(|reply| reply.data).chain(self.goes_on.take());
        bios.for_each(|bio| memory.free(bio));
        (self.sent, self.is_within) = (0, false);
    }

    /// Sends what the socket takes, and gives the memory of what is sent back.
    ///
    /// # Errors
    /// What the system says; a full socket is none.
    pub(super) fn send(&mut self, socket: BorrowedFd<'_>, memory: &mut RequestMemory) -> io::Result<()> {
        while self.are_due() {
            let mut gather = Gather::new();
            let mut skip = self.sent;
            for reply in &self.queue {
                if !gather.has_room_for(1 + udm_block::bio::INLINE_SPANS) {
                    break;
                }
                gather.push_bytes(reply.header(), &mut skip);
                if let Some(bio) = &reply.data {
                    bio.data().for_each(|run| gather.push(run, &mut skip));
                    if bio.pad().left() > 0 {
                        break;
                    }
                }
            }
            match gather.send(socket) {
                Ok(sent) => self.advance(sent, memory),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Drops the replies that are sent, and so gives their memory back.
    fn advance(&mut self, sent: usize, memory: &mut RequestMemory) {
        self.sent += sent;
        while !self.is_within
            && let Some(first) = self.queue.front()
            && self.sent >= first.len()
        {
            self.sent -= first.len();
            let data = self.queue.pop_front().and_then(|reply| reply.data);
            match data {
                Some(bio) if bio.pad().left() > 0 => (self.goes_on, self.is_within) = (Some(bio), true),
                Some(bio) => memory.free(bio),
                None => {}
            }
        }
    }
}

/// The protocol's number for how a bio ended. `NBD_ENOTSUP` means that zeros are not fast, and nothing else.
pub(super) fn error_number(status: Status, is_fast: bool) -> Option<ErrorNumber> {
    Some(match status {
        Status::Ok => return None,
        Status::NoSpace => ErrorNumber::NoSpc,
        Status::NotSupported if is_fast => ErrorNumber::NotSup,
        Status::Invalid | Status::NotSupported => ErrorNumber::Inval,
        Status::Protection => ErrorNumber::Perm,
        Status::DevResource => ErrorNumber::NoMem,
        Status::IoErr | Status::Medium | Status::Offline => ErrorNumber::Io,
    })
}
