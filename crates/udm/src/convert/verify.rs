//! Reads source and destination again, and compares them.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use udm_block::memory::{Heap, Source};
use udm_block::{
    Alloc, BioSet, BioSetOptions, Bios, Buffers, Bytes, ChannelId, DeviceRef, Flags, Op, Pad, PadBio,
    PagePool, Queue, SECTOR_SIZE,
};

use super::copy::{DEPTH, page_options, piece_between, sector_of};
use super::error::{ConvertError, Doing};
use super::tail::{self, block_between};
use base16ct::lower::encode_string;

/// The pad: of which pair it is, and which side of it: 0 is the source's, 1 the destination's.
#[derive(Clone, Copy)]
struct Side {
    slot: usize,
    side: usize,
}

impl Pad for Side {}

/// A comparison of two devices, on a queue of its own.
struct Comparison {
    queue: Queue,
    devices: [ChannelId; 2],
    /// How much one bio reads, in bytes.
    piece: u64,
    /// How many bytes are compared.
    size: u64,
    /// What has been read and waits for its other side, or for the pairs before it.
    pairs: [[Option<PadBio<Side>>; 2]; DEPTH],
    bios: Bios<Side>,
    buffers: Buffers,
    scratch: [Vec<u8>; 2],
    digest: Sha256,
    /// All before this byte is compared.
    done: u64,
    /// All before this byte is being read.
    asked: u64,
}

/// The SHA-256 of the first `size` bytes of both, in hexadecimal, where they are the same. `goes_on` hears how far it is, and
/// says whether it goes on.
///
/// # Errors
/// Where they differ or cannot be read, or the comparison was stopped.
pub(super) fn verify(
    source: &DeviceRef,
    destination: &DeviceRef,
    size: u64,
    mut goes_on: impl FnMut(u64) -> bool,
) -> Result<String, ConvertError> {
    let whole = size - size % block_between(source, destination);
    let mut digest = verify_blocks(source, destination, whole, &mut goes_on)?;
    if whole < size {
        let one = tail::read(source, Doing::Read, whole, size)?;
        let other = tail::read(destination, Doing::ReadBack, whole, size)?;
        check_same(&one, &other, whole)?;
        digest.update(&other);
        goes_on(size);
    }
    Ok(encode_string(&digest.finalize()))
}

/// Refuses bytes that differ, of which the first are at byte `at`.
fn check_same(source: &[u8], destination: &[u8], at: u64) -> Result<(), ConvertError> {
    if source == destination {
        return Ok(());
    }
    let same = source.iter().zip(destination).take_while(|(one, other)| one == other).count();
    Err(ConvertError::Differs { at: at + same as u64 })
}

/// The digest of the first `size` bytes of both, whole blocks, where they are the same.
fn verify_blocks(
    source: &DeviceRef,
    destination: &DeviceRef,
    size: u64,
    goes_on: &mut dyn FnMut(u64) -> bool,
) -> Result<Sha256, ConvertError> {
    let memory: Source = Arc::new(Heap);
    let bios = BioSetOptions { reserve: 2 * DEPTH, limit: 0, stock: 0, ..BioSetOptions::named("verify") };
    let mut queue = Queue::new()?;
    let mut comparison = Comparison {
        devices: [queue.open(source)?, queue.open(destination)?],
        piece: piece_between(source, destination),
        size,
        bios: queue.bios(&BioSet::new(&bios, &memory)?),
        buffers: PagePool::new(page_options(2 * DEPTH), &memory)?.buffers(),
        queue,
        pairs: std::array::from_fn(|_| [None, None]),
        scratch: [Vec::new(), Vec::new()],
        digest: Sha256::new(),
        done: 0,
        asked: 0,
    };
    let mut result = Ok(());
    loop {
        if result.is_ok() {
            comparison.read();
        }
        // What has been read is compared at once, so with nothing under way there is nothing left.
        if comparison.queue.under_way() == 0 {
            break;
        }
        comparison.queue.wait(&mut [], None)?;
        result = result.and(comparison.take().and_then(|()| comparison.compare()));
        if !goes_on(comparison.done) {
            result = result.and(Err(ConvertError::Stopped { position: comparison.done }));
        }
    }
    result.map(|()| comparison.digest.clone())
}

impl Comparison {
    /// Which pair begins at byte `at`.
    fn slot_of(&self, at: u64) -> usize {
        (at / self.piece) as usize % DEPTH
    }

    /// Has as many pairs read as there is room for.
    fn read(&mut self) {
        while self.asked < self.size && self.asked < self.done + DEPTH as u64 * self.piece {
            let len = Bytes(self.piece.min(self.size - self.asked));
            for (side, device) in self.devices.into_iter().enumerate() {
                let pad = Side { slot: self.slot_of(self.asked), side };
                let cx = self.queue.cx();
                let pages =
                    self.buffers.alloc(cx, len, Alloc::NoWait).expect("there are pages for each pair");
                let mut bio =
                    self.bios.alloc(cx, pad, Alloc::NoWait).ok().expect("there are bios for each pair");
                bio.prepare(Op::Read, Flags::NONE, sector_of(self.asked));
                bio.set_pages(pages, len);
                self.queue.submit(device, bio);
            }
            self.asked += len.0;
        }
    }

    /// Takes what was read.
    fn take(&mut self) -> Result<(), ConvertError> {
        let mut result = Ok(());
        while let Some(bio) = self.queue.take_ended() {
            let bio = self.bios.claim(bio).ok().expect("the queue has no bios of another set");
            let Side { slot, side } = *bio.pad();
            if !bio.status().is_ok() {
                let doing = [Doing::Read, Doing::ReadBack][side];
                let (at, len, status) = (bio.sector().0 * SECTOR_SIZE as u64, bio.len().0, bio.status());
                result = result.and(Err(ConvertError::Io { doing, at, len, status }));
            }
            self.pairs[slot][side] = Some(bio);
        }
        result
    }

    /// Compares the pairs that are next and whole.
    fn compare(&mut self) -> Result<(), ConvertError> {
        while self.done < self.asked && self.pairs[self.slot_of(self.done)].iter().all(Option::is_some) {
            let pair = std::mem::take(&mut self.pairs[self.slot_of(self.done)]);
            for (bio, bytes) in pair.iter().flatten().zip(&mut self.scratch) {
                bytes.resize(bio.len().0 as usize, 0);
                bio.data().read(bytes);
            }
            for mut bio in pair.into_iter().flatten() {
                bio.take_pages().into_iter().for_each(|pages| self.buffers.free(pages));
                self.bios.free(bio);
            }
            let [source, destination] = &self.scratch;
            check_same(source, destination, self.done)?;
            self.digest.update(destination);
            self.done += destination.len() as u64;
        }
        Ok(())
    }
}
