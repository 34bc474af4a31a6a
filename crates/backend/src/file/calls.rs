//! All calls of a bio to the system, made by the thread that is here: one of the pool of `threads`, or, on a queue that may
//! sleep, the one that drives the queue.
#![allow(unsafe_code)]

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::ptr::NonNull;

use rustix::fs::{FallocateFlags, fallocate, fdatasync};
use udm_block::bio::INLINE_SPANS;
use udm_block::{Bio, SpanIter, SpanMut, Status};

use super::image::Image;
use super::transfer::{Call, Next, Way};

/// Runs of memory as the system takes them.
pub(super) struct Vectors([libc::iovec; INLINE_SPANS]);

// SAFETY: these are addresses of the memory of a bio, which any thread may have.
unsafe impl Send for Vectors {}

impl Vectors {
    /// No runs.
    pub(super) const fn new() -> Self {
        Self([libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; INLINE_SPANS])
    }

    /// The runs of `data`, as many as there is room for. The kernel writes to those of a read, which the bio may.
    pub(super) fn fill(&mut self, data: SpanIter<'_>) -> &[libc::iovec] {
        let mut count = 0;
        for (vector, run) in self.0.iter_mut().zip(data) {
            *vector = libc::iovec { iov_base: run.as_ptr().cast_mut().cast(), iov_len: run.len() };
            count += 1;
        }
        &self.0[..count]
    }
}

/// Makes all calls that `bio` asks for: how it would end, if no sync were under way (see [`Image::end`]).
pub(super) fn run(image: &Image, bio: &mut Bio) -> Status {
    if bio.op().is_write() && !image.is_whole() {
        return Status::Offline;
    }
    if let Some(refusal) = image.refusal(bio) {
        return refusal;
    }
    let mut transfer = image.transfer(bio);
    let mut next = transfer.begin();
    loop {
        match next {
            Next::Call(call) => {
                let sync = image.begin(call);
                next = transfer.answer(make(image, bio, call));
                let (mut released, status) = image.answered(sync, next);
                while let Some(bio) = released.pop() {
                    bio.complete_elsewhere(status);
                }
            }
            Next::Shrank => return image.shrank(),
            Next::Unsynced(status) => return image.unsynced(status),
            Next::End(status) => return status,
        }
    }
}

fn make(image: &Image, bio: &Bio, call: Call) -> Result<usize, i32> {
    let mut vectors = Vectors::new();
    let done = |result: rustix::io::Result<()>| result.map(|()| 0).map_err(rustix::io::Errno::raw_os_error);
    let keep = FallocateFlags::KEEP_SIZE;
    match call {
        Call::Sync => done(fdatasync(&image.buffered)),
        Call::Discard { at, len } => discard(image.buffered.as_fd(), at, len),
        Call::Punch { at, len } => {
            done(fallocate(&image.buffered, keep | FallocateFlags::PUNCH_HOLE, at, len))
        }
        Call::Zero { at, len } => {
            done(fallocate(&image.buffered, keep | FallocateFlags::ZERO_RANGE, at, len))
        }
        Call::Read { way, at, skip, len } => {
            read(image.fd(way), vectors.fill(bio.data().after(skip).first(len)), at)
        }
        Call::Write { way: Way::Bounce, at, skip, len, durable } => {
            write_bounced(image.fd(Way::Bounce), bio.data().after(skip).first(len), at, durable)
        }
        Call::Write { way, at, skip, len, durable } => {
            write(image.fd(way), vectors.fill(bio.data().after(skip).first(len)), at, durable)
        }
    }
}

/// How much is copied and written at once where a write's own memory is not aligned, in bytes.
const BOUNCE: usize = 64 << 10;

/// Aligned for any device.
#[repr(align(4096))]
struct Bounce(MaybeUninit<[u8; BOUNCE]>);

/// Writes the first bytes of `data` from aligned memory. It is of the stack: a write never fails for want of memory.
fn write_bounced(fd: BorrowedFd<'_>, data: SpanIter<'_>, at: u64, durable: bool) -> Result<usize, i32> {
    let mut bounce = Bounce(MaybeUninit::uninit());
    let len = data.len().min(BOUNCE);
    let begin = NonNull::from(&mut bounce.0).cast::<u8>();
    let mut filled = 0;
    for run in data.first(len) {
        // SAFETY: the runs add up to `len`, which the buffer has room for; nobody else knows the buffer.
        run.copy_to(&mut unsafe { SpanMut::from_raw(begin.add(filled), run.len()) });
        filled += run.len();
    }
    write(fd, &[libc::iovec { iov_base: begin.as_ptr().cast(), iov_len: len }], at, durable)
}

/// `_IO(0x12, 119)`, of `linux/fs.h`.
const BLKDISCARD: libc::c_ulong = 0x1277;

fn discard(fd: BorrowedFd<'_>, at: u64, len: u64) -> Result<usize, i32> {
    let range = [at, len];
    // SAFETY: the kernel reads the two numbers before the call returns.
    let done = unsafe { libc::ioctl(fd.as_raw_fd(), BLKDISCARD as _, range.as_ptr()) };
    answer(done as isize)
}

fn read(fd: BorrowedFd<'_>, vectors: &[libc::iovec], at: u64) -> Result<usize, i32> {
    // SAFETY: the vectors are runs of a bio, whose memory is valid and may be written until the bio ends, which it
    // does not before this returns.
    let bytes = unsafe { libc::preadv(fd.as_raw_fd(), vectors.as_ptr(), vectors.len() as i32, at as i64) };
    answer(bytes)
}

fn write(fd: BorrowedFd<'_>, vectors: &[libc::iovec], at: u64, durable: bool) -> Result<usize, i32> {
    let (fd, list, count) = (fd.as_raw_fd(), vectors.as_ptr(), vectors.len() as i32);
    // SAFETY: the vectors are runs of a bio or a buffer of the caller's: valid until this returns.
    let bytes = unsafe {
        if durable {
            libc::pwritev2(fd, list, count, at as i64, libc::RWF_DSYNC)
        } else {
            libc::pwritev(fd, list, count, at as i64)
        }
    };
    answer(bytes)
}

fn answer(bytes: isize) -> Result<usize, i32> {
    usize::try_from(bytes).map_err(|_| std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO))
}
