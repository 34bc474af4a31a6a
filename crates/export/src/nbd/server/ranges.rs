//! Zeroing and trimming of long ranges: piece by piece, and those of one client in turns.
//!
//! One request may be about 4 GiB, and a device may take minutes to write so many zeros. So no request goes down whole:
//! each has one piece at a time on the device, a client has at most [`PIECES`] long ones on it at once, and a request whose
//! piece has ended goes to the end of the queue. What is not on the device yet is forgotten when nobody waits for it any more.

use std::collections::VecDeque;

use udm_block::zeroes::{self, set_zeroes};
use udm_block::{Bytes, ChannelId, Flags, Geometry, Op, PadBio, Queue, SECTOR_SIZE, Sector, Status};

use super::steps::Pending;

/// How many pieces of a client are on the device at once, and more only while they are short.
pub(super) const PIECES: usize = 8;
/// How many bytes short ones may be about together.
const SHORT: u64 = PIECES as u64 * zeroes::LONGEST;
/// The longest piece for which the device has an operation, in bytes. Pieces end at multiples of it, so that a trim is
/// not cut within what the device can discard.
pub(super) const LONGEST_PIECE: u64 = 32 << 20;

/// How far a request is: a part of its bio's pad.
pub(super) struct Range {
    op: Op,
    flags: Flags,
    /// What is left of it.
    next: Sector,
    end: Sector,
    /// Where the piece on the device ends.
    piece_end: Sector,
    /// Whether zeros may be written where the device has no operation for them.
    may_write: bool,
    /// Whether they are.
    writes: bool,
    /// Whether a flush is due, as the pieces were not asked for `FUA` one by one.
    flush: bool,
}

impl Range {
    /// The range that `bio` is about to be asked for, if it is one for such. A fast one goes whole: it is done at once, or
    /// nothing of it is.
    pub(super) fn of(bio: &PadBio<Pending>) -> Option<Self> {
        let is_long = matches!(bio.op(), Op::WriteZeroes | Op::Discard) && !bio.flags().has(Flags::FAST);
        let end = bio.end().filter(|_| is_long)?;
        Some(Self {
            op: bio.op(),
            flags: bio.flags(),
            next: bio.sector(),
            end,
            piece_end: bio.sector(),
            may_write: bio.op() == Op::WriteZeroes,
            writes: false,
            flush: false,
        })
    }

    /// How long the piece on the device is.
    fn piece(&self) -> Bytes {
        (self.piece_end - self.next).bytes()
    }

    /// A piece of it has ended with `status`: whether there is more to do.
    fn advance(&mut self, status: Status) -> bool {
        if status == Status::NotSupported && self.may_write && !self.writes {
            self.writes = true;
            return true;
        }
        self.next = self.piece_end;
        status.is_ok() && (self.next < self.end || std::mem::take(&mut self.flush))
    }
}

/// The requests of a client that have a range.
pub(super) struct Ranges {
    waiting: VecDeque<PadBio<Pending>>,
    on_device: usize,
    bytes_on_device: u64,
    /// Whether nobody waits for them any more.
    is_over: bool,
}

/// What becomes of a request whose bio has ended.
pub(super) enum Ended {
    /// It is done, or has failed.
    Answer(PadBio<Pending>),
    /// No more of it is done.
    Undone(PadBio<Pending>),
    /// It has another turn.
    GoesOn,
}

impl Ranges {
    /// Room for `depth` requests, made once.
    pub(super) fn new(depth: usize) -> Self {
        Self { waiting: VecDeque::with_capacity(depth), on_device: 0, bytes_on_device: 0, is_over: false }
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.on_device == 0
    }

    /// Whether [`Ranges::end`] was called.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Takes a request, which has its turn after those that are here.
    pub(super) fn put(&mut self, bio: PadBio<Pending>) {
        self.waiting.push_back(bio);
    }

    /// A bio has ended: what becomes of its request.
    pub(super) fn ended(&mut self, mut bio: PadBio<Pending>) -> Ended {
        let status = bio.status();
        let Some(range) = &mut bio.pad_mut().range else { return Ended::Answer(bio) };
        self.on_device -= 1;
        self.bytes_on_device -= range.piece().0;
        if !range.advance(status) {
            bio.pad_mut().range = None;
            return Ended::Answer(bio);
        }
        if self.is_over {
            return Ended::Undone(bio);
        }
        bio.rearm();
        self.waiting.push_back(bio);
        Ended::GoesOn
    }

    /// Gives the device pieces by `queue`, as many as it may have.
    pub(super) fn go_on(&mut self, queue: &mut Queue, device: ChannelId) {
        while self.on_device < PIECES || self.bytes_on_device < SHORT {
            let Some(mut bio) = self.waiting.pop_front() else { return };
            self.bytes_on_device += prepare(&mut bio, &queue.geometry(device)).0;
            self.on_device += 1;
            queue.submit(device, bio);
        }
    }

    /// Does no more of any: those that have a piece on the device end with it.
    pub(super) fn end(&mut self) {
        self.is_over = true;
    }

    /// One of those that have none.
    pub(super) fn take_waiting(&mut self) -> Option<PadBio<Pending>> {
        self.waiting.pop_front()
    }
}

/// Makes the next piece of `bio`: how long it is.
fn prepare(bio: &mut PadBio<Pending>, geometry: &Geometry) -> Bytes {
    let range = bio.pad_mut().range.as_mut().expect("one that has a range");
    if range.next >= range.end {
        bio.prepare(Op::Flush, Flags::NONE, Sector(0));
        bio.set_range(Bytes(0));
        return Bytes(0);
    }
    if range.may_write && !geometry.write_zeroes {
        range.writes = true;
    }
    let left = (range.end - range.next).bytes().0;
    let most = if range.writes {
        zeroes::LONGEST.min(u64::from(geometry.max_transfer))
    } else {
        LONGEST_PIECE - range.next.0 * SECTOR_SIZE as u64 % LONGEST_PIECE
    };
    let len = Bytes(left.min(most));
    let mut flags = range.flags;
    if len.0 < left {
        // One flush in the end serves all pieces.
        range.flush |= flags.has(Flags::FUA);
    }
    if range.flush {
        flags = flags.without(Flags::FUA);
    }
    let (at, op) = (range.next, if range.writes { Op::Write } else { range.op });
    range.piece_end = at + len.sectors();
    if range.writes {
        bio.prepare(op, flags.without(Flags::NO_UNMAP), at);
        set_zeroes(bio, len);
    } else {
        bio.prepare(op, flags, at);
        bio.set_range(len);
    }
    len
}
