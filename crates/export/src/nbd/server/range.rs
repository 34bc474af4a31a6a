//! A long zeroing or trim: how far it is, and its next piece.

use udm_block::zeroes::{self, set_zeroes};
use udm_block::{Bytes, Flags, Geometry, Op, Pad, PadBio, SECTOR_SIZE, Sector, Status};

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

/// What a request asks the device for at once.
pub(super) struct Piece {
    op: Op,
    flags: Flags,
    at: Sector,
    pub(super) len: Bytes,
}

impl Range {
    /// The range that `bio` is about to be asked for, if it is one for such. A fast one goes whole: it is done at once, or
    /// nothing of it is.
    pub(super) fn of<P: Pad>(bio: &PadBio<P>) -> Option<Self> {
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
    pub(super) fn piece(&self) -> Bytes {
        (self.piece_end - self.next).bytes()
    }

    /// A piece of it has ended with `status`: whether there is more to do.
    pub(super) fn advance(&mut self, status: Status) -> bool {
        if status == Status::NotSupported && self.may_write && !self.writes {
            self.writes = true;
            return true;
        }
        self.next = self.piece_end;
        status.is_ok() && (self.next < self.end || std::mem::take(&mut self.flush))
    }

    /// Its next piece, on a device with this geometry.
    pub(super) fn next_piece(&mut self, geometry: &Geometry) -> Piece {
        if self.next >= self.end {
            return Piece { op: Op::Flush, flags: Flags::NONE, at: Sector(0), len: Bytes(0) };
        }
        if self.may_write && !geometry.write_zeroes {
            self.writes = true;
        }
        let left = (self.end - self.next).bytes().0;
        let most = if self.writes {
            zeroes::LONGEST.min(u64::from(geometry.max_transfer))
        } else {
            LONGEST_PIECE - self.next.0 * SECTOR_SIZE as u64 % LONGEST_PIECE
        };
        let len = Bytes(left.min(most));
        let mut flags = self.flags;
        if len.0 < left {
            // One flush in the end serves all pieces.
            self.flush |= flags.has(Flags::FUA);
        }
        if self.flush {
            flags = flags.without(Flags::FUA);
        }
        if self.writes {
            flags = flags.without(Flags::NO_UNMAP);
        }
        let (at, op) = (self.next, if self.writes { Op::Write } else { self.op });
        self.piece_end = at + len.sectors();
        Piece { op, flags, at, len }
    }
}

impl Piece {
    /// Has `bio` ask for it.
    pub(super) fn prepare<P: Pad>(self, bio: &mut PadBio<P>) {
        bio.prepare(self.op, self.flags, self.at);
        if self.op == Op::Write {
            set_zeroes(bio, self.len);
        } else {
            bio.set_range(self.len);
        }
    }
}
