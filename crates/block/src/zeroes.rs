//! Writing zeros to a device that has no operation for it (the kernel's `blkdev_issue_zeroout` fallback).
#![allow(unsafe_code)]

use std::ptr::NonNull;
use std::sync::Arc;

use crate::bio::{Bio, BioSet, BioSetOptions, Pad, PadBio};
use crate::device::{Device, DeviceRef, Geometry};
use crate::memory::Source;
use crate::mempool::{Alloc, NoReserve};
use crate::op::{Flags, Op};
use crate::span::Span;
use crate::status::Status;
use crate::units::{Bytes, Sector};

/// Zeros to write from. Nobody writes to the data of a write.
#[repr(align(4096))]
struct Zeros([u8; 1 << 16]);
static ZEROS: Zeros = Zeros([0; 1 << 16]);

/// How many runs of zeros one write has.
const RUNS: usize = 8;

/// A device that takes `WriteZeroes` on top of one that may not.
pub struct WriteZeroes {
    lower: DeviceRef,
    set: BioSet<Zeroing>,
}

/// The pad of the one bio that walks over a range.
struct Zeroing {
    next: Sector,
    end: Sector,
    flags: Flags,
    /// Whether the device has no operation of its own, so that zeros are written.
    writes: bool,
}

impl WriteZeroes {
    /// `lower` with `WriteZeroes`.
    ///
    /// # Errors
    /// When there is no memory for the reserve of its bios.
    pub fn over(lower: DeviceRef, source: &Source) -> Result<DeviceRef, NoReserve> {
        // Each bio is one operation of a client, whole: one walks on while others wait.
        let options =
            BioSetOptions { reserve: 4, limit: 64, magazine: 4, ..BioSetOptions::named("write zeroes") };
        Ok(Arc::new(Self { lower: DeviceRef::clone(&lower), set: BioSet::new(&options, source, lower)? }))
    }
}

impl Device for WriteZeroes {
    fn geometry(&self) -> Geometry {
        Geometry { write_zeroes: true, ..self.lower.geometry() }
    }

    fn submit(&self, bio: Bio) {
        if bio.op() != Op::WriteZeroes {
            return crate::submit(&self.lower, bio);
        }
        if bio.flags().has(Flags::FAST) {
            // Writing is what it does not want, and the device says by itself where it would.
            return crate::submit(&self.lower, bio);
        }
        let Some(end) = bio.end() else { return bio.complete(Status::IoErr) };
        let pad = Zeroing {
            next: bio.sector(),
            end,
            flags: bio.flags(),
            writes: !self.lower.geometry().write_zeroes,
        };
        let Ok(mut walk) = self.set.alloc(pad, Alloc::NoWait) else { return self.set.park(bio) };
        let (sector, flags, len) = (bio.sector(), bio.flags(), bio.len());
        walk.set_parent(bio);
        if walk.pad().writes {
            return walk_on(walk);
        }
        walk.prepare(Op::WriteZeroes, flags, sector);
        walk.set_range(len);
        walk.submit(&self.lower);
    }

    fn prepare_thread(&self) {
        self.set.prepare_thread();
        self.lower.prepare_thread();
    }
}

/// Writes the next piece of zeros.
fn walk_on(mut walk: PadBio<Zeroing>) {
    let lower = DeviceRef::clone(walk.context());
    let pad = walk.pad_mut();
    let most = lower.geometry().max_transfer.min((ZEROS.0.len() * RUNS) as u32);
    let len = (pad.end - pad.next).bytes().0.min(u64::from(most));
    let (at, flags) = (pad.next, pad.flags.without(Flags::NO_UNMAP));
    pad.next += Bytes(len).sectors();
    let mut runs = [Span::EMPTY; RUNS];
    let mut filled = 0;
    for (run, begin) in runs.iter_mut().zip((0..len).step_by(ZEROS.0.len())) {
        // SAFETY: the zeros are there for good, and the bio is a write, whose data nobody writes to.
        let zeros = unsafe { Span::from_raw(NonNull::from(&ZEROS.0).cast(), ZEROS.0.len()) };
        *run = zeros.slice(0, ((len - begin) as usize).min(ZEROS.0.len()));
        filled += 1;
    }
    walk.prepare(Op::Write, flags, at);
    // SAFETY: the runs are of static memory.
    unsafe { walk.set_foreign(&runs[..filled]) };
    walk.submit(&lower);
}

impl Pad for Zeroing {
    type Context = DeviceRef;

    fn end_io(mut bio: PadBio<Self>) {
        let status = bio.status();
        let pad = bio.pad_mut();
        if status == Status::NotSupported && !pad.writes {
            pad.writes = true;
        } else if !status.is_ok() || !pad.writes || pad.next >= pad.end {
            let parent = bio.take_parent();
            drop(bio);
            if let Some(parent) = parent {
                parent.complete(status);
            }
            return;
        }
        bio.rearm();
        walk_on(bio);
    }
}
