//! A client of a device: one bio, which is sent again when it is back.

use std::sync::Arc;

use udm_block::memory::{Heap, Source};
use udm_block::{
    Alloc, BioSet, BioSetOptions, Bios, Bytes, ChannelId, Flags, Op, Pad, PadBio, Queue, Sector,
};
use udm_dm::targets::crypt::CipherChoice;

use super::{BenchError, memory};
use udm::device::{DeviceOptions, open_table};

/// The pad of the client's bio.
pub(super) struct Client;

impl Pad for Client {}

/// Where the bio goes.
#[derive(Clone, Copy)]
pub(super) enum Places {
    /// One place after the other in the first `sectors` sectors, which the bio's length divides.
    InOrder { sectors: u64 },
    /// A few places all over the first `sectors` sectors, a power of two.
    Anywhere { sectors: u64 },
}

impl Places {
    /// How many places there are anywhere: what is there stays in the page cache.
    const MANY: u64 = 256;

    /// The place of the `count`th bio of `len` sectors.
    fn at(self, count: u64, len: u64) -> Sector {
        Sector(match self {
            Self::InOrder { sectors } => count * len % sectors,
            // The places of a power of two are scattered by an odd factor.
            Self::Anywhere { sectors } => {
                (count % Self::MANY).wrapping_mul(0x9E37_79B9_7F4A_7C15) % (sectors / len) * len
            }
        })
    }
}

/// A client that sends one bio, and sends it again when it is back.
pub(super) struct Sender {
    queue: Queue,
    channel: ChannelId,
    op: Op,
    places: Places,
    /// How many bios were sent.
    count: u64,
    bio: Option<PadBio<Client>>,
    bios: Bios<Client>,
}

impl Sender {
    /// A client of the device that `table` describes, with bios of `size` bytes.
    pub(super) fn new(
        table: &str,
        cipher: CipherChoice,
        op: Op,
        places: Places,
        size: usize,
    ) -> Result<Self, BenchError> {
        let options = DeviceOptions { cipher, ..DeviceOptions::default() };
        let dev = open_table(table, &options).map_err(BenchError::of)?;
        let source: Source = Arc::new(Heap);
        let mut queue = Queue::new().map_err(BenchError::of)?;
        let channel = queue.open(&dev).map_err(BenchError::of)?;
        let set = BioSet::<Client>::new(&BioSetOptions::named("bench"), &source).map_err(BenchError::of)?;
        let mut bios = queue.bios(&set);
        let bio = bios.alloc(queue.cx(), Client, Alloc::NoWait);
        let mut bio = bio.map_err(|_| BenchError("no bio".into()))?;
        let pages = memory::pages(&mut queue, &mut memory::pool(size, 1)?.buffers(), size)?;
        bio.set_pages(pages, Bytes(size as u64));
        Ok(Self { queue, channel, op, places, count: 0, bio: Some(bio), bios })
    }

    /// Sends the bio and waits for it.
    pub(super) fn send(&mut self) -> Result<(), BenchError> {
        let Some(mut bio) = self.bio.take() else { return Err(BenchError("the bio is not back".into())) };
        bio.rearm();
        bio.prepare(self.op, Flags::NONE, self.places.at(self.count, bio.sectors().0));
        self.count += 1;
        self.queue.submit(self.channel, bio);
        loop {
            if let Some(ended) = self.queue.take_ended() {
                let ended =
                    self.bios.claim(ended).map_err(|_| BenchError("a bio of somebody else's".into()))?;
                let status = ended.status();
                self.bio = Some(ended);
                return if status.is_ok() {
                    Ok(())
                } else {
                    Err(BenchError(format!("a bio ended: {status}")))
                };
            }
            self.queue.wait(&mut [], None).map_err(BenchError::of)?;
        }
    }
}
