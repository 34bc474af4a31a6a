//! The mapped device: finds the row of a bio, splits at its border, and hands the bio to the row's target (the
//! kernel's `dm.c`).

use std::sync::Arc;

use udm_block::bio::Piece;
use udm_block::memory::Source;
use udm_block::mempool::NoReserve;
use udm_block::submit::{again, resubmit, stay_at_called_device};
use udm_block::{
    Alloc, Bio, BioSet, BioSetOptions, Bytes, Device, DeviceRef, Flags, Geometry, LEAST_TRANSFER, Op, Pad,
    PadBio, Sector, Sectors, Status,
};

use crate::targets::{Reserves, Target};

/// A row of a table at work: the sectors from `start` up to `end`.
pub struct MappedRow {
    /// Its first sector on the mapped device.
    pub start: Sector,
    /// The sector behind its last one.
    pub end: Sector,
    /// What it maps them to.
    pub target: Box<dyn Target>,
}

/// A device made of rows without a gap.
pub struct MappedDevice {
    rows: Arc<[MappedRow]>,
    geometry: Geometry,
    pieces: BioSet<Piece>,
    flushes: BioSet<FlushWalk>,
}

/// The device that a flush of one row is submitted to. A target is called by a device's driver alone, so that a flush
/// which it parks comes back to it, and to no other.
struct FlushRow {
    rows: Arc<[MappedRow]>,
    index: usize,
}

/// What the flushes of all rows share: the rows, and for each the device that takes its flush.
struct Flushes {
    rows: Arc<[MappedRow]>,
    devices: Box<[DeviceRef]>,
}

impl MappedDevice {
    /// A device of these rows, which begin at sector 0, lie in order, and leave no gap.
    ///
    /// # Errors
    /// When there is no memory for the reserves of its bios.
    ///
    /// # Panics
    /// When there is no row, or the last one ends behind [`udm_block::LONGEST_DEVICE`].
    pub fn new(rows: Vec<MappedRow>, source: &Source, reserves: Reserves) -> Result<Self, NoReserve> {
        let geometry = stacked_geometry(&rows);
        let rows: Arc<[MappedRow]> = rows.into();
        // A piece waits for what lies below it alone, and a walk is one flush after another: neither waits for
        // another of its set.
        let pieces = BioSetOptions { reserve: reserves.bios, ..BioSetOptions::named("dm pieces") };
        let reserve = reserves.bios.min(4);
        let flushes = BioSetOptions { reserve, limit: 64, magazine: 4, ..BioSetOptions::named("dm flushes") };
        Ok(Self {
            pieces: BioSet::new(&pieces, source, ())?,
            flushes: BioSet::new(&flushes, source, Flushes::of(&rows))?,
            rows,
            geometry,
        })
    }

    /// The row that `sector` is in. The caller's bio is within the device, which has no gap, and has at least a sector.
    fn row(&self, sector: Sector) -> &MappedRow {
        match &*self.rows {
            [row] => row,
            rows => &rows[rows.partition_point(|row| row.end <= sector)],
        }
    }

    /// Sends a flush to every row that has something to flush, one after the other, and then the bio that wanted it.
    fn flush_all(&self, mut bio: Bio) {
        let Ok(mut walk) = self.flushes.alloc(FlushWalk { next: 0 }, Alloc::NoWait) else {
            return self.flushes.park(bio);
        };
        stay_at_called_device(&mut bio);
        walk.set_parent(bio);
        walk_on(walk);
    }
}

/// What a device of these rows can do: what all of them can.
fn stacked_geometry(rows: &[MappedRow]) -> Geometry {
    let size = rows.last().map(|row| Sectors(row.end.0)).expect("a table has at least one row");
    let start = Geometry { discard: true, write_zeroes: true, write_cache: false, ..Geometry::plain(size) };
    rows.iter().map(|row| row.target.geometry()).fold(start, |all, row| Geometry {
        size,
        padding: 0,
        logical_block: all.logical_block.max(row.logical_block),
        max_transfer: u32::MAX,
        memory_alignment: all.memory_alignment.max(row.memory_alignment),
        read_only: all.read_only || row.read_only,
        discard: all.discard && row.discard,
        write_zeroes: all.write_zeroes && row.write_zeroes,
        write_cache: all.write_cache || row.write_cache,
    })
}

impl std::fmt::Debug for MappedDevice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let rows: Vec<_> = self.rows.iter().map(|row| row.start..row.end).collect();
        f.debug_struct("MappedDevice")
            .field("rows", &rows)
            .field("geometry", &self.geometry)
            .finish_non_exhaustive()
    }
}

impl Device for MappedDevice {
    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn submit(&self, bio: Bio) {
        let flushes = bio.op() == Op::Flush || bio.flags().has(Flags::PREFLUSH);
        match &*self.rows {
            // One row is flushed by the bio itself: the target passes the wish on. A flush has no place.
            [row] if bio.op() == Op::Flush && row.target.has_cache() => {
                return row.target.map(bio, Sector(0));
            }
            [row] if flushes && row.target.has_cache() && !bio.is_empty() => {}
            _ if flushes => return self.flush_all(bio),
            // It may stand behind the last sector, where there is no row.
            _ if bio.is_empty() => return bio.complete(Status::Ok),
            _ => {}
        }
        let row = self.row(bio.sector());
        let room = (row.end - bio.sector()).bytes().min(self.longest(row, &bio));
        if bio.len() <= room {
            let sector = Sector(bio.sector().0 - row.start.0);
            return row.target.map(bio, sector);
        }
        match bio.split(room, &self.pieces, Alloc::NoWait) {
            Ok(split) => {
                let sector = Sector(split.front.sector().0 - row.start.0);
                row.target.map(split.front, sector);
                again(split.rest);
            }
            Err(bio) => self.pieces.park(bio),
        }
    }

    fn prepare_thread(&self) {
        self.pieces.prepare_thread();
        self.flushes.prepare_thread();
        self.rows.iter().for_each(|row| row.target.prepare_thread());
    }
}

impl MappedDevice {
    /// Ends the device. No bio of it is under way; a thread that has ended the last one may still be on its way out of
    /// a target, and is waited for. So when this returns no key of it is left.
    pub(crate) fn retire(self) {
        let Self { rows, pieces, flushes, .. } = self;
        // Free bios refer to where they went last, and so to the rows.
        drop((pieces, flushes));
        // Nothing else shares the rows for long.
        while Arc::strong_count(&rows) > 1 || !rows.iter().all(|row| row.target.is_at_rest()) {
            std::thread::yield_now();
        }
    }

    /// The longest bio of the operation of `bio` that a row takes, as whole blocks of this device; or more than `bio`.
    fn longest(&self, row: &MappedRow, bio: &Bio) -> Bytes {
        if bio.len() <= LEAST_TRANSFER {
            return LEAST_TRANSFER;
        }
        let op = bio.op();
        let block = u64::from(self.geometry.logical_block);
        let limit = if op.has_data() { u64::from(row.target.geometry().max_transfer) } else { u64::MAX };
        Bytes((row.target.longest(op).0.min(limit) / block * block).max(block))
    }
}

/// The pad of the flush that visits all rows.
struct FlushWalk {
    next: usize,
}

/// Flushes the next row, or ends the walk.
fn walk_on(mut walk: PadBio<FlushWalk>) {
    let (next, Flushes { rows, devices }) = (walk.pad().next, walk.context());
    let Some(step) = rows[next..].iter().position(|row| row.target.has_cache()) else {
        return end_walk(walk, Status::Ok);
    };
    let device = DeviceRef::clone(&devices[next + step]);
    walk.pad_mut().next = next + step + 1;
    walk.rearm();
    walk.prepare(Op::Flush, Flags::NONE, Sector(0));
    walk.submit(&device);
}

impl Flushes {
    fn of(rows: &Arc<[MappedRow]>) -> Self {
        let device = |index| Arc::new(FlushRow { rows: Arc::clone(rows), index }) as DeviceRef;
        Self { rows: Arc::clone(rows), devices: (0..rows.len()).map(device).collect() }
    }
}

impl Device for FlushRow {
    fn geometry(&self) -> Geometry {
        self.rows[self.index].target.geometry()
    }

    fn submit(&self, bio: Bio) {
        self.rows[self.index].target.map(bio, Sector(0));
    }
}

/// Everything below is flushed, or something failed: the bio that wanted it ends, or goes on with its data.
fn end_walk(mut walk: PadBio<FlushWalk>, status: Status) {
    let Some(mut parent) = walk.take_parent() else { return };
    drop(walk);
    if parent.op() == Op::Flush || !status.is_ok() {
        return parent.complete(status);
    }
    parent.set_flags(parent.flags().without(Flags::PREFLUSH));
    resubmit(parent);
}

impl Pad for FlushWalk {
    type Context = Flushes;

    fn end_io(walk: PadBio<Self>) {
        match walk.status() {
            Status::Ok => walk_on(walk),
            status => end_walk(walk, status),
        }
    }
}
