//! A call as an entry of the submission queue.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::AsRawFd;

use io_uring::{IoUring, opcode, squeue, types};
use udm_block::Bio;

use super::numbers::Numbers;
use crate::file::calls::Vectors;
use crate::file::image::Image;
use crate::file::transfer::{Call, Way};

/// `fallocate`'s mode for giving blocks back.
const PUNCH: i32 = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
/// `fallocate`'s mode for zeros that keep their blocks.
const ZERO: i32 = libc::FALLOC_FL_ZERO_RANGE | libc::FALLOC_FL_KEEP_SIZE;

/// The entry for `call`, by the `numbers` of the image's files if it has any in this ring, else by a descriptor. It has
/// the addresses of the bio's memory and of `vectors`, which must stay until its answer came.
pub(super) fn entry(
    image: &Image,
    numbers: Option<Numbers>,
    bio: &Bio,
    call: Call,
    vectors: &mut Vectors,
) -> squeue::Entry {
    let fd_of = |way| types::Fd(numbers.map_or_else(|| image.fd(way).as_raw_fd(), |numbers| numbers.of(way)));
    let entry = match call {
        Call::Sync => opcode::Fsync::new(fd_of(Way::Buffered)).flags(types::FsyncFlags::DATASYNC).build(),
        Call::Discard { .. } => {
            unreachable!("rings of Linux before 6.12 have no discard; a thread makes the call")
        }
        Call::Punch { at, len } => {
            opcode::Fallocate::new(fd_of(Way::Buffered), len).offset(at).mode(PUNCH).build()
        }
        Call::Zero { at, len } => {
            opcode::Fallocate::new(fd_of(Way::Buffered), len).offset(at).mode(ZERO).build()
        }
        Call::Read { way, at, skip, len } => {
            let fd = fd_of(way);
            match vectors.fill(bio.data().after(skip).first(len)) {
                [one] => opcode::Read::new(fd, one.iov_base.cast(), one.iov_len as u32).offset(at).build(),
                many => opcode::Readv::new(fd, many.as_ptr(), many.len() as u32).offset(at).build(),
            }
        }
        Call::Write { way, at, skip, len, durable } => {
            let fd = fd_of(way);
            let flags = if durable { libc::RWF_DSYNC } else { 0 };
            match vectors.fill(bio.data().after(skip).first(len)) {
                [one] => opcode::Write::new(fd, one.iov_base.cast(), one.iov_len as u32)
                    .offset(at)
                    .rw_flags(flags)
                    .build(),
                many => opcode::Writev::new(fd, many.as_ptr(), many.len() as u32)
                    .offset(at)
                    .rw_flags(flags)
                    .build(),
            }
        }
    };
    // What `types::Fixed` would have set; here one type serves both.
    let fixed = if numbers.is_some() { squeue::Flags::FIXED_FILE } else { squeue::Flags::empty() };
    entry.flags(fixed)
}

/// In the place of a slot's number: the answer to an operation that does nothing.
pub(super) const NOP: u64 = u64::MAX;

/// An operation that refers to no memory.
#[derive(Clone, Copy, Debug)]
pub(super) enum Bare {
    /// Does nothing.
    Nop,
    /// Waits for the file of a number to have something to read.
    Poll(u32),
}

/// Puts such an operation into the submission queue: whether there was room.
pub(super) fn push_bare(ring: &mut IoUring, operation: Bare) -> bool {
    let entry = match operation {
        Bare::Nop => opcode::Nop::new().build().user_data(NOP),
        Bare::Poll(number) => opcode::PollAdd::new(types::Fixed(number), libc::POLLIN as u32).build(),
    };
    // SAFETY: neither operation refers to memory.
    unsafe { ring.submission().push(&entry).is_ok() }
}

/// Which way [`transfer`] moves bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Direction {
    Read,
    Write,
}

/// Reads or writes through an idle ring, and waits for the answer: how many bytes moved. `number` is of a registered file.
pub(super) fn transfer(
    ring: &mut IoUring,
    direction: Direction,
    number: u32,
    bytes: &mut [u8],
) -> io::Result<usize> {
    let (fd, base, len) = (types::Fixed(number), bytes.as_mut_ptr(), bytes.len() as u32);
    let entry = match direction {
        Direction::Read => opcode::Read::new(fd, base, len).build(),
        Direction::Write => opcode::Write::new(fd, base.cast_const(), len).build(),
    };
    // SAFETY: this function does not return before the answer came, unless the kernel took no entry at all: an error of
    // `io_uring_enter` says that it took none.
    unsafe { push(ring, &entry) };
    loop {
        match ring.submit_and_wait(1) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        if let Some(answer) = ring.completion().next() {
            return usize::try_from(answer.result())
                .map_err(|_| io::Error::from_raw_os_error(-answer.result()));
        }
    }
}

/// Puts `entry` into the submission queue.
///
/// # Panics
/// When the queue is full: it has room for one entry of each slot, and a slot has one at a time.
///
/// # Safety
/// What `entry` refers to stays valid, and its descriptor open, until the answer came.
pub(super) unsafe fn push(ring: &mut IoUring, entry: &squeue::Entry) {
    // SAFETY: by the caller's promise.
    let pushed = unsafe { ring.submission().push(entry) };
    assert!(pushed.is_ok(), "the submission queue has room for every slot");
}
