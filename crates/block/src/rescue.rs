//! The rescuer of a bio set: a thread that dispatches the bios which a sleeping allocation would otherwise block (Kent
//! Overstreet's "block: Avoid deadlocks with bio allocation by stacking drivers"; the kernel's `bio_alloc_rescue` and
//! `punt_bios_to_rescuer`).
//!
//! While a driver's `submit` runs, what it submits waits on its thread's lists. Should the driver then sleep for a bio
//! of its set, and the bios that would come home to the set be on those very lists, nobody would ever dispatch them.
//! So before an allocation sleeps, the bios of *its set* on *its thread's* lists go to the set's rescuer, in order.
//! Bios of other sets stay, in order: a rescuer that dispatched those could itself be blocked by their sets.

use std::io;
use std::sync::Arc;

use crate::bio::BioList;
use crate::submit;
use crate::sync::thread::{self, JoinHandle};
use crate::sync::{AtomicU64, Condvar, Mutex, MutexGuard, Ordering};

/// A set's rescuer.
pub(crate) struct Rescuer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    work: Mutex<Work>,
    more: Condvar,
    /// How often bios were given to it.
    punts: AtomicU64,
}

struct Work {
    bios: BioList,
    stops: bool,
}

impl Rescuer {
    /// Starts the thread.
    pub(crate) fn start(name: &str) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            work: Mutex::new(Work { bios: BioList::new(), stops: false }),
            more: Condvar::new(),
            punts: AtomicU64::new(0),
        });
        let theirs = Arc::clone(&shared);
        let thread =
            thread::Builder::new().name(format!("rescue {name}")).spawn(move || theirs.dispatch_all())?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Takes the bios of the set `set` from this thread's lists and dispatches them.
    pub(crate) fn punt(&self, set: usize) {
        let mut bios = submit::take_of_set(set);
        if bios.is_empty() {
            return;
        }
        self.shared.punts.fetch_add(1, Ordering::Relaxed);
        self.shared.lock().bios.append(&mut bios);
        self.shared.more.notify_one();
    }

    /// How often bios were given to it.
    pub(crate) fn punts(&self) -> u64 {
        self.shared.punts.load(Ordering::Relaxed)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Dispatches bio after bio, each outside the lock, with lists of this thread's own that are empty.
    fn dispatch_all(&self) {
        let mut work = self.lock();
        loop {
            if let Some(bio) = work.bios.pop() {
                drop(work);
                submit::dispatch_here(bio);
                work = self.lock();
            } else if work.stops {
                return;
            } else {
                work = self.more.wait(work).unwrap_or_else(std::sync::PoisonError::into_inner);
            }
        }
    }
}

/// The thread ends when it has dispatched everything.
impl Drop for Rescuer {
    fn drop(&mut self) {
        self.shared.lock().stops = true;
        self.shared.more.notify_one();
        // The last reference to a set can go on its rescuer's own thread, with the device of the bio that this dispatches:
        // it cannot wait for itself, and ends when it has returned from there.
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != thread::current().id()
        {
            // A panic of a driver was reported where it happened.
            let _ = thread.join();
        }
    }
}
