//! What the tests share: a driver that is a function, and a client with a queue.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::sync::Arc;

use udm_block::memory::{Heap, Source};
use udm_block::{
    Alloc, Bio, BioSet, BioSetOptions, Bios, Bytes, Channel, ChannelId, Device, DeviceRef, Dispatch, Flags,
    Geometry, Op, OpenError, Opening, Pad, Queue, Sector, Status,
};

pub fn heap() -> Source {
    Arc::new(Heap)
}

/// A set's options without normal memory and without stocks: the reserve is all that there is.
pub fn reserve_alone(name: &'static str, reserve: usize) -> BioSetOptions {
    BioSetOptions { reserve, limit: 0, stock: 0, ..BioSetOptions::named(name) }
}

/// A device whose channels are a function that takes bios.
pub fn serves<F>(geometry: Geometry, serve: F) -> DeviceRef
where
    F: Fn(&mut Dispatch, Bio) + Clone + Send + Sync + 'static,
{
    Arc::new(Serves(geometry, serve))
}

struct Serves<F>(Geometry, F);

impl<F: Fn(&mut Dispatch, Bio) + Clone + Send + Sync + 'static> Device for Serves<F> {
    fn geometry(&self) -> Geometry {
        self.0
    }

    fn open(&self, _: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        Ok(Box::new(Served(self.1.clone())))
    }
}

struct Served<F>(F);

impl<F: Fn(&mut Dispatch, Bio) + Send> Channel for Served<F> {
    fn submit(&mut self, cx: &mut Dispatch, bio: Bio) {
        (self.0)(cx, bio);
    }
}

/// A pad with nothing to remember.
pub struct Bare;

impl Pad for Bare {}

/// A client of one device.
pub struct Client {
    pub queue: Queue,
    pub channel: ChannelId,
    pub bios: Bios<Bare>,
}

impl Client {
    pub fn of(dev: &DeviceRef, set: &BioSet<Bare>) -> Self {
        let mut queue = Queue::new().unwrap();
        let channel = queue.open(dev).unwrap();
        Self { channel, bios: queue.bios(set), queue }
    }

    /// Submits a bio without data.
    pub fn submit(&mut self, op: Op, sector: u64, len: Bytes) {
        let mut bio = self.bios.alloc(self.queue.cx(), Bare, Alloc::NoWait).ok().expect("a bio");
        bio.prepare(op, Flags::NONE, Sector(sector));
        bio.set_range(len);
        self.queue.submit(self.channel, bio);
    }

    /// Where the next bio that has ended begins, and how it ended.
    pub fn told(&mut self) -> Option<(u64, Status)> {
        let bio = self.bios.claim(self.queue.take_ended()?).ok().expect("its own bio");
        let told = (bio.sector().0, bio.status());
        self.bios.free(bio);
        Some(told)
    }

    /// The same, and waits for it.
    pub fn wait(&mut self) -> (u64, Status) {
        loop {
            if let Some(told) = self.told() {
                return told;
            }
            self.queue.wait(&mut [], None).unwrap();
        }
    }
}
