//! A client of a device: one bio, which is sent again when it is back.

use std::sync::Arc;

use udm_block::memory::{Heap, Source};
use udm_block::queue::{self, Queue};
use udm_block::{Alloc, BioSet, BioSetOptions, Bytes, DeviceRef, Flags, Op, Pad, PadBio, PagePool, Sector};
use udm_dm::targets::crypt::CipherChoice;

use super::{BenchError, memory};
use crate::device::{DeviceOptions, open_table};

/// The pad of the client's bio.
pub(super) struct Client;

impl Pad for Client {
    type Context = ();

    fn end_io(bio: PadBio<Self>) {
        queue::deliver(bio);
    }
}

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
pub(super) struct Sender<'a> {
    dev: DeviceRef,
    queue: &'a Queue,
    op: Op,
    places: Places,
    /// How many bios were sent.
    count: u64,
    // Dropped in this order: a pool goes when what is of it is home.
    bio: Option<PadBio<Client>>,
    set: BioSet<Client>,
    _pages: PagePool,
}

impl<'a> Sender<'a> {
    /// A client of the device that `table` describes, with bios of `size` bytes.
    pub(super) fn new(
        queue: &'a Queue,
        table: &str,
        cipher: CipherChoice,
        op: Op,
        places: Places,
        size: usize,
    ) -> Result<Self, BenchError> {
        let options = DeviceOptions { cipher, ..DeviceOptions::default() };
        let dev = open_table(table, &options).map_err(BenchError::of)?;
        let source: Source = Arc::new(Heap);
        let set =
            BioSet::<Client>::new(&BioSetOptions::named("bench"), &source, ()).map_err(BenchError::of)?;
        let (pool, len) = (memory::pool(size, 1)?, Bytes(size as u64));
        let mut bio = set.alloc(Client, Alloc::NoWait).map_err(|_| BenchError("no bio".into()))?;
        bio.set_pages(memory::pages(&pool, size)?, len);
        bio.set_home(queue.home());
        Ok(Self { dev, queue, op, places, count: 0, bio: Some(bio), set, _pages: pool })
    }

    /// Sends the bio and waits for it.
    pub(super) fn send(&mut self) -> Result<(), BenchError> {
        let Some(mut bio) = self.bio.take() else { return Err(BenchError("the bio is not back".into())) };
        bio.rearm();
        bio.prepare(self.op, Flags::NONE, self.places.at(self.count, bio.sectors().0));
        self.count += 1;
        bio.submit(&self.dev);
        loop {
            if let Some(ended) = self.queue.take_ended() {
                let ended =
                    self.set.claim(ended).map_err(|_| BenchError("a bio of somebody else's".into()))?;
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
