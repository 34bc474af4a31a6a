//! What the requests of one client are made of: bios, and buffers for data.

use udm_block::memory::Source;
use udm_block::mempool::NoReserve;
use udm_block::{
    Alloc, BioSet, BioSetOptions, Bios, Buffers, Bytes, Dispatch, Flags, OwnBio, PadBio, PagePool,
    PagePoolOptions, Queue, Sector,
};

use super::steps::Pending;
use crate::serving::{Budget, DEPTH};

/// The bios and buffers of a connection's requests.
pub(super) struct RequestMemory {
    bios: Bios<Pending>,
    buffers: Buffers,
}

impl RequestMemory {
    /// What `budget` says, of `source`, for the user of `queue`.
    pub(super) fn new(queue: &Queue, budget: &Budget, source: &Source) -> Result<Self, NoReserve> {
        // A client's bio waits for what lies below alone, and there are never more than DEPTH.
        let bios = BioSetOptions {
            reserve: budget.bios,
            limit: DEPTH,
            stock: DEPTH,
            ..BioSetOptions::named("nbd requests")
        };
        let pages = PagePoolOptions {
            name: "nbd data",
            largest: budget.longest,
            reserve: budget.buffers,
            limit: budget.limit,
            // This queue is the pool's only user.
            stock: budget.limit,
        };
        let (bios, pages) = (BioSet::new(&bios, source)?, PagePool::new(pages, source)?);
        Ok(Self { bios: queue.bios(&bios), buffers: pages.buffers() })
    }

    /// The longest buffer, in bytes.
    pub(super) fn longest(&self) -> u64 {
        self.buffers.largest().0
    }

    /// A bio with the memory that it needs, when there is enough.
    pub(super) fn make(&mut self, cx: &mut Dispatch, pending: Pending) -> Option<PadBio<Pending>> {
        let (op, len) = (pending.work.op, Bytes(pending.memory()));
        let pages = if len.0 > 0 { Some(self.buffers.alloc(cx, len, Alloc::NoWait)?) } else { None };
        let mut bio = self.bios.alloc(cx, pending, Alloc::NoWait).ok()?;
        bio.prepare(op, Flags::NONE, Sector(0));
        if let Some(pages) = pages {
            bio.set_pages(pages, len);
        }
        Some(bio)
    }

    /// The bio of a request that has ended on the queue.
    pub(super) fn claim(&self, bio: OwnBio) -> PadBio<Pending> {
        self.bios.claim(bio).ok().expect("this queue has no bios of another set")
    }

    /// Takes the bio of a request that is over, for the next one.
    pub(super) fn free(&mut self, mut bio: PadBio<Pending>) {
        if let Some(pages) = bio.take_pages() {
            self.buffers.free(pages);
        }
        self.bios.free(bio);
    }
}
