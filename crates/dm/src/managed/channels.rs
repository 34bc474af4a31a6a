//! The channels that queues have open to a managed device, and what holds for each of them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use udm_block::{Address, Geometry, Sectors, Status};

use crate::mapped::MappedDevice;
use crate::targets::Target;

/// The channels of one managed device.
pub(super) struct Channels {
    /// The device's name, for the log.
    name: String,
    inner: Mutex<Inner>,
}

struct Inner {
    current: Current,
    open: Vec<Member>,
    /// The number of the last channel that was registered.
    last: u64,
}

/// What holds for every channel. One that is opened begins with it, and is told of each change that comes later.
#[derive(Clone)]
pub(super) struct Current {
    /// The live table's device. Not there without a table, or without its key.
    pub(super) table: Option<Arc<MappedDevice>>,
    /// What clients are told. It outlives the device of a table whose key is wiped.
    pub(super) geometry: Geometry,
    /// New bios are held.
    pub(super) holds: bool,
    /// Bios that would be held end with this.
    pub(super) refuses: Option<Status>,
}

/// A channel that is open.
struct Member {
    number: u64,
    address: Address,
    counts: Arc<Counts>,
}

/// What a channel has of bios. It alone writes them, on cache lines of its own; others read.
#[derive(Default)]
#[repr(align(128))]
pub(super) struct Counts {
    /// Sent below.
    pub(super) under_way: AtomicUsize,
    pub(super) held: AtomicUsize,
}

/// A channel's place among the others. It is dropped when the queue has nothing left of the channel.
pub(super) struct Registration {
    channels: Arc<Channels>,
    number: u64,
}

impl Channels {
    /// No channels, of a device without a table: bios are held.
    pub(super) fn new(name: &str) -> Arc<Self> {
        let geometry = Geometry::plain(Sectors(0));
        let current = Current { table: None, geometry, holds: true, refuses: None };
        let inner = Mutex::new(Inner { current, open: Vec::new(), last: 0 });
        Arc::new(Self { name: name.to_owned(), inner })
    }

    /// The device's name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Adds the channel at `address`, which is about to be opened. What holds for it now; a later change is sent to it.
    pub(super) fn register(
        self: &Arc<Self>,
        address: Address,
        counts: &Arc<Counts>,
    ) -> (Registration, Current) {
        let mut inner = self.lock();
        inner.last += 1;
        let number = inner.last;
        inner.open.push(Member { number, address, counts: Arc::clone(counts) });
        (Registration { channels: Arc::clone(self), number }, inner.current.clone())
    }

    /// Changes what holds for channels that will be opened: the addresses of those that are open and have to be told.
    pub(super) fn change(&self, change: impl FnOnce(&mut Current)) -> Vec<Address> {
        let mut inner = self.lock();
        change(&mut inner.current);
        inner.open.iter().map(|member| member.address.clone()).collect()
    }

    /// What clients are told of the device.
    pub(super) fn geometry(&self) -> Geometry {
        self.lock().current.geometry
    }

    /// Whether the live table has a device.
    pub(super) fn has_table(&self) -> bool {
        self.lock().current.table.is_some()
    }

    /// What each target of the live table says of itself. It is asked under the lock: who replaces the table does not wait
    /// for anybody else who has it.
    pub(super) fn status(&self) -> Vec<String> {
        let inner = self.lock();
        inner.current.table.iter().flat_map(|table| table.targets()).map(Target::status).collect()
    }

    /// The live table's device. The caller changes the managed device, so that nobody waits for its end meanwhile.
    pub(super) fn table(&self) -> Option<Arc<MappedDevice>> {
        self.lock().current.table.clone()
    }

    /// How many bios are under way: a guess unless all channels hold.
    pub(super) fn under_way(&self) -> usize {
        self.sum(|counts| &counts.under_way)
    }

    /// How many bios are held.
    pub(super) fn held(&self) -> usize {
        self.sum(|counts| &counts.held)
    }

    fn sum(&self, which: impl Fn(&Counts) -> &AtomicUsize) -> usize {
        self.lock().open.iter().map(|member| which(&member.counts).load(Ordering::Relaxed)).sum()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.channels.lock().open.retain(|member| member.number != self.number);
    }
}
