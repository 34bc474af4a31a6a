//! What the block layer does with bare atomics, under loom, which tries every order in which threads step and memory may
//! be seen. The files are the block layer's own, with loom's atomics. `cargo xtask model` runs it, with the models of
//! shuttle, which takes all atomics for sequentially consistent.
//!
//! * `pieces`: the count of a bio's pieces.
//! * `mailbox`: a queue that is about to sleep, and threads that send it messages.
#![cfg(shuttle)]

#[path = "../../src/handshake.rs"]
mod handshake;
mod mailbox;
#[path = "../../src/bio/pending.rs"]
mod pending;
mod pieces;

mod sync {
    pub use loom::sync::atomic::{AtomicBool, AtomicU32, Ordering, fence};
}
