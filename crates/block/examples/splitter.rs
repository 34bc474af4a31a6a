//! A stacking driver to read and to copy from: it splits bios at borders of its own, as bcache does, and takes all the
//! pieces of a bio from one set before it returns. It is written in the plain style, that sleeps when there is no memory.
//!
//! That would deadlock without a rescuer: the pieces that were submitted wait on the queue's list until the driver
//! returns, and the driver waits for one of them to come home. So the set asks for one.
//!
//! Run it with `cargo run -p udm-block --example splitter`.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use udm_block::bio::Piece;
use udm_block::memory::{Heap, Source};
use udm_block::{
    Alloc, Bio, BioSet, BioSetOptions, Bios, Buffers, Bytes, Channel, ChannelId, Device, DeviceRef, Dispatch,
    Flags, Geometry, Op, OpenError, Opening, OwnBio, Pad, PagePool, PagePoolOptions, Queue, Sector, Sectors,
    Status,
};

/// Splits bios at every `border` sectors.
pub struct Splitter {
    lower: DeviceRef,
    border: Sectors,
    /// Each level of a stack has a set of its own: with one for two levels, each could wait for the other.
    pieces: BioSet<Piece>,
}

impl Splitter {
    /// A splitter over `lower`, with `reserve` pieces and no normal memory.
    pub fn new(lower: DeviceRef, border: Sectors, reserve: usize, rescuer: bool) -> Self {
        let source: Source = Arc::new(Heap);
        let options = BioSetOptions { reserve, limit: 0, stock: 0, ..BioSetOptions::named("splitter") };
        let pieces = if rescuer {
            let lower = std::slice::from_ref(&lower);
            BioSet::rescued(&options, &source, lower).expect("memory for the reserve, and a thread")
        } else {
            BioSet::new(&options, &source).expect("memory for the reserve")
        };
        Self { lower, border, pieces }
    }

    /// How often its rescuer was needed.
    pub fn punts(&self) -> u64 {
        self.pieces.punts()
    }
}

impl Device for Splitter {
    fn geometry(&self) -> Geometry {
        self.lower.geometry()
    }

    fn open(&self, opening: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        let (lower, pieces) = (opening.open(&self.lower)?, opening.bios(&self.pieces));
        Ok(Box::new(SplitterChannel { lower, border: self.border, pieces }))
    }
}

/// One queue's way into a splitter.
struct SplitterChannel {
    lower: ChannelId,
    border: Sectors,
    pieces: Bios<Piece>,
}

impl Channel for SplitterChannel {
    fn submit(&mut self, cx: &mut Dispatch, mut bio: Bio) {
        loop {
            let room = Sectors(self.border.0 - bio.sector().0 % self.border.0);
            if bio.sectors() <= room {
                return cx.submit(self.lower, bio);
            }
            // May sleep; never fails. Each piece is submitted before the next one is taken.
            match bio.split(cx, room.bytes(), &mut self.pieces, Alloc::Wait) {
                Ok(split) => {
                    cx.submit(self.lower, split.front);
                    bio = split.rest;
                }
                Err(bio) => return cx.complete(bio, Status::DevResource),
            }
        }
    }

    fn end_io(&mut self, cx: &mut Dispatch, bio: OwnBio) {
        if let Ok(piece) = self.pieces.claim(bio) {
            self.pieces.end_piece(cx, piece);
        }
    }
}

/// The bottom of the stack: ends every bio, and tells where it was.
pub struct Bottom {
    geometry: Geometry,
    seen: Sender<u64>,
}

impl Bottom {
    /// A device that tells `seen` the sector of each bio.
    pub fn new(seen: Sender<u64>) -> Self {
        Self { geometry: Geometry::plain(Sectors(1 << 20)), seen }
    }
}

impl Device for Bottom {
    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn open(&self, _: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        Ok(Box::new(BottomChannel(self.seen.clone())))
    }
}

/// One queue's way into the bottom.
struct BottomChannel(Sender<u64>);

impl Channel for BottomChannel {
    fn submit(&mut self, cx: &mut Dispatch, bio: Bio) {
        // Nobody may be listening any more.
        let _ = self.0.send(bio.sector().0);
        cx.complete(bio, Status::Ok);
    }
}

/// The pad of a client's bio: it has nothing to remember.
struct Nothing;

impl Pad for Nothing {}

/// A client: a queue that may sleep, with a device open.
pub struct Client {
    queue: Queue,
    channel: ChannelId,
    bios: Bios<Nothing>,
    buffers: Buffers,
}

impl Client {
    /// A client of `dev`.
    ///
    /// # Errors
    /// When the system has no memory or descriptor for it, or the device cannot be opened.
    pub fn of(dev: &DeviceRef) -> io::Result<Self> {
        let source: Source = Arc::new(Heap);
        let pages =
            PagePoolOptions { name: "client", largest: 1 << 16, reserve: 1, limit: 1 << 20, stock: 1 << 16 };
        let mut queue = Queue::sleeping()?;
        let channel = queue.open(dev).map_err(io::Error::other)?;
        let set = BioSet::new(&BioSetOptions::named("client"), &source).map_err(io::Error::other)?;
        let buffers = PagePool::new(pages, &source).map_err(io::Error::other)?.buffers();
        Ok(Self { bios: queue.bios(&set), queue, channel, buffers })
    }

    /// Writes `bytes`, which are whole sectors, at `sector`, and waits for the end.
    pub fn write(&mut self, sector: u64, bytes: &[u8]) -> Status {
        let len = Bytes(bytes.len() as u64);
        let mut pages =
            self.buffers.alloc(self.queue.cx(), len, Alloc::Wait).expect("an allocation that may sleep");
        pages.span_mut(len).write(bytes);
        let Ok(mut bio) = self.bios.alloc(self.queue.cx(), Nothing, Alloc::Wait) else {
            unreachable!("it waits")
        };
        bio.prepare(Op::Write, Flags::NONE, Sector(sector));
        bio.set_pages(pages, len);
        self.queue.submit(self.channel, bio);
        loop {
            if let Some(bio) = self.queue.take_ended() {
                let Ok(bio) = self.bios.claim(bio) else { unreachable!("it is the only one") };
                let status = bio.status();
                self.bios.free(bio);
                return status;
            }
            if self.queue.wait(&mut [], None).is_err() {
                return Status::IoErr;
            }
        }
    }
}

#[allow(dead_code, reason = "tests include this file for its driver")]
fn main() -> io::Result<()> {
    let (seen, order) = channel();
    let fine = Arc::new(Splitter::new(Arc::new(Bottom::new(seen)), Sectors(2), 1, true));
    let coarse = Arc::new(Splitter::new(fine.clone(), Sectors(8), 1, true));
    let dev: DeviceRef = coarse.clone();
    println!("a write of 32 sectors ended: {}", Client::of(&dev)?.write(4, &[0; 32 * 512]));
    println!("the bottom saw sectors {:?}", order.try_iter().collect::<Vec<_>>());
    println!("the rescuers were needed {} and {} times", coarse.punts(), fine.punts());
    Ok(())
}
