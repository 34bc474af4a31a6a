//! The thread that tells channels when the first of their bios is due.
//!
//! An alarm is a number that its channel lowers and the thread takes. The channel wakes the thread only where it has
//! lowered it, and a wakeup that comes before the thread sleeps is kept ([`std::thread::park`]), so none is lost.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use udm_block::Address;

use super::class::Class;

/// No bio is due, ever.
pub(super) const NEVER: u64 = u64::MAX;

/// The stack of the thread. It calls little, and a program that locks its memory has all of it locked.
const STACK: usize = 128 << 10;

/// The thread of one target.
pub(super) struct Timer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    began: Instant,
    ends: AtomicBool,
    /// Whether anything is delayed: not while the device is suspended.
    delays: AtomicBool,
    /// Those of all channels. The I/O path does not look at them.
    alarms: Mutex<Vec<Arc<Alarm>>>,
}

/// When a channel is to be told, and how many bios it holds of each class.
pub(super) struct Alarm {
    /// In nanoseconds of the timer's clock.
    at: AtomicU64,
    held: [AtomicUsize; Class::COUNT],
    address: Address,
}

impl Timer {
    /// Starts the thread. When this returns the thread runs, and takes no more memory: a program that seals and locks its
    /// memory does so when its devices are open.
    ///
    /// # Errors
    /// When the system gives no thread.
    // not on the I/O path: once, when its thread begins
    pub(super) fn start() -> io::Result<Self> {
        let shared = Arc::new(Shared {
            began: Instant::now(),
            ends: AtomicBool::new(false),
            delays: AtomicBool::new(true),
            alarms: Mutex::default(),
        });
        let (theirs, ready) = (Arc::clone(&shared), Arc::new(Barrier::new(2)));
        let runs = Arc::clone(&ready);
        let run = move || {
            runs.wait();
            drop(runs);
            theirs.run();
        };
        let thread = thread::Builder::new().name("delay".into()).stack_size(STACK).spawn(run)?;
        ready.wait();
        Ok(Self { thread: Some(thread), shared })
    }

    /// The time, in nanoseconds since the timer was started.
    pub(super) fn now(&self) -> u64 {
        self.shared.now()
    }

    /// Whether anything is delayed.
    pub(super) fn delays(&self) -> bool {
        self.shared.delays.load(Ordering::Acquire)
    }

    /// Says whether anything is delayed. All channels send below what they hold, where nothing is.
    pub(super) fn set_delays(&self, delays: bool) {
        self.shared.delays.store(delays, Ordering::Release);
        self.shared.lock().iter().for_each(|alarm| alarm.address.notify());
    }

    /// The alarm of a channel that is being opened.
    pub(super) fn alarm(&self, address: Address) -> Arc<Alarm> {
        // not on the I/O path: once a channel
        let alarm = Arc::new(Alarm { at: AtomicU64::new(NEVER), held: Default::default(), address });
        self.shared.lock().push(Arc::clone(&alarm));
        alarm
    }

    /// Forgets the alarm of a channel that is closed.
    pub(super) fn forget(&self, alarm: &Arc<Alarm>) {
        self.shared.lock().retain(|other| !Arc::ptr_eq(other, alarm));
    }

    /// Has the channel told at `at`, or before.
    pub(super) fn set(&self, alarm: &Alarm, at: u64) {
        if at < alarm.at.fetch_min(at, Ordering::AcqRel)
            && let Some(thread) = &self.thread
        {
            thread.thread().unpark();
        }
    }

    /// How many bios of each class are held, in all channels.
    pub(super) fn held(&self) -> [usize; Class::COUNT] {
        let alarms = self.shared.lock();
        [0, 1, 2].map(|class| alarms.iter().map(|alarm| alarm.held[class].load(Ordering::Relaxed)).sum())
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It panics nowhere; if it did, there is nothing left to do for it.
            let _ = thread.join();
        }
    }
}

impl Alarm {
    /// One bio more is held, or one less. Its channel alone counts.
    pub(super) fn count(&self, class: Class, more: bool) {
        let held = &self.held[class as usize];
        let count = held.load(Ordering::Relaxed);
        held.store(if more { count + 1 } else { count - 1 }, Ordering::Relaxed);
    }
}

impl Shared {
    fn now(&self) -> u64 {
        self.began.elapsed().as_nanos() as u64
    }

    fn run(&self) {
        while !self.ends.load(Ordering::Acquire) {
            match self.ring() {
                NEVER => thread::park(),
                next => thread::park_timeout(Duration::from_nanos(next.saturating_sub(self.now()))),
            }
        }
    }

    /// Tells the channels that are due. When the next one is.
    fn ring(&self) -> u64 {
        let (now, mut next) = (self.now(), NEVER);
        for alarm in &*self.lock() {
            let at = alarm.at.load(Ordering::Acquire);
            if at > now {
                next = next.min(at);
                continue;
            }
            // The channel sets it again, for what is not due yet.
            alarm.at.store(NEVER, Ordering::Release);
            alarm.address.notify();
        }
        next
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Alarm>>> {
        self.alarms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
