//! What a `delay` row says.

use std::time::Duration;

use udm_dm::targets::DeviceArg;

use super::class::Class;

/// What a `delay` row says: one to three devices, each with its delay.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DelaySpec {
    /// The devices of reads, writes and flushes, as far as they are named.
    pub devices: Vec<DeviceArg>,
    /// How long the I/O of each waits, in milliseconds.
    pub delays_ms: Vec<u32>,
}

impl DelaySpec {
    /// Which of the devices has the I/O of `class`: its own, or the last that is named.
    pub fn of(&self, class: Class) -> usize {
        (class as usize).min(self.devices.len() - 1)
    }

    /// How long the I/O of `class` waits.
    pub fn delay(&self, class: Class) -> Duration {
        Duration::from_millis(self.delays_ms[self.of(class)].into())
    }
}
