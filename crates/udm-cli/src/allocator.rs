//! The program's allocator: the system's, except that the program ends with a message where the system has no memory.
//!
//! Rust's library would abort there, which tells a person nothing and leaves a core dump with keys in it where the limits
//! allow one. A panic would be no better: an allocator may not unwind, and much code that allocates cannot bear it. What
//! can go on without the memory says so by `udm_block::memory::refusable`.
//!
//! The C library and Rust's runtime have allocations of their own, for a thread's destructors and for the stacks of its
//! signal handlers. They abort or panic where there is no memory, and a handler of SIGABRT and a panic hook make that the same
//! end.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::panic;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};
use signal_hook::consts::SIGABRT;
use udm_block::memory::can_be_refused;

/// The exit status: the work failed.
const STATUS: i32 = 1;
/// How long the message waits for a reader of stderr, as in `log`.
const PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 500_000_000 };
/// What the C library's heap grows by at the least where it cannot grow in place, in bytes. Where a thread gets no more of
/// it, the system has not got this.
const GROWTH: usize = 1 << 20;

/// Whether messages are for programs.
static IS_JSON: AtomicBool = AtomicBool::new(false);
/// Whether a thread is ending the process already.
static ENDS: AtomicBool = AtomicBool::new(false);

/// The system's allocator. Where it has no memory, and the caller cannot go on without, the program ends.
pub struct Allocator;

// SAFETY: all memory is the system allocator's, which keeps the promises; to end the process is not to return, and
// nothing here unwinds or allocates.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: by the caller's promise.
        or_end(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: by the caller's promise.
        or_end(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, addr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: by the caller's promise.
        or_end(unsafe { System.realloc(addr, layout, size) }, size)
    }

    unsafe fn dealloc(&self, addr: *mut u8, layout: Layout) {
        // SAFETY: by the caller's promise.
        unsafe { System.dealloc(addr, layout) }
    }
}

fn or_end(addr: *mut u8, bytes: usize) -> *mut u8 {
    if addr.is_null() && !can_be_refused() {
        end(bytes);
    }
    addr
}

/// From here on an abort or a panic for want of memory ends the program in the same way. Every other one stays what it is.
pub(crate) fn start() {
    let others = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        end_if_short();
        others(panic);
    }));
    // SAFETY: the handler makes system calls, and works on atomics and its own stack: no lock, no allocation. When it returns,
    // `abort` restores the default action and raises the signal again.
    let _ = unsafe { signal_hook::low_level::register(SIGABRT, end_if_short) };
}

/// Has the end for want of memory told as JSON.
pub(crate) fn tell_json() {
    IS_JSON.store(true, Ordering::Relaxed);
}

/// Ends the program where the heap could not grow now.
pub(crate) fn end_if_short() {
    // SAFETY: a new mapping at no address in particular touches nothing that is there.
    let mapped = unsafe { mmap_anonymous(ptr::null_mut(), GROWTH, ProtFlags::empty(), MapFlags::PRIVATE) };
    // SAFETY: the mapping was made a line above, and nobody else knows it.
    if mapped.map(|addr| unsafe { munmap(addr, GROWTH) }).is_err() {
        end(GROWTH);
    }
}

/// Says that there is no memory, and ends the process, without taking any.
fn end(bytes: usize) -> ! {
    let mut text = [0; 256];
    let mut left = &mut text[..];
    let (before, behind) =
        if IS_JSON.load(Ordering::Relaxed) { ("{\"error\":\"", "\",\"status\":1}") } else { ("udm: ", "") };
    // It fits.
    let _ = writeln!(
        left,
        "{before}out of memory: the system refuses {bytes} bytes; raise the limit (ulimit -v, ulimit -d, or that of the \
         container), or end other programs{behind}"
    );
    let unused = left.len();
    let len = text.len() - unused;
    let error = io::stderr();
    let mut fds = [PollFd::from_borrowed_fd(error.as_fd(), PollFlags::OUT)];
    // Threads that find no memory at the same time say it once. A pipe that nobody reads must not keep the process from its
    // end.
    if ENDS.swap(true, Ordering::Relaxed) {
        let _ = poll(&mut [], Some(&PATIENCE));
    } else if matches!(poll(&mut fds, Some(&PATIENCE)), Ok(1)) {
        let _ = rustix::io::write(error.as_fd(), &text[..len]);
    }
    // SAFETY: the call takes a number and does not return. What `exit` would run besides might want memory.
    unsafe { libc::_exit(STATUS) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More than any system has.
    const MUCH: usize = isize::MAX as usize & !0xFFFF;

    /// `tests/tests/conditions.rs` has the end of the process.
    #[test]
    fn who_can_do_without_is_refused_and_lives() {
        let layout = Layout::from_size_align(MUCH, 8).unwrap();
        // SAFETY: the layout's size is not zero.
        let got = udm_block::memory::refusable(|| unsafe { Allocator.alloc(layout) });
        assert!(got.is_null() && !can_be_refused());
    }
}
