//! A queue's way into a row of stripes.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use udm_block::bio::Piece;
use udm_block::{
    Alloc, Bio, Bios, Channel, ChannelId, Dispatch, Flags, Op, OpenError, Opening, OwnBio, PadBio, Sector,
    Sectors, Status,
};

use super::pads::{StripeIo, Walk};
use super::shared::Shared;

/// The channel of a row of stripes.
pub(super) struct StripedChannel {
    shared: Arc<Shared>,
    stripes: Box<[Stripe]>,
    pieces: Bios<Piece>,
    clones: Bios<StripeIo>,
    walks: Bios<Walk>,
}

/// A stripe, as this queue has it open.
struct Stripe {
    lower: ChannelId,
    start: Sector,
}

impl StripedChannel {
    /// Opens the devices, each once.
    // not on the I/O path: once a channel
    pub(super) fn open(shared: &Arc<Shared>, opening: &mut Opening<'_>) -> Result<Self, OpenError> {
        let mut stripes = Vec::with_capacity(shared.devices.len());
        for (device, arg) in shared.devices.iter().zip(&shared.spec.devices) {
            stripes.push(Stripe { lower: opening.open(device)?, start: arg.start });
        }
        Ok(Self {
            stripes: stripes.into(),
            pieces: opening.bios(&shared.pieces),
            clones: opening.bios(&shared.clones),
            walks: opening.bios(&shared.walks),
            shared: Arc::clone(shared),
        })
    }

    /// Sends what is in one chunk to its stripe, and splits a bio that leaves its chunk.
    fn transfer(&mut self, cx: &mut Dispatch, bio: Bio) {
        let room = Sectors(self.shared.layout.left_in_chunk(bio.sector())).bytes();
        if bio.len() <= room {
            return self.send(cx, bio);
        }
        match bio.split(cx, room, &mut self.pieces, Alloc::NoWait) {
            Ok(split) => {
                self.send(cx, split.front);
                cx.again(split.rest);
            }
            Err(bio) => self.pieces.park(cx, bio),
        }
    }

    /// Sends a clone of a bio below: its end is counted where it fails.
    fn send(&mut self, cx: &mut Dispatch, bio: Bio) {
        let (stripe, there) = self.shared.layout.place(bio.sector());
        let Ok(mut clone) = self.clones.alloc(cx, StripeIo { stripe }, Alloc::NoWait) else {
            return self.clones.park(cx, bio);
        };
        let Stripe { lower, start } = self.stripes[stripe];
        clone.clone_of(bio);
        clone.set_sector(start + Sectors(there));
        cx.submit(lower, clone.into_bio());
    }

    /// Begins a walk that does `op` on all stripes, for `bio`.
    fn begin_walk(&mut self, cx: &mut Dispatch, bio: Bio, op: Op) {
        let Ok(mut walk) = self.walks.alloc(cx, Walk { op, next: 0 }, Alloc::NoWait) else {
            return self.walks.park(cx, bio);
        };
        walk.set_parent(bio);
        self.walk_on(cx, walk);
    }

    /// Visits the next stripe that has something of the walk, or ends it.
    fn walk_on(&mut self, cx: &mut Dispatch, mut walk: PadBio<Walk>) {
        while let Some(&Stripe { lower, start }) = self.stripes.get(walk.pad().next) {
            let stripe = walk.pad().next;
            walk.pad_mut().next += 1;
            if self.prepare(&mut walk, stripe, start) {
                return cx.submit(lower, walk.into_bio());
            }
        }
        self.end_walk(cx, walk, Status::Ok);
    }

    /// Makes the walk about what its bio has of `stripe`: whether there is something.
    fn prepare(&self, walk: &mut PadBio<Walk>, stripe: usize, start: Sector) -> bool {
        let op = walk.pad().op;
        walk.rearm();
        if op == Op::Flush {
            walk.prepare(op, Flags::NONE, Sector(0));
            return true;
        }
        let Some((first, end, flags)) =
            walk.parent().and_then(|bio| Some((bio.sector(), bio.end()?, bio.flags())))
        else {
            return false;
        };
        let layout = &self.shared.layout;
        let (from, to) = (layout.before(stripe, first), layout.before(stripe, end));
        walk.prepare(op, flags, start + Sectors(from));
        walk.set_range(Sectors(to - from).bytes());
        to > from
    }

    /// All stripes are visited, or one failed. A bio that wanted a flush before its data goes on with them.
    fn end_walk(&mut self, cx: &mut Dispatch, mut walk: PadBio<Walk>, status: Status) {
        let (op, parent) = (walk.pad().op, walk.take_parent());
        self.walks.free(walk);
        let Some(mut bio) = parent else { return };
        if op == bio.op() || !status.is_ok() {
            return cx.complete(bio, status);
        }
        bio.set_flags(bio.flags().without(Flags::PREFLUSH));
        cx.again(bio);
    }

    /// Counts an I/O of `stripe` that failed. Those that a device does not know are no errors.
    fn note(&self, stripe: usize, status: Status) {
        if !status.is_ok() && status != Status::NotSupported {
            self.shared.errors[stripe].fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Channel for StripedChannel {
    fn submit(&mut self, cx: &mut Dispatch, bio: Bio) {
        match bio.op() {
            Op::Flush => self.begin_walk(cx, bio, Op::Flush),
            // Its data goes to some stripes, what it wants flushed is on all of them.
            _ if bio.flags().has(Flags::PREFLUSH) => self.begin_walk(cx, bio, Op::Flush),
            Op::Read | Op::Write => self.transfer(cx, bio),
            op @ (Op::Discard | Op::WriteZeroes) => self.begin_walk(cx, bio, op),
        }
    }

    fn end_io(&mut self, cx: &mut Dispatch, bio: OwnBio) {
        let bio = match self.clones.claim(bio) {
            Ok(mut clone) => {
                let (status, parent) = (clone.status(), clone.take_parent());
                self.note(clone.pad().stripe, status);
                self.clones.free(clone);
                return parent.into_iter().for_each(|bio| cx.complete(bio, status));
            }
            Err(bio) => bio,
        };
        let bio = match self.pieces.claim(bio) {
            Ok(piece) => return self.pieces.end_piece(cx, piece),
            Err(bio) => bio,
        };
        let Ok(walk) = self.walks.claim(bio) else { return };
        let status = walk.status();
        self.note(walk.pad().next - 1, status);
        if status.is_ok() { self.walk_on(cx, walk) } else { self.end_walk(cx, walk, status) }
    }
}
