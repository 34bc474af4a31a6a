//! A stacking driver to read and to copy from: it splits bios at borders of its own, as bcache does, and takes all the
//! pieces of a bio from one set before it returns. It is written in the plain style, that sleeps when there is no memory.
//!
//! That would deadlock without a rescuer: the pieces that were submitted wait on this thread's list until the driver
//! returns, and the driver waits for one of them to come home. So the set asks for one.
//!
//! Run it with `cargo run -p udm-block --example splitter`.

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use udm_block::bio::Piece;
use udm_block::memory::{Heap, Source};
use udm_block::{
    Alloc, Bio, BioSet, BioSetOptions, Bytes, Device, DeviceRef, Flags, Geometry, Op, Pad, PadBio, PagePool,
    PagePoolOptions, Sector, Sectors, Status, submit,
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
        let options = BioSetOptions { reserve, limit: 0, magazine: 0, ..BioSetOptions::named("splitter") };
        let pieces = BioSet::new(&options, &source, ()).expect("memory for the reserve");
        let pieces = if rescuer { pieces.rescued("splitter").expect("a thread") } else { pieces };
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

    fn submit(&self, mut bio: Bio) {
        loop {
            let room = Sectors(self.border.0 - bio.sector().0 % self.border.0);
            if bio.sectors() <= room {
                return submit(&self.lower, bio);
            }
            // May sleep; never fails. Each piece is submitted before the next one is taken.
            match bio.split(room.bytes(), &self.pieces, Alloc::Wait) {
                Ok(split) => {
                    submit(&self.lower, split.front);
                    bio = split.rest;
                }
                Err(bio) => return bio.complete(Status::DevResource),
            }
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

    fn submit(&self, bio: Bio) {
        // Nobody may be listening any more.
        let _ = self.seen.send(bio.sector().0);
        bio.complete(Status::Ok);
    }
}

/// The pad of a client's bio: who is told of its end.
pub struct Tell(pub Sender<Status>);

impl Pad for Tell {
    type Context = ();

    fn end_io(bio: PadBio<Self>) {
        let _ = bio.pad().0.send(bio.status());
    }
}

/// A client: bios with memory.
pub struct Client {
    bios: BioSet<Tell>,
    pages: PagePool,
}

impl Client {
    /// A client with memory for some bios.
    pub fn new() -> Self {
        let source: Source = Arc::new(Heap);
        let pages =
            PagePoolOptions { name: "client", largest: 1 << 16, reserve: 1, limit: 1 << 24, magazine: 0 };
        Self {
            bios: BioSet::new(&BioSetOptions::named("client"), &source, ()).expect("memory"),
            pages: PagePool::new(pages, &source).expect("memory"),
        }
    }

    /// Writes `sectors` sectors of zeros at `sector` of `dev`, and tells `end` of the end.
    pub fn write(&self, dev: &DeviceRef, sector: u64, sectors: u64, end: Sender<Status>) {
        self.write_bytes(dev, sector, &vec![0; sectors as usize * 512], end);
    }

    /// Writes `bytes`, which are whole sectors, at `sector` of `dev`, and tells `end` of the end.
    pub fn write_bytes(&self, dev: &DeviceRef, sector: u64, bytes: &[u8], end: Sender<Status>) {
        let len = Bytes(bytes.len() as u64);
        let pages = self.pages.alloc(len, Alloc::Wait).expect("an allocation that may sleep");
        pages.span(len).write(bytes);
        let Ok(mut bio) = self.bios.alloc(Tell(end), Alloc::Wait) else { return };
        bio.prepare(Op::Write, Flags::NONE, Sector(sector));
        bio.set_pages(pages, len);
        bio.submit(dev);
    }
}

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

#[allow(dead_code, reason = "tests include this file for its driver")]
fn main() {
    let ((seen, order), (end, ended)) = (channel(), channel());
    let fine = Arc::new(Splitter::new(Arc::new(Bottom::new(seen)), Sectors(2), 1, true));
    let coarse = Arc::new(Splitter::new(fine.clone(), Sectors(8), 1, true));
    let dev: DeviceRef = coarse.clone();
    Client::new().write(&dev, 4, 32, end);
    println!("a write of 32 sectors ended: {}", ended.recv().expect("an end"));
    println!("the bottom saw sectors {:?}", order.try_iter().collect::<Vec<_>>());
    println!("the rescuers were needed {} and {} times", coarse.punts(), fine.punts());
}
