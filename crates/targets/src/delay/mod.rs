//! `delay <device> <offset> <ms> [<write device> <offset> <ms> [<flush device> <offset> <ms>]]`: I/O that comes later
//! (the kernel's `dm-delay.c`). Reads go to the first device. Writes, discards and zeros go to the second, and flushes to the
//! third, where they are named.
//!
//! # How a target keeps bios
//! [`striped`](crate::striped) says how a target is written. This one shows how it keeps bios. A channel must not sleep on
//! its queue, so something else has to wake it:
//! 1. A channel puts each bio into a list of its own, oldest first, and tells its alarm when the first one is due
//!    (`channel.rs`). That is one atomic write.
//! 2. The target has a thread (`timer.rs`). When an alarm is due, the thread sends the channel a
//!    [`Notice`](udm_block::Notice) ([`Address::notify`](udm_block::Address::notify)), which takes no memory.
//! 3. The queue calls [`Channel::message`], and the channel sends below what is due.
//! 4. When the device is suspended ([`Target::suspend`]), the channels send all that they keep: the suspend waits for it.
//! 5. A bio that waits is inside of another one, of the target's pool, whose fields say until when. So a list needs no
//!    memory, and a reserve of one is enough: the bios that get none are parked until one is free.
//!
//! The thread runs before the target is built, so a program may seal and lock its memory when its devices are open.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::{Duration, Instant};
//!
//! use udm_block::DeviceRef;
//! use udm_block::blocking::Blocking;
//! use udm_block::memory::{Heap, Source};
//! use udm_dm::load::{Lookup, LookupError, load};
//! use udm_dm::table::Table;
//! use udm_dm::targets::crypt::CipherChoice;
//!
//! /// The only device is `zeros`.
//! struct Zeros;
//!
//! impl Lookup for Zeros {
//!     fn device(&self, name: &str, _block_size: u32) -> Result<DeviceRef, LookupError> {
//!         if name == "zeros" { open("0 64 zero") } else { Err(LookupError::NotFound) }
//!     }
//! }
//!
//! fn open(table: &str) -> Result<DeviceRef, LookupError> {
//!     let table = Table::parse_with(udm_targets::all(), table).expect("a table");
//!     let source: Source = Arc::new(Heap);
//!     Ok(load(&table, &Zeros, &CipherChoice::default(), &source).expect("a device").into())
//! }
//!
//! // Reads wait for 20 ms, writes do not.
//! let device = Blocking::new(open("0 64 delay zeros 0 20 zeros 0 0")?).expect("a queue");
//! let began = Instant::now();
//! device.read_at(0, &mut [0; 512]).expect("a read");
//! assert!(began.elapsed() >= Duration::from_millis(20));
//! # Ok::<(), LookupError>(())
//! ```

mod channel;
mod class;
mod hold;
mod shared;
mod spec;
mod target_type;
mod timer;

use std::sync::Arc;

use udm_block::memory::Source;
use udm_block::{BioSet, BioSetOptions, Channel, DeviceRef, Geometry, LONGEST_DEVICE, OpenError, Opening};
use udm_dm::load::LoadError;
use udm_dm::targets::{Reserves, Target};

use channel::DelayChannel;
pub use class::Class;
use shared::Shared;
pub use spec::DelaySpec;
pub use target_type::DelayType;
use timer::Timer;

/// A row whose I/O comes later.
pub struct Delay(Arc<Shared>);

impl Delay {
    // not on the I/O path: once, when it is made
    fn new(
        spec: DelaySpec,
        devices: Vec<DeviceRef>,
        source: &Source,
        reserves: Reserves,
    ) -> Result<Self, LoadError> {
        // What is held waits for a time, and then for what lies below alone.
        let holds = BioSetOptions { reserve: reserves.bios, ..BioSetOptions::named("delayed bios") };
        let holds = BioSet::new(&holds, source)?;
        let timer = Timer::start()
            .map_err(|source| LoadError::System { what: "starting the thread of a delay target", source })?;
        Ok(Self(Arc::new(Shared { spec, devices, holds, timer })))
    }
}

impl Target for Delay {
    fn geometry(&self) -> Geometry {
        Geometry::stacked(LONGEST_DEVICE, self.0.devices.iter().map(|device| device.geometry()))
    }

    // not on the I/O path: once a channel
    fn open(&self, opening: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        Ok(Box::new(DelayChannel::open(&self.0, opening)?))
    }

    /// How many reads, writes and flushes are being delayed.
    // not on the I/O path: for a person
    fn status(&self) -> String {
        let [reads, writes, flushes] = self.0.timer.held();
        format!("{reads} {writes} {flushes}")
    }

    fn suspend(&self) {
        self.0.timer.set_delays(false);
    }

    fn resume(&self) {
        self.0.timer.set_delays(true);
    }
}
