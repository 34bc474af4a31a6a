//! A simulator of disks, time, memory and power, for testing block drivers without a kernel.
//!
//! A [`Sim`] is a world that a seed decides: a virtual clock, and what is due at which time. A [`SimDisk`] is a device
//! in it that answers late and out of order, fails by rule ([`Fault`]), and loses what was not durable when the power
//! goes ([`Sim::cut_power`]). A [`Workload`] sends random I/O through whatever is stacked on such disks, and holds each
//! result against a model that knows what every sector may hold, also after errors and power cuts. Nothing sleeps, all
//! runs on one thread, and the same seed does the same again: a failure shows its seed, and what happened last.
//!
//! Memory is starved with [`udm_block::memory::Starving`], at times of the world's clock ([`Sim::starve`]).
//!
//! # Testing a driver of your own
//! ```
//! use std::sync::Arc;
//! use udm_block::{
//!     Bio, Channel, ChannelId, Device, DeviceRef, Dispatch, Geometry, Op, OpenError, Opening, Sectors, Status,
//! };
//! use udm_sim::{DiskOptions, Fault, Hits, Sim, SimDisk, Workload, WorkloadOptions};
//!
//! /// The driver: the second half of a disk.
//! struct SecondHalf {
//!     disk: DeviceRef,
//!     geometry: Geometry,
//! }
//!
//! /// A queue's way into it.
//! struct SecondHalfChannel {
//!     disk: ChannelId,
//!     start: Sectors,
//! }
//!
//! impl SecondHalf {
//!     fn over(disk: &Arc<SimDisk>) -> DeviceRef {
//!         let whole = disk.geometry();
//!         let geometry = Geometry { size: Sectors(whole.size.0 / 2), ..whole };
//!         Arc::new(Self { disk: Arc::clone(disk) as DeviceRef, geometry })
//!     }
//! }
//!
//! impl Device for SecondHalf {
//!     fn geometry(&self) -> Geometry {
//!         self.geometry
//!     }
//!
//!     fn open(&self, opening: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
//!         let disk = opening.open(&self.disk)?;
//!         Ok(Box::new(SecondHalfChannel { disk, start: self.geometry.size }))
//!     }
//! }
//!
//! impl Channel for SecondHalfChannel {
//!     fn submit(&mut self, cx: &mut Dispatch, mut bio: Bio) {
//!         if bio.op() != Op::Flush {
//!             bio.set_sector(bio.sector() + self.start);
//!         }
//!         cx.submit(self.disk, bio);
//!     }
//! }
//!
//! fn main() -> Result<(), udm_sim::Failure> {
//!     // Twenty worlds; UDM_SEED=0x... runs one of them again.
//!     for seed in udm_sim::seeds(0x5eed, 20) {
//!         let sim = Sim::new(seed);
//!         let disk = SimDisk::new(&sim, DiskOptions::new(Sectors(512)));
//!         let driver = SecondHalf::over(&disk);
//!         let mut workload = Workload::new(&sim, driver.geometry(), WorkloadOptions::default());
//!         workload.fill(&driver)?;
//!         disk.fail(Fault { hits: Hits::PerMille(10), op: None, status: Status::IoErr });
//!
//!         // The power goes somewhere in the next two milliseconds, in the middle of it.
//!         sim.after(sim.dice().below(2_000_000), Sim::cut_power);
//!         let report = workload.run(&driver, 10_000)?;
//!         assert!(report.cut);
//!         drop(driver);
//!
//!         // What is left is opened again: what was flushed must be there, and nothing that nobody wrote.
//!         disk.heal();
//!         sim.restore_power();
//!         let driver = SecondHalf::over(&disk);
//!         workload.verify(&driver)?;
//!         workload.run(&driver, 100)?;
//!     }
//!     Ok(())
//! }
//! ```
//!
//! # What it cannot see
//! The workload's queue never sleeps: a driver that sleeps for memory (`Alloc::Wait`) is refused there. A bio that ends on another thread (a cipher that answers from elsewhere, a back end with a ring) is not waited for: the workload says
//! that it is stuck. Races between threads are the work of a model checker.

mod client;
mod contents;
mod dice;
mod disk;
mod failure;
mod model;
mod seeds;
mod trace;
mod workload;
mod world;

pub use client::{Client, Ended, Request};
pub use dice::Dice;
pub use disk::{Delay, DiskOptions, Fault, Hits, Lie, SimDisk};
pub use failure::{Failure, Kind};
pub use seeds::seeds;
pub use trace::{Event, What};
pub use workload::{Mix, Report, Workload, WorkloadOptions};
pub use world::Sim;

/// The README's example is tested with the others.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
