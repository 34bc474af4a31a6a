//! Zeros to write where a device has no operation for them (the kernel's `blkdev_issue_zeroout` fallback).
#![allow(unsafe_code)]

use crate::bio::{INLINE_SPANS, Pad, PadBio};
use crate::op::Op;
use crate::span::Span;
use crate::units::Bytes;

/// Zeros to write from. Nobody writes to the data of a write.
#[repr(align(4096))]
struct Zeros([u8; 1 << 16]);
static ZEROS: Zeros = Zeros([0; 1 << 16]);

/// The longest write of zeros, in bytes.
pub const LONGEST: u64 = (INLINE_SPANS << 16) as u64;

/// Sets the data of a bio, which is a write, to `len` bytes of zeros.
///
/// # Panics
/// For more than [`LONGEST`], and for a bio that is not a write.
pub fn set_zeroes<P: Pad>(bio: &mut PadBio<P>, len: Bytes) {
    assert!(len.0 <= LONGEST, "{} bytes of zeros in one bio", len.0);
    assert!(bio.op() == Op::Write, "zeros are written, not read into");
    let mut runs = [Span::EMPTY; INLINE_SPANS];
    let mut filled = 0;
    for (run, begin) in runs.iter_mut().zip((0..len.0).step_by(ZEROS.0.len())) {
        *run = Span::new(&ZEROS.0).slice(0, ((len.0 - begin) as usize).min(ZEROS.0.len()));
        filled += 1;
    }
    // SAFETY: the runs are of static memory, and the bio is a write.
    unsafe { bio.set_foreign(&runs[..filled]) };
}
