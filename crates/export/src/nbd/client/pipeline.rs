//! Many requests in flight from one thread.
//!
//! Whoever sends must also receive, and with one thread that cannot deadlock: while the server does not take what we
//! send, what it sends is moved into memory, which the answers in flight bound. So a server that stops reading until its
//! replies are read goes on. What the thread must not do is to send for ever: from [`MAX_IN_FLIGHT`] requests on,
//! [`Client::receive`] comes first.

use super::{Client, ClientError};
use udm_nbd::wire::{Command, CommandFlags, ErrorNumber, Request, SimpleReply};

/// The most requests in flight.
pub const MAX_IN_FLIGHT: usize = 1024;

/// A request whose answer is due.
#[derive(Clone, Copy, Debug)]
pub(super) struct InFlight {
    cookie: u64,
    /// The bytes of data that follow a good answer.
    read: u32,
}

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
        self.in_flight.len()
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
        let flags = self.fua_flag(fua)?;
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
    /// A cookie that is in flight, [`MAX_IN_FLIGHT`] requests in flight, or a broken connection.
    pub fn send(&mut self, request: Request, data: &[u8]) -> Result<(), ClientError> {
        self.whole()?;
        if self.in_flight.len() >= MAX_IN_FLIGHT {
            return Err(ClientError::InFlight { count: self.in_flight.len() });
        }
        if self.in_flight.iter().any(|other| other.cookie == request.cookie) {
            return Err(ClientError::CookieInUse { cookie: request.cookie });
        }
        let read = if request.command == Command::Read { request.length } else { 0 };
        let due = |bytes: u64, one: &InFlight| bytes + SimpleReply::SIZE as u64 + u64::from(one.read);
        let answers = self.in_flight.iter().fold(0, due);
        let sent = self.transport.send(&request.encode(), data, answers);
        self.note(sent)?;
        self.in_flight.push(InFlight { cookie: request.cookie, read });
        Ok(())
    }

    /// Waits for the next answer, in the server's order. `data` becomes what was read: empty for an error, and for
    /// anything but a read. Its memory is used again.
    ///
    /// # Errors
    /// A broken connection, or nothing in flight. What the server answered is in the [`Completion`].
    pub fn receive(&mut self, data: &mut Vec<u8>) -> Result<Completion, ClientError> {
        data.clear();
        let (answered, completion) = self.receive_header()?;
        if completion.result.is_ok() {
            data.resize(answered.read as usize, 0);
            let read = self.transport.receive(data, "reading the data of a read");
            self.note(read)?;
        }
        Ok(completion)
    }

    /// Waits for the only answer in flight; the request's length was that of `answer`.
    pub(super) fn receive_into(&mut self, answer: &mut [u8]) -> Result<Completion, ClientError> {
        let (_, completion) = self.receive_header()?;
        if completion.result.is_ok() {
            let read = self.transport.receive(answer, "reading the data of a read");
            self.note(read)?;
        }
        Ok(completion)
    }

    fn receive_header(&mut self) -> Result<(InFlight, Completion), ClientError> {
        self.whole()?;
        if self.in_flight.is_empty() {
            return Err(ClientError::NothingInFlight);
        }
        let header = self.next_header();
        let (answered, reply) = self.note(header)?;
        let result = reply.error.map_or(Ok(()), Err);
        Ok((answered, Completion { cookie: reply.cookie, result }))
    }

    fn next_header(&mut self) -> Result<(InFlight, SimpleReply), ClientError> {
        let mut header = [0; SimpleReply::SIZE];
        self.transport.receive(&mut header, "waiting for a reply")?;
        let reply = SimpleReply::decode(&header)?;
        let at = self.in_flight.iter().position(|one| one.cookie == reply.cookie);
        let at = at.ok_or(ClientError::UnknownCookie { cookie: reply.cookie })?;
        Ok((self.in_flight.swap_remove(at), reply))
    }

    pub(super) fn whole(&self) -> Result<(), ClientError> {
        if self.broken { Err(ClientError::Broken) } else { Ok(()) }
    }

    /// Remembers an error of the connection.
    fn note<T>(&mut self, result: Result<T, ClientError>) -> Result<T, ClientError> {
        self.broken |= result.is_err();
        result
    }
}
