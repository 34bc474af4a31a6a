//! The copy itself: pieces of the source on their way to the destination, many at once.
//!
//! A piece is one bio. It is read into pages of its own, and these are what the destination writes from: where the source
//! is encrypted they are decrypted in place, and where the destination is, its cipher reads them. So no byte is copied
//! from one buffer to another for the copy's sake. What of a piece need not be written is split off its bio and ended.

use std::sync::Arc;
use std::time::Duration;

use udm_block::bio::Piece as Part;
use udm_block::memory::{Heap, Source};
use udm_block::{
    Alloc, Bio, BioSet, BioSetOptions, Bios, Buffers, Bytes, ChannelId, DeviceRef, Flags, Op, OwnBio, Pad,
    PadBio, PagePool, PagePoolOptions, Queue, SECTOR_SIZE, Sector, Status,
};

use super::error::{ConvertError, Doing};
use super::plan::Plan;
use super::runs::{Run, Runs};

/// How much one bio moves at most, in bytes.
const PIECE: u64 = 1 << 20;
/// How many pieces are under way at once.
pub(super) const DEPTH: usize = 16;
/// The longest range that is zeroed at once, in bytes.
const LONGEST_ZEROS: u64 = 1 << 30;
/// How often somebody is told how far it is, where nothing else happens.
const TICK: Duration = Duration::from_millis(100);

/// What becomes of zeros.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Zeros {
    /// They are data: a hole in ciphertext reads as garbage.
    Write,
    /// The destination has them where nothing was written. At least so many bytes in a row are left out.
    Leave(usize),
    /// The destination has an operation for them. It is used for at least so many bytes in a row.
    Zero(usize),
}

/// Hears of the copy, and may end it.
pub(super) trait Watcher {
    /// All before byte `position` is copied. Called often.
    fn reached(&mut self, position: u64);

    /// Whether all before byte `position` is to be made durable now.
    fn wants_durable(&mut self, position: u64) -> bool;

    /// All before byte `position` is durable.
    ///
    /// # Errors
    /// Those end the copy.
    fn durable(&mut self, position: u64) -> Result<(), ConvertError>;

    /// Whether the copy is to stop where it is.
    fn stops(&self) -> bool;
}

/// How much of what was copied, in bytes.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Amounts {
    /// Read from the source.
    pub(super) read: u64,
    /// Written to the destination.
    pub(super) written: u64,
    /// Left out, or zeroed without data.
    pub(super) zeros: u64,
}

/// The pad: what the bio does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Role {
    /// Reads the piece of a slot.
    Read(usize),
    /// Writes it.
    Write(usize),
    /// Zeroes a part of it.
    Zero(usize),
    /// Makes all before this byte durable.
    Flush(u64),
}

impl Pad for Role {}

/// A piece that is under way.
#[derive(Clone, Copy)]
struct Slot {
    at: u64,
    len: u64,
    /// How many bios it has.
    bios: usize,
}

/// A copy from one device to another.
pub(super) struct CopyRun {
    queue: Queue,
    source: ChannelId,
    destination: ChannelId,
    /// How much a piece has, in bytes.
    piece: u64,
    zeros: Zeros,
    bios: Bios<Role>,
    /// These are apart: a piece has its own whatever they take.
    zeroing: Bios<Role>,
    parts: Bios<Part>,
    buffers: Buffers,
    slots: [Option<Slot>; DEPTH],
    /// Of the piece that is being written.
    runs: Vec<Run>,
    is_flushing: bool,
    amounts: Amounts,
    failed: Option<ConvertError>,
    /// Where the first byte is that was not copied for an error.
    failed_at: u64,
}

impl CopyRun {
    /// A copy, on a queue of its own.
    ///
    /// # Errors
    /// When there is no memory or no descriptor left, or a device cannot be opened.
    pub(super) fn new(
        source: &DeviceRef,
        destination: &DeviceRef,
        zeros: Zeros,
    ) -> Result<Self, ConvertError> {
        let memory: Source = Arc::new(Heap);
        let named = BioSetOptions::named;
        // One for each piece, and one for the flush.
        let bios = BioSetOptions { reserve: DEPTH + 1, limit: 0, stock: 0, ..named("convert") };
        let mut queue = Queue::new()?;
        let (one, other) = (queue.open(source)?, queue.open(destination)?);
        Ok(Self {
            source: one,
            destination: other,
            piece: piece_between(source, destination),
            zeros,
            bios: queue.bios(&BioSet::new(&bios, &memory)?),
            zeroing: queue.bios(&BioSet::new(&named("convert zeros"), &memory)?),
            parts: queue.bios(&BioSet::new(&named("convert parts"), &memory)?),
            buffers: PagePool::new(page_options(DEPTH), &memory)?.buffers(),
            queue,
            slots: [None; DEPTH],
            runs: Vec::with_capacity(PIECE as usize / 4096),
            is_flushing: false,
            amounts: Amounts::default(),
            failed: None,
            failed_at: u64::MAX,
        })
    }

    /// Copies what `plan` has, and makes it durable. What is under way is finished also where it ends early.
    ///
    /// # Errors
    /// The first error of any piece, or that the watcher stopped it. What was copied until then is durable, and the
    /// watcher knows how far that goes.
    pub(super) fn run(
        mut self,
        mut plan: Plan<'_>,
        watcher: &mut dyn Watcher,
    ) -> Result<Amounts, ConvertError> {
        loop {
            while self.failed.is_none() && !watcher.stops() && self.begin(&mut plan) {}
            if self.slots.iter().all(Option::is_none) && !self.is_flushing {
                break;
            }
            let position = self.position(&plan);
            watcher.reached(position);
            if !self.is_flushing && self.failed.is_none() && watcher.wants_durable(position) {
                self.flush(position);
            }
            if !self.take_ended(watcher) {
                self.queue.wait(&mut [], Some(TICK))?;
            }
        }
        let position = self.position(&plan);
        self.flush(position);
        while self.is_flushing {
            if !self.take_ended(watcher) {
                self.queue.wait(&mut [], None)?;
            }
        }
        match self.failed {
            Some(error) => Err(error),
            None if watcher.stops() => Err(ConvertError::Stopped { position }),
            None => Ok(self.amounts),
        }
    }

    /// All before this byte is copied.
    fn position(&self, plan: &Plan<'_>) -> u64 {
        let under_way = self.slots.iter().flatten().map(|slot| slot.at).min();
        under_way.unwrap_or(plan.position()).min(plan.position()).min(self.failed_at)
    }

    /// Begins the next piece: whether there was one, and room for it.
    fn begin(&mut self, plan: &mut Plan<'_>) -> bool {
        let Some(slot) = self.slots.iter().position(Option::is_none) else { return false };
        let longest_hole = match self.zeros {
            Zeros::Write => self.piece,
            Zeros::Leave(_) => u64::MAX,
            Zeros::Zero(_) => LONGEST_ZEROS,
        };
        let Some(piece) = plan.next(self.piece, longest_hole) else { return false };
        let (at, len) = (piece.at, piece.len);
        match self.zeros {
            Zeros::Leave(_) if piece.is_hole => {
                self.amounts.zeros += len;
                return true;
            }
            Zeros::Zero(_) if piece.is_hole => {
                self.slots[slot] = Some(Slot { at, len, bios: 0 });
                if !self.zero(slot, at, len) {
                    self.fail(slot, Doing::Zero, Status::DevResource);
                    self.release(slot);
                }
                return true;
            }
            _ => {}
        }
        self.slots[slot] = Some(Slot { at, len, bios: 1 });
        let cx = self.queue.cx();
        let pages = self.buffers.alloc(cx, Bytes(len), Alloc::NoWait).expect("there are pages for each slot");
        let mut bio =
            self.bios.alloc(cx, Role::Read(slot), Alloc::NoWait).expect("there is a bio for each slot");
        bio.prepare(Op::Read, Flags::NONE, sector_of(at));
        bio.set_pages(pages, Bytes(len));
        if piece.is_hole {
            bio.data_mut().fill(0);
            self.write(bio, slot);
        } else {
            self.queue.submit(self.source, bio);
        }
        true
    }

    /// Takes what has ended: whether there was anything.
    fn take_ended(&mut self, watcher: &mut dyn Watcher) -> bool {
        let mut any = false;
        while let Some(bio) = self.queue.take_ended() {
            any = true;
            let Some(bio) = self.claim(bio) else { continue };
            let status = bio.status();
            match *bio.pad() {
                Role::Flush(position) => {
                    self.bios.free(bio);
                    self.flushed(position, status, watcher);
                }
                Role::Read(slot) if status.is_ok() => {
                    self.amounts.read += bio.len().0;
                    self.write(bio, slot);
                }
                role @ (Role::Read(slot) | Role::Write(slot) | Role::Zero(slot)) => {
                    self.free(bio, role);
                    match role {
                        _ if status.is_ok() => {}
                        Role::Read(_) => self.fail(slot, Doing::Read, status),
                        Role::Write(_) => self.fail(slot, Doing::Write, status),
                        _ => self.fail(slot, Doing::Zero, status),
                    }
                    self.release(slot);
                }
            }
        }
        any
    }

    /// The bio of the copy's own that `bio` is, where it is none that a part of a piece had.
    fn claim(&mut self, bio: OwnBio) -> Option<PadBio<Role>> {
        let bio = match self.parts.claim(bio) {
            Ok(part) => {
                self.queue.end_piece(&mut self.parts, part);
                return None;
            }
            Err(bio) => bio,
        };
        let bio = self.bios.claim(bio).or_else(|bio| self.zeroing.claim(bio)).ok();
        Some(bio.expect("the queue has no bios of other sets"))
    }

    fn free(&mut self, mut bio: PadBio<Role>, role: Role) {
        if let Some(pages) = bio.take_pages() {
            self.buffers.free(pages);
        }
        match role {
            Role::Zero(_) => self.zeroing.free(bio),
            _ => self.bios.free(bio),
        }
    }

    /// Writes what was read.
    fn write(&mut self, mut bio: PadBio<Role>, slot: usize) {
        let (Zeros::Leave(least) | Zeros::Zero(least)) = self.zeros else {
            return self.write_all(bio, slot);
        };
        self.runs.clear();
        self.runs.extend(Runs::of(bio.data().peek(), least));
        if self.runs.iter().all(|run| !run.is_zero) {
            return self.write_all(bio, slot);
        }
        bio.rearm();
        *bio.pad_mut() = Role::Write(slot);
        let mut at = bio.sector().0 * SECTOR_SIZE as u64;
        bio.prepare(Op::Write, Flags::NONE, bio.sector());
        let mut rest = Some(bio.into_bio());
        for index in 0..self.runs.len() {
            let Some(bio) = rest.take() else { break };
            let run = self.runs[index];
            let is_last = index + 1 == self.runs.len();
            let split = if is_last {
                Err(bio)
            } else {
                bio.split(self.queue.cx(), Bytes(run.len as u64), &mut self.parts, Alloc::NoWait)
            };
            // Where there is no bio for another part, the rest is written as it is.
            let (part, is_zero) = match split {
                Ok(split) => {
                    rest = Some(split.rest);
                    (split.front, run.is_zero)
                }
                Err(bio) => (bio, run.is_zero && is_last),
            };
            self.write_part(part, slot, at, is_zero);
            at += run.len as u64;
        }
    }

    /// Writes a part of a piece, or has zeros there without it.
    fn write_part(&mut self, part: Bio, slot: usize, at: u64, is_zero: bool) {
        let len = part.len().0;
        if is_zero && self.has_zeros(slot, at, len) {
            return self.queue.complete_part(part, Status::Ok);
        }
        self.amounts.written += len;
        self.queue.submit_part(self.destination, part);
    }

    /// Writes all of a piece.
    fn write_all(&mut self, mut bio: PadBio<Role>, slot: usize) {
        bio.rearm();
        *bio.pad_mut() = Role::Write(slot);
        bio.prepare(Op::Write, Flags::NONE, bio.sector());
        self.amounts.written += bio.len().0;
        self.queue.submit(self.destination, bio);
    }

    /// Has zeros in a range without writing them: whether that is possible.
    fn has_zeros(&mut self, slot: usize, at: u64, len: u64) -> bool {
        match self.zeros {
            Zeros::Write => false,
            Zeros::Leave(_) => {
                self.amounts.zeros += len;
                true
            }
            Zeros::Zero(_) => self.zero(slot, at, len),
        }
    }

    /// Zeroes a range by the destination's own operation: whether there was a bio for it.
    fn zero(&mut self, slot: usize, at: u64, len: u64) -> bool {
        let Ok(mut bio) = self.zeroing.alloc(self.queue.cx(), Role::Zero(slot), Alloc::NoWait) else {
            return false;
        };
        bio.prepare(Op::WriteZeroes, Flags::NONE, sector_of(at));
        bio.set_range(Bytes(len));
        self.amounts.zeros += len;
        if let Some(slot) = &mut self.slots[slot] {
            slot.bios += 1;
        }
        self.queue.submit(self.destination, bio);
        true
    }

    /// A bio of a piece has ended.
    fn release(&mut self, index: usize) {
        let slot = self.slots[index].as_mut().expect("a bio that ends is of a slot");
        slot.bios = slot.bios.saturating_sub(1);
        if slot.bios == 0 {
            self.slots[index] = None;
        }
    }

    /// A bio of a piece has failed.
    fn fail(&mut self, slot: usize, doing: Doing, status: Status) {
        let slot = self.slots[slot].as_ref().expect("a bio that fails is of a slot");
        let (at, len) = (slot.at, slot.len);
        self.failed_at = self.failed_at.min(at);
        self.failed.get_or_insert(ConvertError::Io { doing, at, len, status });
    }

    /// Makes all before `position` durable, which is written.
    fn flush(&mut self, position: u64) {
        let bio = self.bios.alloc(self.queue.cx(), Role::Flush(position), Alloc::NoWait);
        let Ok(mut bio) = bio else { return };
        bio.prepare(Op::Flush, Flags::NONE, Sector(0));
        self.is_flushing = true;
        self.queue.submit(self.destination, bio);
    }

    fn flushed(&mut self, position: u64, status: Status, watcher: &mut dyn Watcher) {
        self.is_flushing = false;
        let done = match status {
            Status::Ok => watcher.durable(position),
            status => Err(ConvertError::Io { doing: Doing::Flush, at: 0, len: position, status }),
        };
        if let Err(error) = done {
            self.failed.get_or_insert(error);
        }
    }
}

/// How much one bio moves between two devices, in bytes: a power of two that both take.
pub(super) fn piece_between(one: &DeviceRef, other: &DeviceRef) -> u64 {
    let most = one.geometry().max_transfer.min(other.geometry().max_transfer).max(1);
    PIECE.min(1 << most.ilog2())
}

/// Buffers for `pieces` pieces.
pub(super) fn page_options(pieces: usize) -> PagePoolOptions {
    let largest = PIECE as usize;
    PagePoolOptions {
        name: "convert",
        largest,
        reserve: pieces,
        limit: pieces * largest,
        stock: pieces * largest,
    }
}

/// The sector that begins at a byte, which is a multiple of a sector.
pub(super) fn sector_of(at: u64) -> Sector {
    Sector(at / SECTOR_SIZE as u64)
}
