//! The memory of a device in memory: addresses that the system backs with pages when they are first written.
//!
//! Nothing here makes a reference to the memory: several bios may copy into and out of the same bytes at once, which
//! is their clients' affair, as it is for memory that a guest shares with us (see `udm_block::span`).
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::io;
use std::ptr::{self, NonNull};

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};
use udm_block::memory::PAGE_SIZE;
use udm_block::{Span, SpanMut};

/// Addresses of its own, without pages at first.
pub(super) struct Mapping {
    base: NonNull<c_void>,
    len: usize,
}

// SAFETY: the mapping is this value's alone, and is reached by copies that any thread may do.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    pub(super) fn new(len: usize) -> io::Result<Self> {
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: the kernel chooses addresses that nobody has.
        let base =
            unsafe { mmap_anonymous(ptr::null_mut(), len, ProtFlags::READ | ProtFlags::WRITE, flags)? };
        Ok(Self { base: NonNull::new(base).expect("the kernel maps nothing at 0 of itself"), len })
    }

    /// Copies the bytes at `at` into `run`.
    pub(super) fn read(&self, at: usize, run: &mut SpanMut<'_>) {
        self.place(at, run.len()).as_span().copy_to(run);
    }

    /// Copies `run` to the bytes at `at`.
    pub(super) fn write(&self, at: usize, run: Span<'_>) {
        run.copy_to(&mut self.place(at, run.len()));
    }

    /// Makes `len` bytes at `at` zeros; whole pages go back to the system.
    pub(super) fn zero(&self, at: usize, len: usize) {
        let end = at + len;
        let (first, last) = (at.next_multiple_of(PAGE_SIZE), end / PAGE_SIZE * PAGE_SIZE);
        if first >= last || !self.release(first, last - first) {
            return self.fill(at, len);
        }
        self.fill(at, first - at);
        self.fill(last, end - last);
    }

    /// Gives whole pages back, to be zeros when they are next read: whether the system took them. It does not take
    /// pages that are locked in memory.
    fn release(&self, at: usize, len: usize) -> bool {
        let place = self.place(at, len).as_mut_ptr();
        // SAFETY: the pages are this mapping's; nobody has a reference to them.
        unsafe { madvise(place.cast(), len, Advice::LinuxDontNeed) }.is_ok()
    }

    fn fill(&self, at: usize, len: usize) {
        self.place(at, len).fill(0);
    }

    /// The `len` bytes at `at`, to be copied from or to at once.
    fn place(&self, at: usize, len: usize) -> SpanMut<'_> {
        assert!(at <= self.len && len <= self.len - at, "{len} bytes at {at} leave a device of {}", self.len);
        // SAFETY: the bytes are within the mapping. Other threads may write them meanwhile, as another program may write what a
        // guest shares with us: spans read and write by accesses of which the compiler assumes nothing.
        unsafe { SpanMut::from_raw(self.base.cast().add(at), len) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's, and nobody uses it any more.
        let unmapped = unsafe { munmap(self.base.as_ptr(), self.len) };
        debug_assert!(unmapped.is_ok(), "a mapping could not be given back: {unmapped:?}");
    }
}
