//! What lies under the gate: the device that the live table describes, which another one can replace.
//!
//! Bios refer to the live table and not to the table's device: a bio that is parked, split or back in its pool keeps a
//! reference to where it went last, and none of these may keep a table, and with it a key, alive.

use std::sync::Arc;
use std::thread;

use arc_swap::ArcSwap;
use udm_block::{Bio, Device, Geometry, Sectors, Status};

use crate::mapped::MappedDevice;

/// The live table's device, with what is known of it while it is away.
pub(super) struct LiveTable {
    current: ArcSwap<Current>,
}

/// A table's device at work.
pub(super) struct Current {
    /// What clients are told. It outlives the device of a table whose key is wiped.
    pub(super) geometry: Geometry,
    /// Not there without a table, or without its key.
    pub(super) mapped: Option<MappedDevice>,
}

impl LiveTable {
    /// One without a table: a device of no size.
    pub(super) fn new() -> Arc<Self> {
        let geometry = Geometry::plain(Sectors(0));
        Arc::new(Self { current: ArcSwap::from_pointee(Current { geometry, mapped: None }) })
    }

    /// Whether there is a device.
    pub(super) fn is_there(&self) -> bool {
        self.current.load().mapped.is_some()
    }

    /// Replaces the device. When this returns, nothing of the former one is left, in no thread: its keys are wiped.
    /// No bio may be under way.
    pub(super) fn replace(&self, new: Current) {
        let mut old = self.current.swap(Arc::new(new));
        let old = loop {
            // A thread that has ended the last bio of the device may still be on its way out of it.
            match Arc::try_unwrap(old) {
                Ok(old) => break old,
                Err(shared) => old = shared,
            }
            thread::yield_now();
        };
        if let Some(mapped) = old.mapped {
            mapped.retire();
        }
    }

    /// Takes the device away; what clients are told of it stays.
    pub(super) fn take_away(&self) {
        self.replace(Current { geometry: self.geometry(), mapped: None });
    }
}

impl Device for LiveTable {
    fn geometry(&self) -> Geometry {
        self.current.load().geometry
    }

    fn submit(&self, bio: Bio) {
        match &self.current.load().mapped {
            Some(mapped) => mapped.submit(bio),
            // The gate is closed before a device goes.
            None => bio.complete(Status::Offline),
        }
    }

    fn prepare_thread(&self) {
        if let Some(mapped) = &self.current.load().mapped {
            mapped.prepare_thread();
        }
    }
}
