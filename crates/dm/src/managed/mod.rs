//! A mapped device that is managed while it is used, as device-mapper's ioctls do it (the kernel's `dm-ioctl.c`): it has
//! a live table and an inactive one, is suspended and resumed, and takes messages.
//!
//! ```text
//!   load --> inactive --resume--> live <--message-- key set | key wipe, while suspended
//!                |                  |
//!              clear             suspend: new I/O is held, what is under way ends, all below is flushed
//! ```
//!
//! * `gate`: counts the I/O under way, and holds what comes while the device is suspended.
//! * `live_table`: the live table's device under the gate.
//! * `control`: what can be done to the device; `message`: what targets are told; `state`: what it says of itself.
//!
//! An I/O costs a clone more here than on a [`MappedDevice`](crate::mapped::MappedDevice), whose table never changes.

mod control;
mod error;
mod gate;
mod live_table;
mod message;
mod state;

pub use control::{Open, Suspend};
pub use error::{ManageError, Refusal};
pub use state::{Info, TableSlot};

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};

use udm_block::memory::Source;
use udm_block::mempool::NoReserve;
use udm_block::{Alloc, Bio, BioSet, BioSetOptions, Device, DeviceRef, Geometry, Pad, PadBio};

use crate::targets::Reserves;
use crate::targets::crypt::CipherChoice;
use gate::{Gate, Pass};
use live_table::{Current, LiveTable};
use state::State;

/// How a managed device makes what its tables describe.
#[derive(Clone)]
pub struct ManagedOptions {
    /// It takes no writes, whatever its tables say.
    pub read_only: bool,
    /// Which cipher driver its crypt rows use.
    pub cipher: CipherChoice,
    /// Where it takes its memory.
    pub source: Source,
    /// How much each of its pools has at hand.
    pub reserves: Reserves,
}

/// A device whose table can be replaced while it is used.
pub struct ManagedDevice {
    name: String,
    options: ManagedOptions,
    gate: Gate,
    live_table: Arc<LiveTable>,
    /// The same, as bios refer to it.
    below: DeviceRef,
    passages: BioSet<Passage>,
    /// One change at a time; some of them wait for I/O.
    changing: Mutex<()>,
    state: Mutex<State>,
    opens: AtomicUsize,
}

/// The pad of the clone that goes below for a client's bio.
struct Passage(Option<Pass>);

impl ManagedDevice {
    /// A device without a table, suspended: I/O is held until it has one and is resumed.
    ///
    /// # Errors
    /// When there is no memory for the reserve of its bios.
    pub fn new(name: impl Into<String>, options: ManagedOptions) -> Result<Arc<Self>, NoReserve> {
        // A clone waits for what lies below it alone.
        let passages =
            BioSetOptions { reserve: options.reserves.bios, ..BioSetOptions::named("dm passages") };
        let live_table = LiveTable::new();
        Ok(Arc::new(Self {
            name: name.into(),
            gate: Gate::new(),
            below: Arc::clone(&live_table) as DeviceRef,
            live_table,
            passages: BioSet::new(&passages, &options.source, ())?,
            changing: Mutex::default(),
            state: Mutex::default(),
            opens: AtomicUsize::new(0),
            options,
        }))
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Device for ManagedDevice {
    fn geometry(&self) -> Geometry {
        self.live_table.geometry()
    }

    fn submit(&self, mut bio: Bio) {
        let pass = loop {
            match self.gate.enter() {
                Some(pass) => break pass,
                None => match self.gate.hold(bio) {
                    Ok(()) => return,
                    Err(back) => bio = back,
                },
            }
        };
        match self.passages.alloc(Passage(Some(pass)), Alloc::NoWait) {
            Ok(mut clone) => {
                clone.clone_of(bio);
                clone.submit(&self.below);
            }
            // It goes without its pass: what waits here is not under way yet, and comes to the gate again.
            Err(_) => self.passages.park(bio),
        }
    }

    fn prepare_thread(&self) {
        self.passages.prepare_thread();
        self.below.prepare_thread();
    }
}

impl Pad for Passage {
    type Context = ();

    fn end_io(mut clone: PadBio<Self>) {
        let (status, pass, bio) = (clone.status(), clone.pad_mut().0.take(), clone.take_parent());
        // The clone is home, and the device is drained of it, before the client hears of the end.
        drop(clone);
        drop(pass);
        if let Some(bio) = bio {
            bio.complete(status);
        }
    }
}

/// The device of the live table may hold bios that refer to `LiveTable`: it goes first.
impl Drop for ManagedDevice {
    fn drop(&mut self) {
        self.live_table.replace(Current { geometry: self.live_table.geometry(), mapped: None });
    }
}

impl std::fmt::Debug for ManagedDevice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ManagedDevice")
            .field("name", &self.name)
            .field("info", &self.info())
            .finish_non_exhaustive()
    }
}
