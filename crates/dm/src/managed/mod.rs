//! A mapped device that is managed while it is used, as device-mapper's ioctls do it (the kernel's `dm-ioctl.c`): it has
//! a live table and an inactive one, is suspended and resumed, and takes messages.
//!
//! ```text
//!   load --> inactive --resume--> live <--message-- key set | key wipe, while suspended
//!                |                  |
//!              clear             suspend: new I/O is held, what is under way ends, all below is flushed
//! ```
//!
//! * `channel`: a queue's way into the device. It counts the I/O under way, and holds what comes while the device is
//!   suspended.
//! * `channels`: the channels that are open, and what holds for each of them; `change`: how they are told of a change, and
//!   how their answers are waited for.
//! * `control`: what can be done to the device; `message`: what targets are told; `state`: where in its life it is; `report`: what it says
//!   of itself.
//!
//! A thread that changes the device waits for every queue that has it open. A queue answers when its owner drives it
//! ([`Queue::run`](udm_block::Queue::run), [`Queue::wait`](udm_block::Queue::wait)); for one that is
//! [aside](udm_block::Aside) the changing thread does it. So the owner of a queue that has the device open does not change it.
//!
//! An I/O costs a clone more here than on a [`MappedDevice`](crate::mapped::MappedDevice), whose table never changes.

mod change;
mod channel;
mod channels;
mod control;
mod error;
mod message;
mod report;
mod state;

pub use control::{Open, Suspend};
pub use error::{ManageError, Refusal};
pub use state::{Info, TableSlot};

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};

use udm_block::memory::Source;
use udm_block::mempool::NoReserve;
use udm_block::{BioSet, BioSetOptions, Channel, Device, Geometry, OpenError, Opening};

use crate::targets::Reserves;
use crate::targets::crypt::CipherChoice;
use channel::{ManagedChannel, Passage};
use channels::Channels;
use state::State;

/// How a managed device makes what its tables describe.
///
/// New fields come with a new major version only.
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
    channels: Arc<Channels>,
    passages: BioSet<Passage>,
    /// One change at a time; some of them wait for I/O.
    changing: Mutex<()>,
    state: Mutex<State>,
    opens: AtomicUsize,
}

impl ManagedDevice {
    /// A device without a table, suspended: I/O is held until it has one and is resumed.
    ///
    /// # Errors
    /// When there is no memory for the reserve of its bios.
    pub fn new(name: impl Into<String>, options: ManagedOptions) -> Result<Arc<Self>, NoReserve> {
        let name = name.into();
        // A clone waits for what lies below it alone.
        let passages =
            BioSetOptions { reserve: options.reserves.bios, ..BioSetOptions::named("dm passages") };
        Ok(Arc::new(Self {
            channels: Channels::new(&name),
            name,
            passages: BioSet::new(&passages, &options.source)?,
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
        self.channels.geometry()
    }

    fn open(&self, opening: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        Ok(Box::new(ManagedChannel::open(&self.channels, &self.passages, opening)?))
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
