//! The steps that a request takes on a device of whole blocks: it may begin and end anywhere, and may be longer than what
//! is in memory at once.
//!
//! A long read or write goes piece by piece, through one buffer. A write, or zeros, whose first or last block is a part of
//! one reads that block behind the data (`scratch`), and puts it together. Trims and reads need no reading before: a
//! trim leaves parts of blocks alone, and a read sends a part of what it read.

use std::ops::Range;

use udm_block::{Bytes, Flags, Op, Pad, PadBio, SECTOR_SIZE, Sector};

use super::guard::Turn;
use super::request::Work;

/// The pad of a client's bio: whose it is, and how far.
pub(super) struct Pending {
    pub(super) cookie: u64,
    pub(super) work: Work,
    /// The device's block, in bytes.
    block: u64,
    /// The longest run of blocks that is in memory at once, in bytes.
    longest: u64,
    /// The bytes that it is about now.
    piece: Range<u64>,
    step: Step,
    /// Where its piece stands among other writes.
    pub(super) place: Turn,
    /// What is left to do of a long range, while it is on its way piece by piece.
    pub(super) range: Option<super::range::Range>,
}

/// What a bio does on the device for its request. The first four are for parts of blocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    ReadHead,
    WriteHead,
    ReadTail,
    WriteTail,
    /// What the request asks for, on whole blocks.
    Body,
}

impl Pad for Pending {}

/// `bytes` with the whole of each block that they touch.
fn around(bytes: &Range<u64>, block: u64) -> Range<u64> {
    bytes.start / block * block..bytes.end.next_multiple_of(block)
}

impl Pending {
    /// The first piece of `work`, on blocks of `block` bytes of which `most` bytes go to the device at once and `buffer`
    /// bytes fit into memory.
    pub(super) fn new(cookie: u64, work: Work, block: u64, most: u64, buffer: u64) -> Self {
        let all = around(&work.bytes, block);
        let scratch = if work.op == Op::Write && all != work.bytes { block } else { 0 };
        let longest = if work.op.has_data() { most.min(buffer - scratch) / block * block } else { u64::MAX };
        let piece = work.bytes.start..work.bytes.end.min(all.start.saturating_add(longest));
        let mut new =
            Self { cookie, work, block, longest, piece, step: Step::Body, place: Turn::None, range: None };
        new.step = new.first_step();
        new
    }

    /// How many bytes of memory it needs.
    pub(super) fn memory(&self) -> u64 {
        let all = around(&self.work.bytes, self.block);
        let is_partial = all != self.work.bytes;
        match self.work.op {
            Op::Write if is_partial => (all.end - all.start).min(self.longest) + self.block,
            Op::Read | Op::Write => (all.end - all.start).min(self.longest),
            Op::WriteZeroes if is_partial => self.block,
            _ => 0,
        }
    }

    /// The blocks of its piece.
    pub(super) fn blocks(&self) -> Range<u64> {
        around(&self.piece, self.block)
    }

    /// Whether its piece has a part of a block.
    pub(super) fn is_partial(&self) -> bool {
        self.piece != self.blocks()
    }

    /// How many bytes of data its piece has.
    pub(super) fn len(&self) -> u64 {
        self.piece.end - self.piece.start
    }

    /// How many bytes come behind its piece.
    pub(super) fn left(&self) -> u64 {
        self.work.bytes.end - self.piece.end
    }

    /// Whether its piece is the first one.
    pub(super) fn is_first(&self) -> bool {
        self.piece.start == self.work.bytes.start
    }

    /// Goes on to the next piece.
    fn next_piece(&mut self) {
        let begin = self.piece.end;
        self.piece = begin..self.work.bytes.end.min(begin + self.longest);
        self.step = self.first_step();
    }

    /// The block that its piece begins in the middle of.
    fn head(&self) -> Option<u64> {
        let block = self.piece.start / self.block * self.block;
        (block != self.piece.start).then_some(block)
    }

    /// The block that its piece ends in the middle of, unless that is the head.
    fn tail(&self) -> Option<u64> {
        let block = self.piece.end / self.block * self.block;
        (block != self.piece.end && self.head() != Some(block)).then_some(block)
    }

    /// The whole blocks of its piece: for zeros, whose parts of blocks are written before.
    fn middle(&self) -> Range<u64> {
        let begin = self.piece.start.next_multiple_of(self.block);
        begin..(self.piece.end / self.block * self.block).max(begin)
    }

    fn changes_parts(&self) -> bool {
        matches!(self.work.op, Op::Write | Op::WriteZeroes)
    }

    fn first_step(&self) -> Step {
        match (self.head(), self.tail()) {
            (Some(_), _) if self.changes_parts() => Step::ReadHead,
            (None, Some(_)) if self.changes_parts() => Step::ReadTail,
            _ => Step::Body,
        }
    }

    /// Goes on to the step after the one that ended well: whether there is one.
    fn next_step(&mut self) -> bool {
        let is_zeros = self.work.op == Op::WriteZeroes;
        let body = if is_zeros && self.middle().is_empty() { None } else { Some(Step::Body) };
        let tail = if self.tail().is_some() { Some(Step::ReadTail) } else { body };
        let next = match self.step {
            Step::ReadHead if is_zeros => Some(Step::WriteHead),
            Step::ReadHead | Step::WriteHead => tail,
            Step::ReadTail if is_zeros => Some(Step::WriteTail),
            Step::ReadTail | Step::WriteTail => body,
            Step::Body => None,
        };
        self.step = next.unwrap_or(self.step);
        next.is_some()
    }

    /// Where in the buffer the block is that a step reads or writes alone.
    fn scratch(&self) -> usize {
        let blocks = self.blocks();
        if self.work.op == Op::Write { (blocks.end - blocks.start) as usize } else { 0 }
    }
}

/// Has `bio` be about the client's bytes of its piece: to be received, or sent.
pub(super) fn show_data(bio: &mut PadBio<Pending>) {
    let pad = bio.pad();
    let (at, len) = (pad.piece.start - pad.blocks().start, pad.len());
    bio.set_window(at as usize, len as usize);
}

/// Goes on to the next piece of a long request.
pub(super) fn next_piece(bio: &mut PadBio<Pending>) {
    bio.pad_mut().next_piece();
    bio.rearm();
    let (op, at) = (bio.pad().work.op, bio.pad().blocks().start);
    bio.prepare(op, Flags::NONE, Sector(at / SECTOR_SIZE as u64));
}

/// Goes on to the step after the one that ended well: whether there is one, for which the bio is ready then.
pub(super) fn next_step(bio: &mut PadBio<Pending>) -> bool {
    let pad = bio.pad();
    let block = match pad.step {
        Step::ReadHead => pad.head(),
        Step::ReadTail => pad.tail(),
        _ => None,
    };
    if let Some(block) = block {
        complete_block(bio, block);
    }
    if !bio.pad_mut().next_step() {
        return false;
    }
    bio.rearm();
    true
}

/// Makes the bio ask the device for what its step is.
pub(super) fn prepare(bio: &mut PadBio<Pending>) {
    let pad = bio.pad();
    let (op, flags, blocks, block) = (pad.work.op, pad.work.flags, pad.blocks(), pad.block);
    let scratch = pad.scratch();
    let sector = |at: u64| Sector(at / SECTOR_SIZE as u64);
    let (head, tail) = (pad.head().unwrap_or(0), pad.tail().unwrap_or(0));
    let alone = match pad.step {
        Step::ReadHead => (Op::Read, Flags::NONE, head),
        Step::ReadTail => (Op::Read, Flags::NONE, tail),
        Step::WriteHead => (Op::Write, flags.without(Flags::NO_UNMAP), head),
        Step::WriteTail => (Op::Write, flags.without(Flags::NO_UNMAP), tail),
        Step::Body => {
            let blocks = if op.has_data() || op == Op::Flush { blocks } else { pad.middle() };
            bio.prepare(op, flags, sector(blocks.start));
            let len = blocks.end - blocks.start;
            return if op.has_data() { bio.set_window(0, len as usize) } else { bio.set_range(Bytes(len)) };
        }
    };
    let (op, flags, at) = alone;
    bio.prepare(op, flags, sector(at));
    bio.set_window(scratch, block as usize);
}

/// Puts a block together of which the request changes a part: old bytes go to the data of a write, zeros into the block
/// that was read.
fn complete_block(bio: &mut PadBio<Pending>, begin: u64) {
    let pad = bio.pad();
    let (blocks, piece, scratch) = (pad.blocks(), pad.piece.clone(), pad.scratch());
    let (end, is_zeros) = (begin + pad.block, pad.work.op == Op::WriteZeroes);
    let whole = scratch + pad.block as usize;
    bio.set_window(0, whole);
    let within = |from: u64, to: u64, base: u64| (from - base) as usize..(to - base) as usize;
    if is_zeros {
        let zeros = within(piece.start.max(begin), piece.end.min(end), begin);
        bio.data_mut().after(zeros.start).first(zeros.len()).fill(0);
        return;
    }
    for old in [begin..piece.start, piece.end..end] {
        if old.start < begin || old.end > end || old.is_empty() {
            continue;
        }
        let (from, to) = (within(old.start, old.end, begin), within(old.start, old.end, blocks.start));
        copy(bio, scratch + from.start, to.start, from.len());
    }
}

/// Copies `len` bytes of the data of `bio` from one place in it to another.
fn copy(bio: &mut PadBio<Pending>, from_at: usize, to_at: usize, len: usize) {
    let mut data = bio.data_mut();
    let (all, mut to_all) = data.in_place();
    let (mut from, mut to) = (all.after(from_at).first(len), to_all.after(to_at));
    let mut some = [0; SECTOR_SIZE];
    while !from.is_empty() {
        let some = &mut some[..from.len().min(SECTOR_SIZE)];
        from.read(some);
        to.write(some);
    }
}
