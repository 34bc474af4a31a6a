//! Wipes stacks that keys were on.
//!
//! A key schedule is a value that is returned from function to function and moved into its box, and a cipher at work
//! spills round keys: what stays behind in frames that have returned is nobody's to wipe by name. So whoever sets keys
//! does it in [`wiped`] (as libgcrypt's `burn_stack` does for its caller), and a queue whose channels have dropped keys
//! wipes its thread's stack before it tells of that ([`crate::Opening::drop_when_wiped`]).

use std::hint::black_box;

/// How much stack is wiped, in bytes: the deepest way to a key schedule takes 20 KiB in a debug build.
const DEPTH: usize = 64 << 10;

/// Does `work`, and wipes the stack that it ran on.
pub fn wiped<R>(work: impl FnOnce() -> R) -> R {
    let result = on_frames_below(work);
    wipe();
    result
}

/// Frames of their own, which `wipe` finds where they were.
#[inline(never)]
fn on_frames_below<R>(work: impl FnOnce() -> R) -> R {
    black_box(work())
}

/// Wipes the stack below the caller's frame.
#[inline(never)]
#[expect(clippy::large_stack_arrays, reason = "it is the stack that is wiped")]
pub fn wipe() {
    // Who looks at a black box sees zeros, so they are written.
    let mut below = [0u8; DEPTH];
    black_box(&mut below);
}
