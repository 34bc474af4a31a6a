//! One I/O: operation, flags, place, data, and who is told at the end (the kernel's `struct bio`).
//!
//! What all else stands on:
//! * `raw`: `Bio`, the handle; `PadBio`, the owner's view of it with the pad; where they live in memory.
//! * `pending`: how many completions must come before a bio ends.
//! * `request`: what a bio asks for.
//! * `data`: its memory, to be read and to be written.
//! * `parent`: the bio that waits inside another.
//! * `ending`: how it ends where that is not in a driver call, and how a pool wakes it.
//!
//! Where bios come from, which knows pools and queues:
//! * `set`: `BioSet`, the pool of bios; `bios`: one channel's way to it, with some that it keeps.
//! * `table`: where the runs of a bio are when they are many.
//! * `split`: pieces of a bio, and how a bio ends when its last piece has.

mod bios;
mod data;
mod ending;
mod parent;
mod pending;
mod raw;
mod request;
mod set;
mod split;
mod table;
#[cfg(test)]
mod tests;

pub use bios::Bios;
pub use raw::{Bio, BioList, Ending, INLINE_SPANS, OwnBio, Pad, PadBio};
pub(crate) use raw::{BioChunk, BioMailbox};
pub(crate) use set::Rescue;
pub use set::{BioSet, BioSetOptions};
pub use split::{Piece, Split};
pub use table::MAX_SPANS;
