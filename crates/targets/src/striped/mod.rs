//! `striped <#stripes> <chunk size> [<device> <offset>]...`: chunks of the row go to the devices in turn (the kernel's
//! `dm-stripe.c`).
//!
//! With 3 stripes and a chunk of 8 sectors, sectors 0 to 7 are on the first device, 8 to 15 on the second and 16 to 23 on the
//! third. Sectors 24 to 31 follow the first chunk of the first device.
//!
//! # How a target is written
//! 1. A [`TargetType`](udm_dm::targets::TargetType) has the name, and reads the arguments of a row (`target_type.rs`). Each word
//!    knows its place, so `word.fault(...)` is an error with line, column and carets. The type opens no device. It says
//!    which arguments are secret.
//! 2. A [`TargetSpec`](udm_dm::targets::TargetSpec) is what the row says (`spec.rs`). A table keeps it and compares it. It is
//!    printed, and made a target, in `target_type.rs` too. It names its devices: the loader opens them, and checks that the row fits on them.
//! 3. A [`Target`] is the row at work (`mod.rs`). All queues share it. It has the limits, the pools of bios, and the counts
//!    for `status`.
//! 4. A [`Channel`] is one queue's way into it (`channel.rs`). It has the I/O path: no lock, no allocation, nothing that
//!    waits. It submits a bio below, completes it, or parks it on a pool that is dry. A bio that it allocated comes back to
//!    [`Channel::end_io`].
//! 5. A program registers the type ([`TargetTypes::register`](udm_dm::targets::TargetTypes::register)), and reads tables
//!    with it by [`Table::parse_with`](udm_dm::table::Table::parse_with).
//!
//! Rules for the pools: each target has its own, and the bios of a pool may wait for the devices below only, never for
//! another bio of the same pool. Then a reserve of one is enough for all I/O to end without memory
//! (`crates/targets/tests/no_memory.rs`, `crates/sim/tests/targets.rs`).
//!
//! # A whole target
//! `counted <device> <start>` is `linear` with a `status` that says how many bios came.
//!
//! ```
//! use std::fmt;
//! use std::sync::Arc;
//! use std::sync::atomic::{AtomicU64, Ordering};
//!
//! use udm_block::{
//!     Bio, Channel, ChannelId, DeviceRef, Dispatch, Geometry, Op, OpenError, Opening, Sector, Sectors,
//! };
//! use udm_dm::load::LoadError;
//! use udm_dm::table::{ArgWriter, Args, Table, TableError, reason};
//! use udm_dm::targets::{BuildContext, DeviceArg, Target, TargetSpec, TargetType, TargetTypes};
//!
//! struct CountedType;
//!
//! impl TargetType for CountedType {
//!     fn name(&self) -> &'static str {
//!         "counted"
//!     }
//!
//!     fn parse(&self, args: &Args<'_>) -> Result<Box<dyn TargetSpec>, TableError> {
//!         if args.words().len() != 2 {
//!             let needs = "a counted row needs 2 words";
//!             return Err(args.wrong_count(needs, 2, "write <device> <start>", reason::ARGUMENT_COUNT));
//!         }
//!         Ok(Box::new(CountedSpec { device: args.device(0, args.length, reason::DEVICE_START)? }))
//!     }
//! }
//!
//! #[derive(PartialEq, Debug)]
//! struct CountedSpec {
//!     device: DeviceArg,
//! }
//!
//! impl TargetSpec for CountedSpec {
//!     fn target_type(&self) -> &dyn TargetType {
//!         &CountedType
//!     }
//!
//!     fn devices(&self) -> &[DeviceArg] {
//!         std::slice::from_ref(&self.device)
//!     }
//!
//!     fn write(&self, args: &mut ArgWriter<'_, '_>) -> fmt::Result {
//!         args.device(&self.device)
//!     }
//!
//!     fn build(&self, cx: &BuildContext<'_>) -> Result<Box<dyn Target>, LoadError> {
//!         Ok(Box::new(Counted { lower: cx.device(0), start: self.device.start, count: Arc::default() }))
//!     }
//! }
//!
//! struct Counted {
//!     lower: DeviceRef,
//!     start: Sector,
//!     count: Arc<AtomicU64>,
//! }
//!
//! impl Target for Counted {
//!     fn geometry(&self) -> Geometry {
//!         self.lower.geometry()
//!     }
//!
//!     fn open(&self, opening: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
//!         let lower = opening.open(&self.lower)?;
//!         Ok(Box::new(CountedChannel { lower, start: self.start, count: Arc::clone(&self.count) }))
//!     }
//!
//!     fn status(&self) -> String {
//!         self.count.load(Ordering::Relaxed).to_string()
//!     }
//! }
//!
//! struct CountedChannel {
//!     lower: ChannelId,
//!     start: Sector,
//!     count: Arc<AtomicU64>,
//! }
//!
//! impl Channel for CountedChannel {
//!     fn submit(&mut self, cx: &mut Dispatch, mut bio: Bio) {
//!         self.count.fetch_add(1, Ordering::Relaxed);
//!         // The sectors of a bio are counted from the row's start.
//!         if bio.op() != Op::Flush {
//!             bio.set_sector(self.start + Sectors(bio.sector().0));
//!         }
//!         cx.submit(self.lower, bio);
//!     }
//! }
//!
//! let mut types = TargetTypes::builtin().clone();
//! types.register(Arc::new(CountedType));
//! let table = Table::parse_with(&types, "0 8 counted disk 16\n8 8 zero")?;
//! assert_eq!(table.to_string(), "0 8 counted disk 16\n8 8 zero\n");
//! let error = Table::parse_with(&types, "0 8 counted disk sixteen").unwrap_err();
//! assert_eq!((error.line(), error.column()), (1, 18));
//! # Ok::<(), TableError>(())
//! ```

mod channel;
mod layout;
mod pads;
mod shared;
mod spec;
mod target_type;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use udm_block::memory::Source;
use udm_block::mempool::NoReserve;
use udm_block::{BioSet, BioSetOptions, Channel, DeviceRef, Geometry, LONGEST_DEVICE, OpenError, Opening};
use udm_dm::targets::{Reserves, Target};

use channel::StripedChannel;
pub use layout::Layout;
use shared::Shared;
pub use spec::StripedSpec;
pub use target_type::StripedType;

/// A row of stripes.
pub struct Striped(Arc<Shared>);

impl Striped {
    /// The row that `spec` describes, over `devices`, one a stripe.
    ///
    /// # Errors
    /// When there is no memory for the reserves.
    // not on the I/O path: once, when it is made
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

    // not on the I/O path: once a channel
    fn open(&self, opening: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        Ok(Box::new(StripedChannel::open(&self.0, opening)?))
    }

    /// The number of stripes, their devices, and of each whether it is alive or had an error: `2 a b 1 AD`.
    // not on the I/O path: for a person
    fn status(&self) -> String {
        let names = self.0.spec.devices.iter().map(|device| device.name.as_str());
        let letter = |errors: &AtomicU64| if errors.load(Ordering::Relaxed) > 0 { 'D' } else { 'A' };
        let letters: String = self.0.errors.iter().map(letter).collect();
        let names = names.collect::<Vec<_>>().join(" ");
        format!("{} {names} 1 {letters}", self.0.devices.len())
    }
}
