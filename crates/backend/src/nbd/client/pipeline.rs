//! Many requests in flight from one thread.
//!
//! One thread both sends and receives, and this cannot deadlock: while the server takes nothing, what it sends is moved
//! into memory. The answers in flight bound that memory. So a server that stops reading until its replies are read goes
//! on. The thread must not send for ever: once [`MAX_IN_FLIGHT`] requests are in flight, it calls [`Client::receive`].
//!
//! [`udm_nbd::client::Pipeline`] knows which answers are due; this file moves the bytes.
//!
//! [`MAX_IN_FLIGHT`]: udm_nbd::client::MAX_IN_FLIGHT

use udm_nbd::client::Answer;
use udm_nbd::wire::{Command, CommandFlags, ErrorNumber, Request, SimpleReply};

use super::{Client, ClientError};

/// The answer to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the request may have failed"]
pub struct Completion {
    /// The request's cookie.
    pub cookie: u64,
    /// What became of it.
    pub result: Result<(), ErrorNumber>,
}

impl Client {
    /// How many answers are due.
    pub fn in_flight(&self) -> usize {
        self.pipeline.in_flight()
    }

    /// Sends a read of `length` bytes and does not wait. `cookie` comes back with the answer; no two requests in
    /// flight may have the same.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub fn send_read(&mut self, cookie: u64, offset: u64, length: u32) -> Result<(), ClientError> {
        let flags = CommandFlags::NONE;
        self.send(Request { flags, command: Command::Read, cookie, offset, length }, &[])
    }

    /// Sends a write and does not wait.
    ///
    /// # Errors
    /// As [`Client::send`]; [`ClientError::NotOffered`] for `fua` where the export has none.
    pub fn send_write(
        &mut self,
        cookie: u64,
        offset: u64,
        data: &[u8],
        fua: bool,
    ) -> Result<(), ClientError> {
        let length = u32::try_from(data.len()).map_err(|_| ClientError::TooLong { length: data.len() })?;
        let flags = if fua { CommandFlags::FUA } else { CommandFlags::NONE };
        self.export.check(Command::Write, flags)?;
        self.send(Request { flags, command: Command::Write, cookie, offset, length }, data)
    }

    /// Sends a flush and does not wait. It covers the writes that were *answered* before it.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub fn send_flush(&mut self, cookie: u64) -> Result<(), ClientError> {
        let flags = CommandFlags::NONE;
        self.send(Request { flags, command: Command::Flush, cookie, offset: 0, length: 0 }, &[])
    }

    /// Sends any request as it is, with its data, and does not wait; even one that the export does not offer, or that
    /// the protocol does not know. [`Command::Disc`] is for [`Client::disconnect`]: its answer would never come.
    ///
    /// # Errors
    /// A cookie that is in flight, a broken connection, or as many requests in flight as there may be
    /// ([`MAX_IN_FLIGHT`](udm_nbd::client::MAX_IN_FLIGHT)).
    pub fn send(&mut self, request: Request, data: &[u8]) -> Result<(), ClientError> {
        let due = self.pipeline.due();
        let header = self.pipeline.request(&request)?;
        let sent = self.transport.send(&header, data, due);
        self.note(sent)
    }

    /// Waits for the next answer, in the server's order. `data` becomes what was read: empty for an error, and for
    /// anything but a read. Its memory is used again.
    ///
    /// # Errors
    /// A broken connection, or nothing in flight. What the server answered is in the [`Completion`].
    pub fn receive(&mut self, data: &mut Vec<u8>) -> Result<Completion, ClientError> {
        data.clear();
        let Answer { cookie, result } = self.receive_header()?;
        if let Ok(length) = result {
            data.resize(length as usize, 0);
            self.receive_data(data)?;
        }
        Ok(Completion { cookie, result: result.map(drop) })
    }

    /// Waits for the only answer in flight; the request's length was that of `data`.
    pub(super) fn receive_into(&mut self, data: &mut [u8]) -> Result<Completion, ClientError> {
        let Answer { cookie, result } = self.receive_header()?;
        if result.is_ok() {
            self.receive_data(data)?;
        }
        Ok(Completion { cookie, result: result.map(drop) })
    }

    fn receive_header(&mut self) -> Result<Answer, ClientError> {
        self.pipeline.expect_reply()?;
        let mut header = [0; SimpleReply::SIZE];
        let received = self.transport.receive(&mut header, "waiting for a reply");
        self.note(received)?;
        Ok(self.pipeline.reply(&header)?)
    }

    fn receive_data(&mut self, data: &mut [u8]) -> Result<(), ClientError> {
        let received = self.transport.receive(data, "reading the data of a read");
        self.note(received)
    }

    /// Remembers an error of the connection: after it, the two sides are out of step.
    fn note(&mut self, moved: Result<(), ClientError>) -> Result<(), ClientError> {
        if moved.is_err() {
            self.pipeline.mark_broken();
        }
        moved
    }
}
