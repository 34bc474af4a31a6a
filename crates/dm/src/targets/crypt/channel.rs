//! One queue's way into a crypt target. It owns what its I/O takes, and shares the keys and the pools with other queues.

use std::any::Any;
use std::sync::Arc;

use udm_block::{
    Alloc, Bio, Bios, Buffers, Channel, ChannelId, Dispatch, Notice, Op, OpenError, Opening, OwnBio, Status,
};

use super::crypt_io::{CryptIo, Stage};
use super::offload::OffloadChannel;
use super::volume::Volume;

/// The channel of a crypt target.
pub(super) struct CryptChannel {
    pub(super) volume: Arc<Volume>,
    pub(super) lower: ChannelId,
    pub(super) clones: Bios<CryptIo>,
    /// For what is written.
    pub(super) pages: Buffers,
    /// Where the cipher driver is asynchronous.
    pub(super) offload: Option<OffloadChannel>,
}

impl CryptChannel {
    /// Opens the device below, and the queue's own way to the pools.
    // not on the I/O path: once a channel
    pub(super) fn open(volume: &Arc<Volume>, opening: &mut Opening<'_>) -> Result<Self, OpenError> {
        Ok(Self {
            lower: opening.open(&volume.lower)?,
            clones: opening.bios(&volume.clones),
            pages: volume.pages.buffers(),
            offload: volume.offload.as_ref().map(OffloadChannel::of),
            volume: Arc::clone(volume),
        })
    }

    /// Sends a clone down that borrows the client's memory.
    fn read(&mut self, cx: &mut Dispatch, bio: Bio) {
        let sector = bio.sector();
        let Ok(mut clone) = self.clones.alloc(cx, CryptIo::read(sector), Alloc::NoWait) else {
            return self.clones.park(cx, bio);
        };
        clone.clone_of(bio);
        clone.set_sector(self.volume.below(sector));
        cx.submit(self.lower, clone.into_bio());
    }

    /// Encrypts into pages and sends them down.
    fn write(&mut self, cx: &mut Dispatch, bio: Bio) {
        let sector = bio.sector();
        let Ok(mut clone) = self.clones.alloc(cx, CryptIo::write(sector), Alloc::NoWait) else {
            return self.clones.park(cx, bio);
        };
        clone.prepare(Op::Write, bio.flags(), self.volume.below(sector));
        clone.pad_mut().writes = Some(bio);
        self.begin_write(cx, clone);
    }
}

impl Channel for CryptChannel {
    fn submit(&mut self, cx: &mut Dispatch, mut bio: Bio) {
        match bio.op() {
            Op::Read => self.read(cx, bio),
            Op::Write => self.write(cx, bio),
            Op::Flush => cx.submit(self.lower, bio),
            Op::Discard => {
                bio.set_sector(self.volume.below(bio.sector()));
                cx.submit(self.lower, bio);
            }
            Op::WriteZeroes => cx.complete(bio, Status::NotSupported),
        }
    }

    /// A stage of a clone has ended: the next one begins.
    fn end_io(&mut self, cx: &mut Dispatch, bio: OwnBio) {
        let Ok(clone) = self.clones.claim(bio) else { return };
        let ok = clone.status().is_ok();
        match &clone.pad().stage {
            _ if !ok => self.end(cx, clone),
            Stage::Pages => self.begin_write(cx, clone),
            Stage::Cipher(_) => self.go_on(cx, clone),
            Stage::Below if clone.pad().writes.is_some() => self.end(cx, clone),
            Stage::Below => self.decrypt(cx, clone),
        }
    }

    /// The cipher driver takes requests again.
    fn message(&mut self, opening: &mut Opening<'_>, message: Box<dyn Any + Send>) {
        if let (Some(offload), true) = (&mut self.offload, message.is::<Notice>()) {
            offload.has_room(opening.cx());
        }
    }
}
