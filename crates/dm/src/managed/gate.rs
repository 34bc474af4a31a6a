//! What every I/O of a managed device passes: it counts those under way, and holds new ones while the device is
//! suspended (the kernel's `pending_io`, `DMF_BLOCK_IO_FOR_SUSPEND` and list of deferred bios).

use std::num::NonZero;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use udm_block::submit::{resubmit, stay_at_called_device};
use udm_block::{Bio, BioList, Status};

/// The most stripes: past this many threads at once, some share one.
const MAX_STRIPES: usize = 64;
/// How long a drain sleeps between two looks.
const INTERVAL: Duration = Duration::from_millis(1);

/// The gate of one device.
///
/// A bio under way is a reference to one of the stripes, each of which is on cache lines of its own and belongs to the
/// threads of one number. So a bio costs its thread an addition and a subtraction there, and nobody is told of its
/// end: who drains looks again.
pub(super) struct Gate {
    closed: AtomicBool,
    stripes: Box<[Arc<Stripe>]>,
    held: Mutex<Held>,
}

/// A bio under way.
pub(super) struct Pass(#[expect(dead_code, reason = "its count is what matters")] Arc<Stripe>);

/// Nothing but a place for the count of an [`Arc`].
#[repr(align(128))]
struct Stripe;

/// What came while the gate was closed.
#[derive(Default)]
struct Held {
    bios: BioList,
    count: usize,
    /// Nothing is held any more: what comes to the closed gate ends with this.
    refuses: Option<Status>,
}

impl Gate {
    /// A gate, which is closed: a device has no table at first.
    pub(super) fn new() -> Self {
        let threads = thread::available_parallelism().map_or(1, NonZero::get);
        let stripes = (2 * threads).next_power_of_two().min(MAX_STRIPES);
        Self {
            closed: AtomicBool::new(true),
            stripes: (0..stripes).map(|_| Arc::new(Stripe)).collect(),
            held: Mutex::default(),
        }
    }

    /// A pass for a bio, unless the gate is closed.
    #[inline]
    pub(super) fn enter(&self) -> Option<Pass> {
        let pass = Pass(Arc::clone(&self.stripes[thread_number() & (self.stripes.len() - 1)]));
        // Counted first, and then looked: whoever closes does it the other way round. So one of the two sees the other
        // (the fence in `count`).
        fence(Ordering::SeqCst);
        (!self.closed.load(Ordering::Acquire)).then_some(pass)
    }

    /// Keeps a bio of the device whose driver is being called until the gate opens.
    ///
    /// # Errors
    /// Hands it back when the gate has opened meanwhile.
    #[cold]
    pub(super) fn hold(&self, mut bio: Bio) -> Result<(), Bio> {
        let mut held = self.lock();
        if !self.closed.load(Ordering::Acquire) {
            return Err(bio);
        }
        if let Some(status) = held.refuses {
            drop(held);
            bio.complete(status);
            return Ok(());
        }
        stay_at_called_device(&mut bio);
        held.bios.push(bio);
        held.count += 1;
        Ok(())
    }

    /// From now on bios are held, for good.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    /// From now on bios are held, until what is returned goes: whichever way its holder returns, by a panic too.
    pub(super) fn close_for_now(&self) -> Closed<'_> {
        self.close();
        Closed(self)
    }

    /// Lets bios in again. Those that were held go where they were going, each on its queue thread, in order.
    pub(super) fn open(&self) {
        let mut held = self.lock();
        self.closed.store(false, Ordering::SeqCst);
        let mut bios = held.take();
        drop(held);
        while let Some(bio) = bios.pop() {
            resubmit(bio);
        }
    }

    /// What is held ends with `status`, and so does from now on whatever comes to the closed gate.
    pub(super) fn refuse(&self, status: Status) {
        let mut held = self.lock();
        held.refuses = Some(status);
        let mut bios = held.take();
        drop(held);
        while let Some(bio) = bios.pop() {
            udm_block::queue::complete_at_home(bio, status);
        }
    }

    /// Waits, behind a closed gate, until no bio is under way: whether none was by `deadline`.
    pub(super) fn drain(&self, deadline: Option<Instant>) -> bool {
        while self.count() > 0 {
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return false;
            }
            thread::sleep(INTERVAL);
        }
        true
    }

    /// How many bios are under way. Behind a closed gate it only falls, and is never less than there are.
    pub(super) fn count(&self) -> usize {
        fence(Ordering::SeqCst);
        let count = self.stripes.iter().map(|stripe| Arc::strong_count(stripe) - 1).sum();
        // What was done before a pass was given back has happened for whoever saw that.
        fence(Ordering::SeqCst);
        count
    }

    /// How many bios are held.
    pub(super) fn held(&self) -> usize {
        self.lock().count
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The time in which a gate is closed.
#[must_use = "the gate opens again when this is dropped"]
pub(super) struct Closed<'a>(&'a Gate);

impl Closed<'_> {
    /// The gate stays closed.
    pub(super) fn stay(self) {
        std::mem::forget(self);
    }
}

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        self.0.open();
    }
}

impl Held {
    fn take(&mut self) -> BioList {
        self.count = 0;
        std::mem::take(&mut self.bios)
    }
}

/// Threads by number, in the order in which they first came.
fn thread_number() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static NUMBER: usize = THREADS.fetch_add(1, Ordering::Relaxed));
    NUMBER.with(|number| *number)
}
