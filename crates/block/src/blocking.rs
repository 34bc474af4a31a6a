//! Reading and writing a device at any byte, from a thread that waits: the front door for programs.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::aside::{Aside, HasQueue};
use crate::bio::{BioSet, BioSetOptions, Bios, Pad, PadBio};
use crate::channel_id::ChannelId;
use crate::device::DeviceRef;
use crate::geometry::LONGEST_DEVICE;
use crate::memory::{Heap, Source};
use crate::mempool::{Alloc, NoReserve};
use crate::op::{Flags, Op};
use crate::open_error::OpenError;
use crate::pages::{Buffers, PagePool, PagePoolOptions};
use crate::queue::Queue;
use crate::status::Status;
use crate::units::{Bytes, SECTOR_SIZE, Sector};

/// How much one bio moves, in bytes.
const CHUNK: usize = 256 << 10;
/// How many bios are under way at once.
const DEPTH: usize = 8;
/// How long it sleeps between two looks where it cannot wait.
const RETRY: Duration = Duration::from_millis(1);

/// A device, read and written by threads that wait, one at a time.
pub struct Blocking {
    dev: DeviceRef,
    front: Aside<Front>,
}

/// The queue, and what it takes.
struct Front {
    queue: Queue,
    channel: ChannelId,
    bios: Bios<Wait>,
    buffers: Buffers,
}

/// The pad: where in the caller's buffer the bio belongs.
struct Wait {
    at: usize,
}

impl Pad for Wait {}

impl HasQueue for Front {
    fn queue(&mut self) -> &mut Queue {
        &mut self.queue
    }
}

/// Why a [`Blocking`] could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlockingError {
    /// No memory.
    #[error(transparent)]
    NoReserve(#[from] NoReserve),
    /// The system has no queue for it.
    #[error("cannot drive I/O: {0}")]
    Queue(#[from] io::Error),
    /// The device.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// A buffer of the caller's, to be filled or to be written.
enum Buffer<'a> {
    Fill(&'a mut [u8]),
    Take(&'a [u8]),
}

impl Buffer<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Fill(bytes) => bytes.len(),
            Self::Take(bytes) => bytes.len(),
        }
    }
}

impl Blocking {
    /// A front door to `dev`.
    ///
    /// # Errors
    /// When there is no memory, the system has no descriptor left, or the device cannot be opened.
    pub fn new(dev: DeviceRef) -> Result<Self, BlockingError> {
        let source: Source = Arc::new(Heap);
        let bios = BioSetOptions {
            reserve: DEPTH,
            limit: DEPTH,
            stock: DEPTH,
            ..BioSetOptions::named("front door")
        };
        let pages = PagePoolOptions {
            name: "front door",
            largest: CHUNK,
            reserve: DEPTH,
            limit: DEPTH * CHUNK,
            stock: DEPTH * CHUNK,
        };
        let (set, pages) = (BioSet::new(&bios, &source)?, PagePool::new(pages, &source)?);
        let mut queue = Queue::new()?;
        let channel = queue.open(&dev)?;
        let front = Front { channel, bios: queue.bios(&set), buffers: pages.buffers(), queue };
        Ok(Self { dev, front: Aside::new(front) })
    }

    /// The device.
    pub fn device(&self) -> &DeviceRef {
        &self.dev
    }

    /// Fills `to` with what stands at byte `offset`.
    ///
    /// # Errors
    /// What the device says; the first error of any part.
    pub fn read_at(&self, offset: u64, to: &mut [u8]) -> Result<(), Status> {
        check_end(offset, to.len())?;
        let mut front = self.front.take();
        let block = front.block();
        let head = head_len(offset, to.len(), block);
        let tail = (to.len() - head) % block;
        let (first, rest) = to.split_at_mut(head);
        let (middle, last) = rest.split_at_mut(rest.len() - tail);
        front.read_part(offset, first)?;
        front.transfer(offset + head as u64, Buffer::Fill(middle))?;
        front.read_part(offset + (head + middle.len()) as u64, last)
    }

    /// Writes `from` at byte `offset`; what shares a block with it is read first and stays.
    ///
    /// # Errors
    /// What the device says; the first error of any part. Other parts may have been written then.
    pub fn write_at(&self, offset: u64, from: &[u8]) -> Result<(), Status> {
        check_end(offset, from.len())?;
        let mut front = self.front.take();
        let block = front.block();
        let head = head_len(offset, from.len(), block);
        let tail = (from.len() - head) % block;
        let (first, rest) = from.split_at(head);
        let (middle, last) = rest.split_at(rest.len() - tail);
        front.write_part(offset, first)?;
        front.transfer(offset + head as u64, Buffer::Take(middle))?;
        front.write_part(offset + (head + middle.len()) as u64, last)
    }

    /// Makes what was written durable.
    ///
    /// # Errors
    /// What the device says.
    pub fn flush(&self) -> Result<(), Status> {
        self.front.take().simple(Op::Flush, Sector(0), Bytes(0))
    }

    /// Discards, or writes zeros to, whole blocks: `len` bytes at byte `offset`.
    ///
    /// # Errors
    /// What the device says; `Invalid` off a block border.
    pub fn range(&self, op: Op, offset: u64, len: Bytes) -> Result<(), Status> {
        let mut front = self.front.take();
        let block = front.block() as u64;
        if !offset.is_multiple_of(block) || !len.0.is_multiple_of(block) {
            return Err(Status::Invalid);
        }
        front.simple(op, Sector(offset / SECTOR_SIZE as u64), len)
    }
}

impl Front {
    fn block(&self) -> usize {
        self.queue.geometry(self.channel).logical_block as usize
    }

    /// Reads a part of one block.
    fn read_part(&mut self, offset: u64, to: &mut [u8]) -> Result<(), Status> {
        if to.is_empty() {
            return Ok(());
        }
        let mut block = [0; 4096];
        let block = &mut block[..self.block()];
        let skip = (offset % block.len() as u64) as usize;
        self.transfer(offset - skip as u64, Buffer::Fill(block))?;
        to.copy_from_slice(&block[skip..skip + to.len()]);
        Ok(())
    }

    /// Writes a part of one block.
    fn write_part(&mut self, offset: u64, from: &[u8]) -> Result<(), Status> {
        if from.is_empty() {
            return Ok(());
        }
        let mut block = [0; 4096];
        let block = &mut block[..self.block()];
        let skip = (offset % block.len() as u64) as usize;
        self.transfer(offset - skip as u64, Buffer::Fill(block))?;
        block[skip..skip + from.len()].copy_from_slice(from);
        self.transfer(offset - skip as u64, Buffer::Take(block))
    }

    /// Moves whole blocks, several bios at once.
    fn transfer(&mut self, offset: u64, mut buffer: Buffer<'_>) -> Result<(), Status> {
        let mut under_way = UnderWay(self);
        let (mut next, mut result) = (0, Ok(()));
        loop {
            while result.is_ok() && next < buffer.len() {
                let Some(bio) = under_way.0.make(offset, next, &buffer) else { break };
                next += bio.len().0 as usize;
                under_way.submit(bio);
            }
            if under_way.is_none() {
                let done = next == buffer.len() || result.is_err();
                return if done { result } else { Err(Status::DevResource) };
            }
            let (bio, waited) = under_way.next();
            let finished = Self::finish(&bio, &mut buffer);
            under_way.0.free(bio);
            result = result.and(waited).and(finished);
        }
    }

    /// The bio that moves the bytes from `at` on, when there is memory for one more.
    fn make(&mut self, offset: u64, at: usize, buffer: &Buffer<'_>) -> Option<PadBio<Wait>> {
        let most = self.queue.geometry(self.channel).max_transfer as usize;
        let len = CHUNK.min(buffer.len() - at).min(most);
        if self.queue.under_way() >= DEPTH {
            return None;
        }
        let mut pages = self.buffers.alloc(self.queue.cx(), Bytes(len as u64), Alloc::NoWait)?;
        let mut bio = self.bios.alloc(self.queue.cx(), Wait { at }, Alloc::NoWait).ok()?;
        let op = match buffer {
            Buffer::Fill(_) => Op::Read,
            Buffer::Take(from) => {
                pages.span_mut(Bytes(len as u64)).write(&from[at..at + len]);
                Op::Write
            }
        };
        bio.prepare(op, Flags::NONE, Sector((offset + at as u64) / SECTOR_SIZE as u64));
        bio.set_pages(pages, Bytes(len as u64));
        Some(bio)
    }

    /// Takes the result of a bio that ended.
    fn finish(bio: &PadBio<Wait>, buffer: &mut Buffer<'_>) -> Result<(), Status> {
        if !bio.status().is_ok() {
            return Err(bio.status());
        }
        if let Buffer::Fill(to) = buffer {
            let at = bio.pad().at;
            bio.data().read(&mut to[at..at + bio.len().0 as usize]);
        }
        Ok(())
    }

    fn free(&mut self, mut bio: PadBio<Wait>) {
        if let Some(pages) = bio.take_pages() {
            self.buffers.free(pages);
        }
        self.bios.free(bio);
    }

    /// One operation without data, to its end.
    fn simple(&mut self, op: Op, sector: Sector, len: Bytes) -> Result<(), Status> {
        let bio = self.bios.alloc(self.queue.cx(), Wait { at: 0 }, Alloc::NoWait);
        let mut bio = bio.map_err(|_| Status::DevResource)?;
        bio.prepare(op, Flags::NONE, sector);
        bio.set_range(len);
        let mut under_way = UnderWay(self);
        under_way.submit(bio);
        let (bio, waited) = under_way.next();
        let finished = Self::finish(&bio, &mut Buffer::Take(&[]));
        under_way.0.free(bio);
        waited.and(finished)
    }
}

/// What one call has under way. Whichever way the call ends, all of it has ended before: a bio that came home later would
/// give its data to the next call.
struct UnderWay<'a>(&'a mut Front);

impl UnderWay<'_> {
    fn submit(&mut self, bio: PadBio<Wait>) {
        self.0.queue.submit(self.0.channel, bio);
    }

    fn is_none(&self) -> bool {
        self.0.queue.under_way() == 0
    }

    /// The next one that ends, and whether all waits for it went well.
    fn next(&mut self) -> (PadBio<Wait>, Result<(), Status>) {
        let mut waited = Ok(());
        loop {
            if let Some(bio) = self.0.queue.take_ended() {
                let Ok(bio) = self.0.bios.claim(bio) else {
                    unreachable!("the queue has bios of this set alone")
                };
                return (bio, waited);
            }
            if self.0.queue.wait(&mut [], None).is_err() {
                // The system does not let the thread sleep until something ends. It looks again and again.
                waited = Err(Status::IoErr);
                thread::sleep(RETRY);
            }
        }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        while !self.is_none() {
            // A driver that panics at the end of a bio ends it in doing so.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(self.next())));
        }
    }
}

/// That `len` bytes at `offset` end within the longest device, so that no sum below wraps.
fn check_end(offset: u64, len: usize) -> Result<(), Status> {
    let end = offset.checked_add(len as u64).filter(|end| *end <= LONGEST_DEVICE.bytes().0);
    end.map(|_| ()).ok_or(Status::IoErr)
}

/// How many of `len` bytes at `offset` share a block with bytes before them, or do not fill one.
fn head_len(offset: u64, len: usize, block: usize) -> usize {
    let into = (offset % block as u64) as usize;
    if into == 0 { 0 } else { len.min(block - into) }
}
