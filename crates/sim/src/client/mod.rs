//! A client of devices: sends bios over memory that is cut anywhere, and lets the world go on until they end.

mod memory;
mod opened;
mod ticket;

use udm_block::bio::INLINE_SPANS;
use udm_block::memory::{Heap, Source};
use udm_block::{
    Alloc, BioSet, BioSetOptions, Bios, Bytes, DeviceRef, Flags, Op, Queue, SECTOR_SIZE, Sector, Sectors,
    Status,
};

use std::sync::Arc;

use crate::dice::{Dice, digest};
use crate::failure::{Failure, Kind};
use crate::trace::What;
use crate::world::Sim;

use memory::{Lending, Memory};
use opened::Opened;
use ticket::Ticket;

/// For how many steps of the world no bio may end before the client says that they never will.
const PATIENCE: u32 = 100_000;
/// The name of a client in the trace.
const NAME: &str = "client";

/// A bio to be.
#[derive(Clone, Debug)]
pub struct Request {
    /// What it asks for.
    pub op: Op,
    /// Its wishes.
    pub flags: Flags,
    /// Where it begins.
    pub sector: Sector,
    /// Its length.
    pub sectors: Sectors,
    /// For a write, what it writes; for a read, what its memory holds before.
    pub bytes: Vec<u8>,
    /// The lengths of its runs of memory in bytes, at most [`INLINE_SPANS`]. One run, when there is none.
    pub runs: Vec<usize>,
}

impl Request {
    /// A read into memory that holds zeros before.
    pub fn read(sector: Sector, sectors: Sectors) -> Self {
        Self { bytes: vec![0; sectors.bytes().0 as usize], ..Self::range(Op::Read, sector, sectors) }
    }

    /// A write of whole sectors.
    pub fn write(sector: Sector, bytes: Vec<u8>) -> Self {
        let sectors = Sectors::in_bytes(bytes.len() as u64);
        Self { bytes, ..Self::range(Op::Write, sector, sectors) }
    }

    /// A flush.
    pub fn flush() -> Self {
        Self::range(Op::Flush, Sector(0), Sectors(0))
    }

    /// An operation without data: a discard, or zeros.
    pub fn range(op: Op, sector: Sector, sectors: Sectors) -> Self {
        Self { op, flags: Flags::NONE, sector, sectors, bytes: Vec::new(), runs: Vec::new() }
    }

    /// The same with these wishes.
    #[must_use]
    pub fn with(self, flags: Flags) -> Self {
        Self { flags, ..self }
    }

    /// The same with its memory cut into runs anywhere, as the dice say.
    #[must_use]
    pub fn cut(mut self, dice: &mut Dice) -> Self {
        let len = self.bytes.len() as u64;
        if len > 0 {
            let cuts = dice.below(INLINE_SPANS as u64);
            let mut borders: Vec<u64> = (0..cuts).map(|_| near_a_border(dice, len)).chain([0, len]).collect();
            borders.sort_unstable();
            borders.dedup();
            self.runs = borders.windows(2).map(|pair| (pair[1] - pair[0]) as usize).collect();
        }
        self
    }
}

/// A byte of `len`: any, or as often one next to the border of a sector, where off-by-one errors live.
fn near_a_border(dice: &mut Dice, len: u64) -> u64 {
    if dice.chance(500) {
        return dice.below(len);
    }
    let border = dice.below(len / SECTOR_SIZE as u64 + 1) * SECTOR_SIZE as u64;
    (border + dice.below(3)).saturating_sub(1).min(len)
}

/// A bio that ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Its number, that [`Client::start`] gave.
    pub number: u64,
    /// How it ended.
    pub status: Status,
    /// What its memory holds now.
    pub bytes: Vec<u8>,
}

/// A client of the devices of a world, with a queue of its own. It has a device open as long as a bio is under way there.
pub struct Client {
    sim: Sim,
    lending: Lending,
    next: u64,
    opened: Opened,
    bios: Bios<Ticket>,
    /// Leaked when bios of it never ended.
    queue: Option<Queue>,
}

impl Client {
    /// A client with room for `depth` bios at once.
    ///
    /// # Panics
    /// When there is no memory, or the system has no event descriptor left.
    pub fn new(sim: &Sim, depth: usize) -> Self {
        let options =
            BioSetOptions { reserve: depth, limit: 0, stock: 0, ..BioSetOptions::named("simulated client") };
        let source: Source = Arc::new(Heap);
        let set = BioSet::new(&options, &source).expect("memory for the client's bios");
        let queue = Queue::new().expect("an event descriptor");
        Self {
            sim: sim.clone(),
            lending: Lending::default(),
            next: 0,
            opened: Opened::default(),
            bios: queue.bios(&set),
            queue: Some(queue),
        }
    }

    /// How many bios are under way.
    pub fn under_way(&self) -> usize {
        self.lending.len()
    }

    /// Sends a bio to `dev`: its number, counted from 0.
    ///
    /// # Panics
    /// When as many are under way as there is room for, when the request's runs are not as long as its bytes, or when the
    /// device cannot be opened.
    pub fn start(&mut self, dev: &DeviceRef, request: &Request) -> u64 {
        let Request { op, flags, sector, sectors, ref bytes, ref runs } = *request;
        let number = self.next;
        self.next += 1;
        let queue = self.queue.as_mut().expect("it goes with the client");
        let channel = self.opened.enter(queue, dev);
        let bio = self.bios.alloc(queue.cx(), Ticket { number, channel }, Alloc::NoWait);
        let mut bio = bio.ok().expect("no more bios are under way than the client has room for");
        bio.prepare(op, flags, sector);
        let memory = match runs.as_slice() {
            [] if bytes.is_empty() => Memory::new(&[], &[]),
            [] => Memory::new(&[bytes.len()], bytes),
            runs => Memory::new(runs, bytes),
        };
        self.lending.lend(&mut bio, memory);
        if !op.has_data() {
            bio.set_range(sectors.bytes());
        }
        let Bytes(len) = bio.len();
        self.sim.record(NAME, What::Began { number, op, flags, sector, len });
        queue.submit(channel, bio);
        number
    }

    /// Lets the world go on until the next bio has ended.
    ///
    /// # Errors
    /// When none will end: nothing is due any more, or it has gone on for too long. When a bio's memory was written
    /// beside its runs.
    ///
    /// # Panics
    /// When none is under way.
    pub fn wait(&mut self) -> Result<Ended, Failure> {
        assert!(self.under_way() > 0, "nothing is under way");
        for _ in 0..PATIENCE {
            if let Some(ended) = self.take()? {
                return Ok(ended);
            }
            if !self.sim.step() {
                let what = format!("{} bios never end: nothing is due any more", self.under_way());
                return Err(Failure::new(&self.sim, Kind::Stuck, what));
            }
        }
        let what = format!("no bio of {} has ended for {PATIENCE} steps", self.under_way());
        Err(Failure::new(&self.sim, Kind::Stuck, what))
    }

    /// One bio, to its end; none is under way beside it.
    ///
    /// # Errors
    /// As [`Client::wait`].
    pub fn one(&mut self, dev: &DeviceRef, request: &Request) -> Result<Ended, Failure> {
        self.start(dev, request);
        self.wait()
    }

    /// A bio that has ended already.
    ///
    /// # Errors
    /// When its memory was written beside its runs.
    pub fn take(&mut self) -> Result<Option<Ended>, Failure> {
        let queue = self.queue.as_mut().expect("it goes with the client");
        queue.run();
        let Some(bio) = queue.take_ended() else { return Ok(None) };
        let Ok(bio) = self.bios.claim(bio) else { unreachable!("the queue has bios of this set alone") };
        let (&Ticket { number, channel }, status, reads) = (bio.pad(), bio.status(), bio.op() == Op::Read);
        let memory = self.lending.take_back(bio, &mut self.bios).expect("a bio ends once");
        self.opened.leave(queue, channel);
        let bytes = memory.bytes().map_err(|why| {
            Failure::new(&self.sim, Kind::Memory, format!("bio #{number} of the client: {why}"))
        })?;
        let digest = if reads && status.is_ok() { digest(&bytes) } else { 0 };
        self.sim.record(NAME, What::Ended { number, status, digest });
        Ok(Some(Ended { number, status, bytes }))
    }

    /// Gives up what is under way: cuts the power, so that every disk lets go of its bios, and waits for them. False
    /// when some never end.
    pub fn abandon(&mut self) -> bool {
        self.sim.cut_power();
        while self.under_way() > 0 {
            match self.wait() {
                Err(failure) if failure.kind == Kind::Stuck => return false,
                _ => {}
            }
        }
        true
    }
}

/// What is under way is given up: a queue waits for its bios when it is dropped, and a test that failed is not to wait for
/// bios that never end.
impl Drop for Client {
    fn drop(&mut self) {
        if self.under_way() > 0 && !self.abandon() {
            std::mem::forget(self.queue.take());
        }
    }
}
