//! For tests: bios as an engine has them, of a client that waits for their ends.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use udm_block::memory::{Heap, Source};
use udm_block::{
    Alloc, Bio, BioSet, BioSetOptions, Bios, Channel, ChannelId, Device, DeviceRef, Dispatch, Flags,
    Geometry, Op, OpenError, Opening, Pad, Queue, Sector, Sectors,
};

/// A client whose bios come to the test.
pub(super) struct Client {
    queue: Queue,
    channel: ChannelId,
    bios: Bios<Nothing>,
    held: Receiver<Bio>,
}

struct Nothing;

impl Pad for Nothing {}

/// A device, and its channel, that hands bios on to the test.
#[derive(Clone)]
struct Hands(Sender<Bio>);

impl Device for Hands {
    fn geometry(&self) -> Geometry {
        Geometry::plain(Sectors(64))
    }

    fn open(&self, _: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        Ok(Box::new(self.clone()))
    }
}

impl Channel for Hands {
    fn submit(&mut self, _: &mut Dispatch, bio: Bio) {
        self.0.send(bio).unwrap();
    }
}

impl Client {
    pub(super) fn new() -> Self {
        let (heap, (hands, held)): (Source, _) = (Arc::new(Heap), channel());
        let mut queue = Queue::new().unwrap();
        let channel = queue.open(&(Arc::new(Hands(hands)) as DeviceRef)).unwrap();
        let bios = queue.bios(&BioSet::new(&BioSetOptions::named("test"), &heap).unwrap());
        Self { queue, channel, bios, held }
    }

    /// A bio that a client has submitted.
    pub(super) fn submit(&mut self, op: Op, sector: u64) -> Bio {
        let mut bio = self.bios.alloc(self.queue.cx(), Nothing, Alloc::NoWait).ok().unwrap();
        bio.prepare(op, Flags::NONE, Sector(sector));
        self.queue.submit(self.channel, bio);
        self.held.recv().unwrap()
    }

    /// Takes all that have ended, each on any thread: their sectors, in order.
    pub(super) fn ended(&mut self) -> Vec<u64> {
        self.queue.run();
        let ended = std::iter::from_fn(|| self.queue.take_ended());
        let bios = ended.map(|bio| self.bios.claim(bio).ok().unwrap());
        bios.map(|bio| bio.sector().0).collect()
    }
}
