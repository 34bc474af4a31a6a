//! A queue's way into a mapped device: finds the row of a bio, splits at its border, and hands the bio to the channel of
//! the row's target.

use udm_block::bio::Piece;
use udm_block::{
    Alloc, Bio, BioSet, Bios, Bytes, Channel, ChannelId, Dispatch, Flags, Geometry, Op, OpenError, Opening,
    OwnBio, Pad, PadBio, Sector, Sectors, Status,
};

use super::row::MappedRow;

/// The channel of a mapped device.
pub(super) struct MappedChannel {
    rows: Box<[Row]>,
    pieces: Bios<Piece>,
    flushes: Bios<FlushWalk>,
}

/// A row, as this queue has it open.
struct Row {
    start: Sector,
    end: Sector,
    target: ChannelId,
    has_cache: bool,
    /// The longest bio of each of [`OPS`] that it takes at once: whole blocks of the mapped device.
    longest: [Bytes; OPS.len()],
}

/// The operations, each at its own number.
const OPS: [Op; 5] = [Op::Read, Op::Write, Op::Flush, Op::Discard, Op::WriteZeroes];
const _: () = assert!(OPS[OPS.len() - 1] as usize == OPS.len() - 1);

/// The pad of the flush that visits all rows.
pub(super) struct FlushWalk {
    next: usize,
}

impl Pad for FlushWalk {}

impl MappedChannel {
    /// Opens the target of each row, of a device with blocks of `block` bytes.
    // not on the I/O path: once a channel
    pub(super) fn open(
        rows: &[MappedRow],
        block: u64,
        pieces: &BioSet<Piece>,
        flushes: &BioSet<FlushWalk>,
        opening: &mut Opening<'_>,
    ) -> Result<Self, OpenError> {
        let rows = rows.iter().map(|row| Row::open(row, block, opening)).collect::<Result<_, _>>()?;
        Ok(Self { rows, pieces: opening.bios(pieces), flushes: opening.bios(flushes) })
    }

    /// The row that `sector` is in. The caller's bio is within the device, which has no gap, and has at least a sector.
    #[inline]
    fn row(&self, sector: Sector) -> &Row {
        match &*self.rows {
            [row] => row,
            rows => &rows[rows.partition_point(|row| row.end <= sector)],
        }
    }

    /// Sends a bio with data, or about a range, to its row; splits it where it leaves the row, or is too long for it.
    #[inline]
    fn map(&mut self, cx: &mut Dispatch, bio: Bio) {
        let row = self.row(bio.sector());
        let room = (row.end - bio.sector()).bytes().min(row.longest[bio.op() as usize]);
        let (start, target) = (row.start, row.target);
        if bio.len() <= room {
            return hand_on(cx, bio, start, target);
        }
        match bio.split(cx, room, &mut self.pieces, Alloc::NoWait) {
            Ok(split) => {
                hand_on(cx, split.front, start, target);
                cx.again(split.rest);
            }
            Err(bio) => self.pieces.park(cx, bio),
        }
    }

    /// Sends a flush to every row that has something to flush, one after the other, and then the bio that wanted it.
    fn flush_all(&mut self, cx: &mut Dispatch, bio: Bio) {
        let Ok(mut walk) = self.flushes.alloc(cx, FlushWalk { next: 0 }, Alloc::NoWait) else {
            return self.flushes.park(cx, bio);
        };
        walk.set_parent(bio);
        self.walk_on(cx, walk);
    }

    /// Flushes the next row, or ends the walk.
    fn walk_on(&mut self, cx: &mut Dispatch, mut walk: PadBio<FlushWalk>) {
        let next = walk.pad().next;
        let Some(step) = self.rows[next..].iter().position(|row| row.has_cache) else {
            return self.end_walk(cx, walk, Status::Ok);
        };
        walk.pad_mut().next = next + step + 1;
        walk.rearm();
        walk.prepare(Op::Flush, Flags::NONE, Sector(0));
        cx.submit(self.rows[next + step].target, walk.into_bio());
    }

    /// Everything below is flushed, or something failed: the bio that wanted it ends, or goes on with its data.
    fn end_walk(&mut self, cx: &mut Dispatch, mut walk: PadBio<FlushWalk>, status: Status) {
        let parent = walk.take_parent();
        self.flushes.free(walk);
        let Some(mut parent) = parent else { return };
        if parent.op() == Op::Flush || !status.is_ok() {
            return cx.complete(parent, status);
        }
        parent.set_flags(parent.flags().without(Flags::PREFLUSH));
        cx.again(parent);
    }
}

/// Sends a bio to the target of the row that it lies in. The target counts sectors from the row's start.
#[inline]
fn hand_on(cx: &mut Dispatch, mut bio: Bio, start: Sector, target: ChannelId) {
    bio.set_sector(Sector(bio.sector().0 - start.0));
    cx.submit(target, bio);
}

impl Row {
    // not on the I/O path: once a channel
    fn open(row: &MappedRow, block: u64, opening: &mut Opening<'_>) -> Result<Self, OpenError> {
        let MappedRow { start, end, target } = row;
        let geometry = Geometry { size: Sectors(end.0 - start.0), ..target.geometry() };
        let channel = opening.open_part(geometry, |opening| target.open(opening))?;
        let longest = |op: Op| {
            let limit = if op.has_data() { u64::from(geometry.max_transfer) } else { u64::MAX };
            Bytes((target.longest(op).0.min(limit) / block * block).max(block))
        };
        Ok(Self {
            start: *start,
            end: *end,
            target: channel,
            has_cache: target.has_cache(),
            longest: OPS.map(longest),
        })
    }
}

impl Channel for MappedChannel {
    #[inline]
    fn submit(&mut self, cx: &mut Dispatch, bio: Bio) {
        let flushes = bio.op() == Op::Flush || bio.flags().has(Flags::PREFLUSH);
        match &*self.rows {
            // One row is flushed by the bio itself: the target passes the wish on. A flush has no place.
            [row] if bio.op() == Op::Flush && row.has_cache => cx.submit(row.target, bio),
            [row] if flushes && row.has_cache && !bio.is_empty() => self.map(cx, bio),
            _ if flushes => self.flush_all(cx, bio),
            // It may stand behind the last sector, where there is no row.
            _ if bio.is_empty() => cx.complete(bio, Status::Ok),
            _ => self.map(cx, bio),
        }
    }

    fn end_io(&mut self, cx: &mut Dispatch, bio: OwnBio) {
        let bio = match self.pieces.claim(bio) {
            Ok(piece) => return self.pieces.end_piece(cx, piece),
            Err(bio) => bio,
        };
        let Ok(walk) = self.flushes.claim(bio) else { return };
        match walk.status() {
            Status::Ok => self.walk_on(cx, walk),
            status => self.end_walk(cx, walk, status),
        }
    }
}
