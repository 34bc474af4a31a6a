//! What is to be sent to a client: replies in the order in which their requests ended, many of them in one call.

use std::collections::VecDeque;
use std::io;
use std::os::fd::BorrowedFd;

use udm_block::{PadBio, Status};

use super::request::Pending;
use super::socket::Gather;
use crate::nbd::wire::{ErrorNumber, SimpleReply};

/// A reply: its header, and the bio whose data follows it.
struct Reply {
    header: [u8; SimpleReply::SIZE],
    data: Option<PadBio<Pending>>,
}

/// Replies that wait for the socket.
pub(super) struct Replies {
    queue: VecDeque<Reply>,
    /// Bytes of the first one that are sent.
    sent: usize,
}

impl Reply {
    fn len(&self) -> usize {
        self.header.len() + self.data.as_ref().map_or(0, |bio| bio.len().0 as usize)
    }
}

impl Replies {
    /// Room for `depth` replies, made once.
    pub(super) fn new(depth: usize) -> Self {
        Self { queue: VecDeque::with_capacity(depth), sent: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Answers a request that made no bio.
    pub(super) fn push(&mut self, cookie: u64, error: Option<ErrorNumber>) {
        self.queue.push_back(Reply { header: SimpleReply { error, cookie }.encode(), data: None });
    }

    /// Answers the request of a bio that ended.
    pub(super) fn push_ended(&mut self, bio: PadBio<Pending>) {
        let pad = bio.pad();
        let (cookie, error) = (pad.cookie, error_number(bio.status()));
        let data = (pad.replies_with_data && error.is_none()).then_some(bio);
        self.queue.push_back(Reply { header: SimpleReply { error, cookie }.encode(), data });
    }

    /// Forgets everything: there is nobody to send it to.
    pub(super) fn clear(&mut self) {
        self.queue.clear();
        self.sent = 0;
    }

    /// Sends what the socket takes.
    ///
    /// # Errors
    /// What the system says; a full socket is none.
    pub(super) fn send(&mut self, socket: BorrowedFd<'_>) -> io::Result<()> {
        while !self.queue.is_empty() {
            let mut gather = Gather::new();
            let mut skip = self.sent;
            for reply in &self.queue {
                if !gather.has_room_for(1 + udm_block::bio::INLINE_SPANS) {
                    break;
                }
                gather.push_bytes(&reply.header, &mut skip);
                if let Some(bio) = &reply.data {
                    bio.data().for_each(|run| gather.push(run, &mut skip));
                }
            }
            match gather.send(socket) {
                Ok(sent) => self.advance(sent),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Drops the replies that are sent, and so gives their memory back.
    fn advance(&mut self, sent: usize) {
        self.sent += sent;
        while let Some(first) = self.queue.front() {
            if self.sent < first.len() {
                break;
            }
            self.sent -= first.len();
            self.queue.pop_front();
        }
    }
}

/// The protocol's number for how a bio ended.
pub(super) fn error_number(status: Status) -> Option<ErrorNumber> {
    Some(match status {
        Status::Ok => return None,
        Status::NoSpace => ErrorNumber::NoSpc,
        Status::NotSupported => ErrorNumber::NotSup,
        Status::Invalid => ErrorNumber::Inval,
        Status::Protection => ErrorNumber::Perm,
        Status::DevResource => ErrorNumber::NoMem,
        Status::IoErr | Status::Medium | Status::Offline => ErrorNumber::Io,
    })
}
