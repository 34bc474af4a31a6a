//! `striped <#stripes> <chunk size> [<device> <offset>]...`: chunks of the row go to the devices in turn (the kernel's
//! `dm-stripe.c`).
//!
//! With 3 stripes and a chunk of 8 sectors, sectors 0 to 7 are on the first device, 8 to 15 on the second, 16 to 23 on the
//! third, and 24 to 31 behind the first chunk of the first device.
//!
//! # How a target is written
//! 1. A [`TargetType`](udm_dm::targets::TargetType) has the name, and reads a row: `spec`. Each word knows its place, so
//!    `word.fault(...)` is an error with line, column and carets. What only an opened device can tell is not looked at.
//! 2. A [`TargetSpec`](udm_dm::targets::TargetSpec) is what the row says: `spec` too. A table keeps it, compares it and
//!    prints it. It names its devices; the loader opens them, and holds the row against their sizes.
//! 3. A [`Target`] is the row at work: this file. All queues share it. It has limits, pools of bios, and what the target
//!    counts.
//! 4. A [`Channel`] is one queue's way into it: `channel`. It has the I/O path: no lock, no allocation, nothing that
//!    waits. A bio is submitted below, ended, or parked on a pool that is dry.
//! 5. The type is registered ([`TargetTypes::register`](udm_dm::targets::TargetTypes::register)), and tables with the
//!    target are read by [`Table::parse_with`](udm_dm::table::Table::parse_with).

mod channel;
mod layout;
mod spec;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use udm_block::bio::Piece;
use udm_block::memory::Source;
use udm_block::mempool::NoReserve;
use udm_block::{BioSet, BioSetOptions, Channel, DeviceRef, Geometry, LONGEST_DEVICE, OpenError, Opening};
use udm_dm::targets::{Reserves, Target};

use channel::{StripeIo, StripedChannel, Walk};
pub use layout::Layout;
pub use spec::{StripedSpec, StripedType};

/// A row of stripes.
pub struct Striped(Arc<Shared>);

/// What all queues share.
struct Shared {
    spec: StripedSpec,
    layout: Layout,
    devices: Vec<DeviceRef>,
    /// The I/Os that failed, of each stripe.
    errors: Vec<AtomicU64>,
    pieces: BioSet<Piece>,
    clones: BioSet<StripeIo>,
    walks: BioSet<Walk>,
}

impl Striped {
    /// The row that `spec` describes, over `devices`, one a stripe.
    ///
    /// # Errors
    /// When there is no memory for the reserves.
    fn new(
        spec: StripedSpec,
        devices: Vec<DeviceRef>,
        source: &Source,
        reserves: Reserves,
    ) -> Result<Self, NoReserve> {
        // A piece waits for a clone, and a clone and a walk for what lies below alone: none waits for its own set.
        let options = |name| BioSetOptions { reserve: reserves.bios, ..BioSetOptions::named(name) };
        let walks =
            BioSetOptions { reserve: reserves.bios.min(4), limit: 64, stock: 4, ..options("stripe walks") };
        Ok(Self(Arc::new(Shared {
            layout: spec.layout(),
            errors: devices.iter().map(|_| AtomicU64::new(0)).collect(),
            spec,
            devices,
            pieces: BioSet::new(&options("stripe pieces"), source)?,
            clones: BioSet::new(&options("stripe clones"), source)?,
            walks: BioSet::new(&walks, source)?,
        })))
    }
}

impl Target for Striped {
    fn geometry(&self) -> Geometry {
        Geometry::stacked(LONGEST_DEVICE, self.0.devices.iter().map(|device| device.geometry()))
    }

    fn open(&self, opening: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        Ok(Box::new(StripedChannel::open(&self.0, opening)?))
    }

    fn has_cache(&self) -> bool {
        true
    }

    /// The number of stripes, their devices, and of each whether it is alive or had an error: `2 a b 1 AD`.
    fn status(&self) -> String {
        let names = self.0.spec.devices.iter().map(|device| device.name.as_str());
        let letter = |errors: &AtomicU64| if errors.load(Ordering::Relaxed) > 0 { 'D' } else { 'A' };
        let letters: String = self.0.errors.iter().map(letter).collect();
        let names = names.collect::<Vec<_>>().join(" ");
        format!("{} {names} 1 {letters}", self.0.devices.len())
    }
}
