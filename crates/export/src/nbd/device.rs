//! An export of an NBD server as a device: where the sectors of a volume may live.
//!
//! It stands here and not among the back ends, as it is made of the client, whose floor is this one. Each connection has a
//! thread of its own, which takes bios from a list that all share: a queue thread never waits for the network. Bytes are
//! copied once more than with a file, between the socket's buffer and a bio's memory.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use udm_block::bio::BioList;
use udm_block::queue::complete_at_home;
use udm_block::{Bio, Device, Flags, Geometry, Op, SECTOR_SIZE, Sectors, Status};

use super::address::NbdUri;
use super::client::{Client, ClientError, Completion};
use super::wire::{BlockSizes, Command, CommandFlags, ErrorNumber, Request, TransmissionFlags};

/// How many connections there are to a server that says that a flush on one covers all.
const CONNECTIONS: usize = 4;
/// How many requests are under way in all.
const DEPTH: usize = 32;
/// The longest trim or write of zeros in one request, in bytes.
const LONGEST_RANGE: u64 = 1 << 30;
/// The largest block that a device has, in bytes.
const LARGEST_BLOCK: u32 = 4096;

/// An export of an NBD server.
pub struct NbdDevice {
    geometry: Geometry,
    shared: Arc<Shared>,
}

/// Why an export is no device.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The server, or the way to it.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Its blocks are larger than those of any disk.
    #[error("the export has blocks of {0} bytes; a device has at most {LARGEST_BLOCK}")]
    Block(u32),
    /// It is too short.
    #[error("the export has {size} bytes, less than one block of {block}")]
    TooShort {
        /// Its length in bytes.
        size: u64,
        /// The bytes of a block.
        block: u32,
    },
    /// The system gives no thread.
    #[error("no thread for a connection: {0}")]
    Thread(#[from] std::io::Error),
}

/// What the connections share.
#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    bell: Condvar,
}

#[derive(Default)]
struct State {
    waiting: BioList,
    /// The device is gone, so nothing more comes.
    is_dropped: bool,
    /// A connection is lost, and with it what was not flushed.
    is_broken: bool,
}

impl NbdDevice {
    /// Attaches to the export, which offers blocks of at least `block_size` bytes.
    ///
    /// # Errors
    /// When there is no connection, or the export is none that a device can be.
    pub fn attach(uri: &NbdUri, block_size: u32, read_only: bool) -> Result<Self, AttachError> {
        let first = Client::connect(&uri.address, &uri.export)?;
        let geometry = geometry(&first, block_size, read_only)?;
        let is_shared = first.flags().contains(TransmissionFlags::CAN_MULTI_CONN);
        let mut clients = vec![first];
        for _ in 1..if is_shared { CONNECTIONS } else { 1 } {
            clients.push(Client::connect(&uri.address, &uri.export)?);
        }
        let shared = Arc::new(Shared::default());
        let depth = DEPTH / clients.len();
        for client in clients {
            let (shared, uri) = (Arc::clone(&shared), uri.to_string());
            let connection =
                Connection { client, slots: (0..depth).map(|_| None).collect(), data: Vec::new() };
            let run = move || connection.run(&shared, &uri);
            thread::Builder::new().name("udm-nbd".into()).spawn(run)?;
        }
        Ok(Self { geometry, shared })
    }
}

fn geometry(client: &Client, block_size: u32, read_only: bool) -> Result<Geometry, AttachError> {
    let (flags, blocks, size) = (client.flags(), client.block_sizes(), client.size());
    let block = block_size.max(blocks.min).max(SECTOR_SIZE as u32);
    if block > LARGEST_BLOCK {
        return Err(AttachError::Block(block));
    }
    let whole = size / u64::from(block) * u64::from(block);
    if whole == 0 {
        return Err(AttachError::TooShort { size, block });
    }
    if whole < size {
        tracing::warn!("the last {} of {size} bytes of the export are no whole block", size - whole);
    }
    Ok(Geometry {
        logical_block: block,
        max_transfer: blocks.max.min(BlockSizes::DEFAULT.max).max(block),
        read_only: read_only || flags.contains(TransmissionFlags::READ_ONLY),
        discard: flags.contains(TransmissionFlags::SEND_TRIM),
        write_zeroes: flags.contains(TransmissionFlags::SEND_WRITE_ZEROES),
        write_cache: flags.contains(TransmissionFlags::SEND_FLUSH),
        ..Geometry::plain(Sectors::in_bytes(whole))
    })
}

impl Device for NbdDevice {
    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn submit(&self, bio: Bio) {
        let mut state = self.shared.lock();
        if state.is_broken {
            drop(state);
            return bio.complete(Status::Offline);
        }
        state.waiting.push(bio);
        drop(state);
        self.shared.bell.notify_one();
    }
}

/// The threads end by themselves, each with a goodbye to the server. They are not waited for: the last bio to end may be
/// what drops the device, on one of them.
impl Drop for NbdDevice {
    fn drop(&mut self) {
        self.shared.lock().is_dropped = true;
        self.shared.bell.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next bio; where there is none now, waits for it if so said.
    fn next(&self, waits: bool) -> Option<Bio> {
        let idle =
            |state: &mut State| waits && state.waiting.is_empty() && !state.is_dropped && !state.is_broken;
        let state = self.bell.wait_while(self.lock(), idle);
        state.unwrap_or_else(PoisonError::into_inner).waiting.pop()
    }

    /// A connection is lost: nothing goes on.
    fn fail(&self) {
        let mut state = self.lock();
        state.is_broken = true;
        let mut waiting = std::mem::take(&mut state.waiting);
        drop(state);
        self.bell.notify_all();
        while let Some(bio) = waiting.pop() {
            complete_at_home(bio, Status::Offline);
        }
    }
}

/// A connection at work.
struct Connection {
    client: Client,
    /// The bios under way: a cookie is an index.
    slots: Box<[Option<Flight>]>,
    data: Vec<u8>,
}

/// A bio under way.
struct Flight {
    bio: Bio,
    stage: Stage,
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

impl Connection {
    /// Serves bios until the device is gone or the connection is lost.
    fn run(mut self, shared: &Shared, uri: &str) {
        match self.serve(shared) {
            // The server may be gone already, and nothing is due.
            Ok(()) => drop(self.client.disconnect()),
            Err(error) => {
                tracing::error!("{uri}: {error}; no further I/O is done on it");
                let lost = self.slots.iter_mut().filter_map(Option::take);
                lost.for_each(|flight| complete_at_home(flight.bio, Status::Offline));
                shared.fail();
            }
        }
    }

    fn serve(&mut self, shared: &Shared) -> Result<(), ClientError> {
        loop {
            while let Some(slot) = self.slots.iter().position(Option::is_none) {
                let Some(bio) = shared.next(self.client.in_flight() == 0) else { break };
                let preflush = bio.flags().has(Flags::PREFLUSH) && bio.op() != Op::Flush;
                let stage = if preflush { Stage::Preflush } else { Stage::Body(0) };
                self.slots[slot] = Some(Flight { bio, stage });
                self.send(slot)?;
            }
            if self.client.in_flight() == 0 {
                let state = shared.lock();
                if state.is_dropped || state.is_broken {
                    return Ok(());
                }
                continue;
            }
            let Completion { cookie, result } = self.client.receive(&mut self.data)?;
            self.answered(cookie as usize, result.map_err(ErrorNumber::to_wire))?;
        }
    }

    /// Sends what is next for the bio of a slot, or ends it where that is nothing.
    fn send(&mut self, slot: usize) -> Result<(), ClientError> {
        let Some(Flight { bio, stage }) = &self.slots[slot] else { return Ok(()) };
        let (cookie, offers) = (slot as u64, self.client.flags());
        let (begin, len) = (bio.sector().0 * SECTOR_SIZE as u64, bio.len().0);
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
            Op::Flush => self.client.send_flush(cookie),
            _ if len == 0 => self.answered(slot, Ok(())),
            Op::Read => self.client.send_read(cookie, begin, len as u32),
            Op::Write => {
                self.data.resize(len as usize, 0);
                bio.data().read(&mut self.data);
                self.client.send_write(cookie, begin, &self.data, fua)
            }
            Op::Discard => self.client.send(range(Command::Trim, flags), &[]),
            Op::WriteZeroes => {
                let keeps = bio.flags().has(Flags::NO_UNMAP);
                let no_hole = if keeps { CommandFlags::NO_HOLE } else { CommandFlags::NONE };
                self.client.send(range(Command::WriteZeroes, flags | no_hole), &[])
            }
        }
    }

    /// A request of a slot's bio is answered, by an error's number where it failed.
    fn answered(&mut self, slot: usize, result: Result<(), u32>) -> Result<(), ClientError> {
        let Some(Flight { bio, stage }) = &mut self.slots[slot] else { return Ok(()) };
        let has_fua = self.client.flags().contains(TransmissionFlags::SEND_FUA);
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
            bio.data().write(&self.data);
        }
        let status = result.map_or_else(|error| Status::from_errno(error as i32), |()| Status::Ok);
        if let Some(flight) = self.slots[slot].take() {
            complete_at_home(flight.bio, status);
        }
        Ok(())
    }
}
