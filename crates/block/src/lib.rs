//! A block layer in userspace: bios that are handed down a stack of drivers and back up, from pools that guarantee
//! that every I/O makes progress.
//!
//! The way of one I/O: a [`BioSet`] gives a bio with the driver's own state in front of it ([`Pad`]); [`submit()`]
//! hands it to a [`Device`], which remaps it, clones it, splits it ([`Bio::split`]) or serves it; whoever serves it
//! calls [`Bio::complete`], and its pad's `end_io` hears of it. Neither way recurses. A [`queue::Queue`] is a thread
//! that drives this without ever sleeping for memory: a bio that finds a pool dry is parked on the pool.
//!
//! To write a driver of your own, read `examples/splitter.rs`: a stacking driver in the plain style, that sleeps for its
//! bios and has its set's rescuer dispatch what this sleep would block.

pub mod bio;
pub mod blocking;
mod classes;
pub mod device;
mod magazine;
pub mod memory;
pub mod mempool;
pub mod op;
pub mod pages;
mod promise;
pub mod queue;
mod rescue;
mod reserve;
pub mod sealed;
pub mod span;
pub mod stack;
pub mod status;
pub mod submit;
mod sync;
pub mod units;
pub mod zeroes;

pub use bio::{Bio, BioList, BioSet, BioSetOptions, Pad, PadBio};
pub use device::{Device, DeviceRef, Geometry, LEAST_TRANSFER, LONGEST_DEVICE};
pub use mempool::{Alloc, Mempool};
pub use op::{Flags, Op};
pub use pages::{PagePool, PagePoolOptions, Pages};
pub use span::{Span, SpanIter};
pub use status::Status;
pub use submit::submit;
#[cfg(not(shuttle))]
pub use sync::locks_taken;
pub use units::{Bytes, SECTOR_SHIFT, SECTOR_SIZE, Sector, Sectors};
