//! A thread with a connection to the server, and the bios under way on it.

use std::sync::Arc;

use udm_block::{Bio, Flags, Op, Status};

use super::session::{Next, Role, Shared};
use crate::nbd::client::{Client, ClientError, Completion};
use udm_nbd::wire::{Command, CommandFlags, ErrorNumber, Request, TransmissionFlags};

/// The longest trim or write of zeros in one request, in bytes.
const LONGEST_RANGE: u64 = 1 << 30;

/// A connection at work.
pub(super) struct Connection {
    shared: Arc<Shared>,
    client: Client,
    session: u64,
    /// The bios under way: a cookie is an index. The cookie behind the last one is of a flush that no bio has asked for.
    slots: Box<[Option<Flight>]>,
    /// What the flush that no bio has asked for covers, while it is under way.
    own_flush: Option<u64>,
    data: Vec<u8>,
}

/// A bio under way.
struct Flight {
    bio: Bio,
    stage: Stage,
    /// For a flush: what it covers.
    mark: u64,
}

/// What is being done for a bio.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// What was answered before becomes durable.
    Preflush,
    /// What it asks for, from this byte of it on.
    Body(u64),
    /// What it did becomes durable.
    Postflush,
}

/// How serving ends.
enum End {
    /// The device is gone, and nothing is under way.
    Dropped,
    /// The connection is lost.
    Lost(ClientError),
    /// Another one is.
    SessionOver,
}

impl From<ClientError> for End {
    fn from(error: ClientError) -> Self {
        Self::Lost(error)
    }
}

impl Connection {
    pub(super) fn new(client: Client, shared: Arc<Shared>, depth: usize) -> Result<Self, ClientError> {
        let session = shared.join(&client)?;
        let slots = (0..depth).map(|_| None).collect();
        Ok(Self { shared, client, session, slots, own_flush: None, data: Vec::new() })
    }

    /// Serves bios until the device is gone.
    pub(super) fn run(mut self) {
        loop {
            match self.serve() {
                // The server may be gone already, and nothing is due.
                End::Dropped => return drop(self.client.disconnect()),
                End::Lost(error) => tracing::warn!("{}: {error}; connecting again", self.shared.uri),
                End::SessionOver => {}
            }
            let slots = &mut self.slots;
            let give_up = || {
                let lost = slots.iter_mut().filter_map(Option::take);
                lost.for_each(|flight| flight.bio.complete_elsewhere(Status::Offline));
            };
            let client = match self.shared.session_over(self.session, give_up) {
                Role::Leader(client) => Ok(*client),
                Role::Follower => {
                    let shared = &self.shared;
                    Client::connect_within(&shared.uri.address, &shared.uri.export, shared.patience)
                }
                Role::Dropped => return self.give_up(),
            };
            let joined = client.and_then(|client| Ok((self.shared.join(&client)?, client)));
            match joined {
                Ok((session, client)) => (self.session, self.client) = (session, client),
                // The others go on.
                Err(error) => {
                    tracing::info!("{}: one connection less: {error}", self.shared.uri);
                    let bios = self.slots.iter_mut().filter_map(Option::take).map(|flight| flight.bio);
                    return self.shared.leave(bios);
                }
            }
            self.own_flush = None;
        }
    }

    /// Ends what is under way with an error.
    fn give_up(&mut self) {
        let lost = self.slots.iter_mut().filter_map(Option::take);
        lost.for_each(|flight| flight.bio.complete_elsewhere(Status::Offline));
    }

    fn serve(&mut self) -> End {
        match self.serve_until() {
            Ok(end) | Err(end) => end,
        }
    }

    fn serve_until(&mut self) -> Result<End, End> {
        // What was under way in the session before, each from its beginning: what it wrote may be gone with the server.
        for slot in 0..self.slots.len() {
            if let Some(Flight { stage: stage @ (Stage::Body(_) | Stage::Postflush), .. }) =
                &mut self.slots[slot]
            {
                *stage = Stage::Body(0);
            }
            self.send(slot)?;
        }
        loop {
            let is_full = self.flush_when_full()?;
            while let Some(slot) = self.slots.iter().position(Option::is_none) {
                let waits = self.client.in_flight() == 0;
                if is_full && !waits {
                    break;
                }
                let bio = match self.shared.next(self.session, waits) {
                    Next::Bio(bio) => bio,
                    Next::Dropped if waits => return Ok(End::Dropped),
                    Next::None | Next::Dropped => break,
                    Next::SessionOver => return Err(End::SessionOver),
                };
                let preflush = bio.flags().has(Flags::PREFLUSH) && bio.op() != Op::Flush;
                let stage = if preflush { Stage::Preflush } else { Stage::Body(0) };
                self.slots[slot] = Some(Flight { bio, stage, mark: 0 });
                self.send(slot)?;
            }
            if self.client.in_flight() == 0 {
                continue;
            }
            let Completion { cookie, result } = self.client.receive(&mut self.data)?;
            self.shared.heard();
            let result = result.map_err(ErrorNumber::to_wire);
            match self.own_flush.take_if(|_| cookie as usize == self.slots.len()) {
                Some(mark) if result.is_ok() => self.shared.lock().unflushed.flushed(mark),
                Some(_) => self.shared.flush_failed(),
                None => self.answered(cookie as usize, result)?,
            }
        }
    }

    /// Sends a flush when more writes are kept than should be: whether that is so.
    fn flush_when_full(&mut self) -> Result<bool, ClientError> {
        let state = self.shared.lock();
        let (is_full, mark) = (state.unflushed.is_full(), state.unflushed.mark());
        drop(state);
        if is_full && self.own_flush.is_none() {
            self.client.send_flush(self.slots.len() as u64)?;
            self.own_flush = Some(mark);
        }
        Ok(is_full)
    }

    /// Sends what is next for the bio of a slot, or ends it where that is nothing.
    fn send(&mut self, slot: usize) -> Result<(), ClientError> {
        let Some(Flight { bio, stage, mark }) = &mut self.slots[slot] else { return Ok(()) };
        let (cookie, offers) = (slot as u64, self.client.flags());
        let (begin, len) = self.shared.stored_range(bio);
        let fua = bio.flags().has(Flags::FUA) && offers.contains(TransmissionFlags::SEND_FUA);
        let flags = if fua { CommandFlags::FUA } else { CommandFlags::NONE };
        let (op, done) = match *stage {
            Stage::Preflush | Stage::Postflush => (Op::Flush, 0),
            Stage::Body(done) => (bio.op(), done),
        };
        let range = |command, flags| {
            let length = (len - done).min(LONGEST_RANGE) as u32;
            Request { flags, command, cookie, offset: begin + done, length }
        };
        match op {
            // It says that it has nothing to flush.
            Op::Flush if !offers.contains(TransmissionFlags::SEND_FLUSH) => self.answered(slot, Ok(())),
            Op::Flush => {
                let state = self.shared.lock();
                *mark = state.unflushed.mark();
                let is_lost = state.is_lost;
                drop(state);
                if is_lost {
                    self.answered(slot, Err(ErrorNumber::Io.to_wire()))
                } else {
                    self.client.send_flush(cookie)
                }
            }
            _ if len == 0 => self.answered(slot, Ok(())),
            Op::Read => self.client.send_read(cookie, begin, len as u32),
            Op::Write => {
                self.data.resize(len as usize, 0);
                bio.data().first(len as usize).read(&mut self.data);
                self.client.send_write(cookie, begin, &self.data, fua)
            }
            Op::Discard => self.client.send(range(Command::Trim, flags), &[]),
            // A server that cannot tell which zeroes are fast may write them.
            Op::WriteZeroes
                if bio.flags().has(Flags::FAST) && !offers.contains(TransmissionFlags::SEND_FAST_ZERO) =>
            {
                self.answered(slot, Err(ErrorNumber::NotSup.to_wire()))
            }
            Op::WriteZeroes => {
                let wish = |is_wished, flag| if is_wished { flag } else { CommandFlags::NONE };
                let no_hole = wish(bio.flags().has(Flags::NO_UNMAP), CommandFlags::NO_HOLE);
                let fast = wish(bio.flags().has(Flags::FAST), CommandFlags::FAST_ZERO);
                self.client.send(range(Command::WriteZeroes, flags | no_hole | fast), &[])
            }
        }
    }

    /// A request of a slot's bio is answered, by an error's number where it failed.
    fn answered(&mut self, slot: usize, result: Result<(), u32>) -> Result<(), ClientError> {
        let Some(Flight { bio, stage, mark }) = self.slots.get_mut(slot).and_then(Option::as_mut) else {
            return Ok(());
        };
        let offers = self.client.flags();
        let has_fua = offers.contains(TransmissionFlags::SEND_FUA);
        let is_flush = bio.op() == Op::Flush || !matches!(stage, Stage::Body(_));
        if result.is_ok() && is_flush {
            self.shared.lock().unflushed.flushed(*mark);
        }
        let next = match *stage {
            _ if result.is_err() => None,
            Stage::Preflush => Some(Stage::Body(0)),
            Stage::Body(done) if !bio.op().has_data() && bio.len().0 - done > LONGEST_RANGE => {
                Some(Stage::Body(done + LONGEST_RANGE))
            }
            Stage::Body(_) if bio.op().is_write() && bio.flags().has(Flags::FUA) && !has_fua => {
                Some(Stage::Postflush)
            }
            _ => None,
        };
        if let Some(next) = next {
            *stage = next;
            return self.send(slot);
        }
        if bio.op() == Op::Read && result.is_ok() && !bio.is_empty() {
            let mut data = bio.data_mut();
            data.write(&self.data);
            data.fill(0);
        }
        let is_durable = bio.flags().has(Flags::FUA) || !offers.contains(TransmissionFlags::SEND_FLUSH);
        if result.is_ok() && bio.op().is_write() && !is_durable {
            let (begin, len) = self.shared.stored_range(bio);
            self.shared.lock().unflushed.keep(bio, begin, len);
        }
        let status = result.map_or_else(|error| Status::from_errno(error as i32), |()| Status::Ok);
        if let Some(flight) = self.slots[slot].take() {
            flight.bio.complete_elsewhere(status);
        }
        Ok(())
    }
}
