//! A block layer in userspace: bios that are handed down a stack of drivers and back up, from pools that guarantee
//! that every I/O makes progress.
//!
//! The way of one I/O: a [`Queue`] opens a [`Device`] and has a [`Channel`] of its own there; [`Bios`] give a bio with the
//! driver's own state in front of it ([`Pad`]); [`Queue::submit`] hands it to the channel, which remaps it, clones it,
//! splits it ([`Bio::split`]) or serves it, and hands it on by [`Dispatch::submit`] or ends it by [`Dispatch::complete`];
//! the channel that allocated it hears of its end ([`Channel::end_io`]). No driver is called from within a driver, so
//! neither way recurses. A queue never sleeps for memory: a bio that finds a pool dry is parked on the pool.
//!
//! # Write a device
//! A [`Device`] has what all queues share: here the bytes of a disk in memory. Its [`Channel`] is one queue's way to them.
//! The program below sends it a bio that writes, and one that reads.
//!
//! ```
//! use std::sync::{Arc, Mutex};
//! use udm_block::memory::{Heap, Source};
//! use udm_block::{
//!     Alloc, Bio, BioSet, BioSetOptions, Bytes, Channel, Device, DeviceRef, Dispatch, Flags, Geometry, Op,
//!     OpenError, Opening, Pad, PagePool, PagePoolOptions, Queue, Sector, Sectors, Status,
//! };
//!
//! type Memory = Arc<Mutex<Vec<u8>>>;
//!
//! struct Disk(Memory);
//!
//! impl Device for Disk {
//!     fn geometry(&self) -> Geometry {
//!         let size = Sectors::in_bytes(self.0.lock().unwrap().len() as u64);
//!         Geometry { write_cache: false, ..Geometry::plain(size) }
//!     }
//!
//!     fn open(&self, _: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
//!         Ok(Box::new(DiskChannel(Arc::clone(&self.0))))
//!     }
//! }
//!
//! struct DiskChannel(Memory);
//!
//! impl Channel for DiskChannel {
//!     // The queue has checked that the bio lies on the device, in whole blocks.
//!     fn submit(&mut self, cx: &mut Dispatch, mut bio: Bio) {
//!         let mut disk = self.0.lock().unwrap();
//!         let start = bio.sector().0 as usize * 512;
//!         let bytes = start..start + bio.data().len();
//!         let status = match bio.op() {
//!             Op::Read => {
//!                 bio.data_mut().write(&disk[bytes]);
//!                 Status::Ok
//!             }
//!             Op::Write => {
//!                 bio.data().read(&mut disk[bytes]);
//!                 Status::Ok
//!             }
//!             Op::Flush => Status::Ok,
//!             _ => Status::NotSupported,
//!         };
//!         cx.complete(bio, status);
//!     }
//! }
//!
//! /// What the program keeps in front of each of its bios.
//! struct Number(u32);
//! impl Pad for Number {}
//!
//! let disk: DeviceRef = Arc::new(Disk(Arc::new(Mutex::new(vec![0; 8 * 512]))));
//! let heap: Source = Arc::new(Heap);
//! let set = BioSet::<Number>::new(&BioSetOptions::named("example"), &heap)?;
//! let pool = PagePool::new(
//!     PagePoolOptions { name: "example", largest: 4096, reserve: 1, limit: 4096, stock: 4096 },
//!     &heap,
//! )?;
//! let mut queue = Queue::new()?;
//! let channel = queue.open(&disk)?;
//! let (mut bios, mut buffers) = (queue.bios(&set), pool.buffers());
//!
//! let mut pages = buffers.alloc(queue.cx(), Bytes(512), Alloc::NoWait).ok_or("no memory")?;
//! pages.span_mut(Bytes(512)).fill(7);
//! for (number, op) in [Op::Write, Op::Read].into_iter().enumerate() {
//!     let pad = Number(number as u32);
//!     let mut bio = bios.alloc(queue.cx(), pad, Alloc::NoWait).map_err(|_| "no memory")?;
//!     bio.prepare(op, Flags::NONE, Sector(3));
//!     bio.set_pages(pages, Bytes(512));
//!     queue.submit(channel, bio);
//!
//!     // Other work can be done here. A device with a ring or a thread ends its bios later.
//!     let ended = loop {
//!         match queue.take_ended() {
//!             Some(ended) => break ended,
//!             None => queue.wait(&mut [], None)?,
//!         }
//!     };
//!     let mut bio = bios.claim(ended).ok().ok_or("a bio of another set")?;
//!     assert!(bio.status().is_ok());
//!     assert_eq!(bio.pad().0, number as u32);
//!     pages = bio.take_pages().ok_or("the bio keeps its pages")?;
//!     bios.free(bio);
//!     if op == Op::Write {
//!         pages.span_mut(Bytes(512)).fill(0);
//!     }
//! }
//! let mut read = [0; 512];
//! pages.span(Bytes(512)).read(&mut read);
//! assert_eq!(read, [7; 512]);
//! buffers.free(pages);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A thread that only wants bytes uses [`Blocking`](blocking::Blocking), which does all of this. A driver that stands on
//! another device opens it in [`Device::open`], and submits bios to it; `examples/splitter.rs` is one in the plain style,
//! that sleeps for its bios and has its set's rescuer dispatch what this sleep would block.

mod alloc;
mod aside;
pub mod bio;
pub mod blocking;
mod channel_id;
mod channels;
mod classes;
mod device;
mod dispatch;
mod ended;
mod engine;
mod geometry;
mod handshake;
mod home;
mod lent;
mod list;
mod mailbox;
pub mod memory;
pub mod mempool;
pub mod op;
mod open_error;
mod opening;
pub mod pages;
mod pool;
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

pub use alloc::Alloc;
pub use aside::{Aside, HasQueue};
pub use bio::{Bio, BioList, BioSet, BioSetOptions, Bios, OwnBio, Pad, PadBio};
pub use channel_id::ChannelId;
pub use device::{Channel, Device, DeviceRef, Opening};
pub use dispatch::Dispatch;
pub use ended::Ended;
pub use engine::{Engine, EngineId};
pub use geometry::{Geometry, LEAST_TRANSFER, LONGEST_DEVICE};
pub use home::{Address, Home, Notice};
pub use op::{Flags, Op};
pub use open_error::OpenError;
pub use pages::{Buffers, PagePool, PagePoolOptions, Pages};
pub use queue::Queue;
pub use span::{Span, SpanIter, SpanIterMut, SpanMut};
pub use status::Status;
#[cfg(not(shuttle))]
pub use sync::locks_taken;
pub use units::{Bytes, SECTOR_SHIFT, SECTOR_SIZE, Sector, Sectors};

/// The README's example is tested with the others.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
