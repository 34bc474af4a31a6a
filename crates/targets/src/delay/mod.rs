//! `delay <device> <offset> <ms> [<write device> <offset> <ms> [<flush device> <offset> <ms>]]`: I/O that comes later
//! (the kernel's `dm-delay.c`). Reads go to the first device; writes, discards and zeros to the second, and flushes to the
//! third, where they are named.
//!
//! It shows how a target keeps bios without sleeping on the queue, which no channel may:
//! 1. `channel` puts what comes into a list of its own, oldest first, and says to an [`Alarm`](timer::Alarm) when the
//!    first one is due. That is one atomic write.
//! 2. `timer` is a thread of the target. When an alarm is due it sends the channel a [`Notice`](udm_block::Notice), which
//!    takes no memory.
//! 3. The channel is told ([`Channel::message`]), and sends below what is due.
//!
//! When the device is suspended nothing is delayed any more ([`Target::suspend`]): else the suspend would wait for it.

mod channel;
mod spec;
mod timer;

use std::sync::Arc;

use udm_block::memory::Source;
use udm_block::{BioSet, BioSetOptions, Channel, DeviceRef, Geometry, LONGEST_DEVICE, OpenError, Opening};
use udm_dm::load::LoadError;
use udm_dm::targets::{Reserves, Target};

use channel::{DelayChannel, Hold};
pub use spec::{DelaySpec, DelayType};
use timer::Timer;

/// What is delayed alike.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// Reads.
    Read,
    /// Writes, discards and zeros.
    Write,
    /// Flushes.
    Flush,
}

impl Class {
    /// How many there are.
    const COUNT: usize = 3;
}

/// A row whose I/O comes later.
pub struct Delay(Arc<Shared>);

/// What all queues share.
struct Shared {
    spec: DelaySpec,
    devices: Vec<DeviceRef>,
    holds: BioSet<Hold>,
    timer: Timer,
}

impl Delay {
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

    fn open(&self, opening: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        Ok(Box::new(DelayChannel::open(&self.0, opening)?))
    }

    fn has_cache(&self) -> bool {
        true
    }

    /// How many reads, writes and flushes are being delayed.
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
