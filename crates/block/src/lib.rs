//! A block layer in userspace: bios that are handed down a stack of drivers and back up, from pools that guarantee
//! that every I/O makes progress.
//!
//! The way of one I/O: a [`Queue`] opens a [`Device`] and has a [`Channel`] of its own there; [`Bios`] give a bio with the
//! driver's own state in front of it ([`Pad`]); [`Queue::submit`] hands it to the channel, which remaps it, clones it,
//! splits it ([`Bio::split`]) or serves it, and hands it on by [`Dispatch::submit`] or ends it by [`Dispatch::complete`];
//! the channel that allocated it hears of its end ([`Channel::end_io`]). No driver is called from within a driver, so
//! neither way recurses. A queue never sleeps for memory: a bio that finds a pool dry is parked on the pool.
//!
//! To write a driver of your own, read `examples/splitter.rs`: a stacking driver in the plain style, that sleeps for its
//! bios and has its set's rescuer dispatch what this sleep would block.

mod aside;
pub mod bio;
pub mod blocking;
mod channel;
mod channels;
mod classes;
pub mod device;
mod dispatch;
mod engine;
mod handshake;
mod lent;
mod mailbox;
pub mod memory;
pub mod mempool;
pub mod op;
mod opening;
pub mod pages;
mod promise;
pub mod queue;
mod rescue;
mod reserve;
pub mod sealed;
mod share;
pub mod span;
pub mod stack;
pub mod status;
mod stock;
mod sync;
pub mod units;
mod wait;
mod wakeup;
pub mod zeroes;

pub use aside::{Aside, HasQueue};
pub use bio::{Bio, BioList, BioSet, BioSetOptions, Bios, OwnBio, Pad, PadBio};
pub use channel::{Channel, ChannelId};
pub use device::{Device, DeviceRef, Geometry, LEAST_TRANSFER, LONGEST_DEVICE};
pub use dispatch::Dispatch;
pub use engine::{Engine, EngineId};
pub use mailbox::{Address, Home, Notice};
pub use mempool::Alloc;
pub use op::{Flags, Op};
pub use opening::{OpenError, Opening};
pub use pages::{Buffers, PagePool, PagePoolOptions, Pages};
pub use queue::Queue;
pub use span::{Span, SpanIter, SpanIterMut, SpanMut};
pub use status::Status;
#[cfg(not(shuttle))]
pub use sync::locks_taken;
pub use units::{Bytes, SECTOR_SHIFT, SECTOR_SIZE, Sector, Sectors};
