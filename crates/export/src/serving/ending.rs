//! The end of a server: it waits for what the device still has, and says so.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How often it is looked whether the threads have ended.
const INTERVAL: Duration = Duration::from_millis(1);
/// How often it is said what is waited for.
const REMINDER: Duration = Duration::from_secs(5);

/// Whether the server is to end, and what is left to do then.
#[derive(Default)]
pub struct Ending {
    asked: AtomicBool,
    /// Requests on the device whose clients are hung up on when they have ended.
    unanswered: AtomicUsize,
}

impl Ending {
    /// Has the server end.
    pub(super) fn ask(&self) {
        self.asked.store(true, Ordering::SeqCst);
    }

    /// Whether it is to end.
    pub fn is_asked(&self) -> bool {
        self.asked.load(Ordering::SeqCst)
    }

    /// There are `now` requests of a client where there were `before`.
    pub fn count(&self, before: usize, now: usize) {
        self.unanswered.fetch_add(now.wrapping_sub(before), Ordering::SeqCst);
    }

    /// Waits until all `threads` have ended: they do when the device has ended their requests, and their clients have had
    /// their time. A device that ends nothing for all of `patience` is given up.
    ///
    /// # Errors
    /// When it is given up.
    pub(super) fn wait_for(&self, mut threads: Vec<JoinHandle<()>>, patience: Duration) -> io::Result<()> {
        let (mut left, mut changed, mut told) = (usize::MAX, Instant::now(), Instant::now());
        loop {
            // A panic was caught and logged in the thread.
            threads.retain(|thread| !thread.is_finished());
            if threads.is_empty() {
                return Ok(());
            }
            let now = self.unanswered.load(Ordering::SeqCst);
            if now != left {
                (left, changed) = (now, Instant::now());
            }
            let clients = threads.len();
            if changed.elapsed() > patience {
                return Err(io::Error::other(format!(
                    "the device has ended none of the last {left} requests of {clients} clients for {} s: they are given \
                     up, and were never acknowledged",
                    patience.as_secs()
                )));
            }
            if told.elapsed() > REMINDER {
                told = Instant::now();
                tracing::warn!(
                    "stopping: {clients} clients are left, with {left} requests that the device has not ended"
                );
            }
            thread::sleep(INTERVAL);
        }
    }
}
