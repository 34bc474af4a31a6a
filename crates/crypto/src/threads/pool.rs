//! The threads, and the requests that wait for them. The lock is held for a few steps at a time; the work is done outside.

use std::collections::VecDeque;
use std::num::NonZero;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;

use udm_block::stack;

use super::slot::{Part, Spread};
use crate::driver::Answer;
use crate::error::CryptError;
use crate::job::Job;
use crate::skcipher::Skcipher;

/// How many requests are at work or next. From then on callers are asked to wait. (A checker gets to the end of a few.)
pub(super) const SLOTS: usize = if cfg!(miri) { 3 } else { 64 };
/// How many more are taken in. Callers stop at the first, so that this is for those who have not heard yet; what does not
/// fit here is done on its caller's thread.
pub(super) const BACKLOG: usize = if cfg!(miri) { 4 } else { 256 };

/// The pool.
pub(super) struct Pool {
    work: Mutex<Work>,
    news: Condvar,
}

/// All room is taken at the start: what is done for a write may not need memory.
struct Work {
    slots: Box<[Option<Spread>]>,
    /// The slots without a request.
    free: Vec<usize>,
    /// Those whose requests have parts that are not given out, the oldest first.
    ready: VecDeque<usize>,
    backlog: VecDeque<Spread>,
    /// How many threads wait for work.
    idle: usize,
    counts: Counts,
}

/// What the pool has done.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counts {
    /// Requests that were spread, and ended.
    pub spread: u64,
    /// Parts of requests.
    pub parts: u64,
    /// Requests that stood in the backlog.
    pub late: u64,
}

impl Pool {
    /// The pool of this process, which is made at the first call.
    ///
    /// # Errors
    /// When the system gives it no thread at all.
    pub(super) fn global() -> Result<&'static Self, &'static str> {
        static POOL: OnceLock<Option<&'static Pool>> = OnceLock::new();
        let pool = POOL.get_or_init(|| Self::start(thread::available_parallelism().map_or(1, NonZero::get)));
        pool.ok_or("the system gives it no thread")
    }

    /// A pool of so many threads, or of as many as the system gives. They never end.
    // not on the I/O path: once, when its thread begins
    pub(super) fn start(threads: usize) -> Option<&'static Self> {
        let pool: &'static Self =
            Box::leak(Box::new(Self { work: Mutex::new(Work::new()), news: Condvar::new() }));
        let spawn = || thread::Builder::new().name("cipher".into()).spawn(move || pool.run());
        let started = (0..threads).filter(|_| spawn().is_ok()).count();
        (started > 0).then_some(pool)
    }

    /// Takes a job for `cipher` in, to be done in parts of `units` units.
    ///
    /// # Errors
    /// The job, where there is no room.
    pub(super) fn put(&self, job: Job, cipher: &Arc<Skcipher>, units: usize) -> Result<Answer, Job> {
        let mut work = self.lock();
        if let Some(slot) = work.free.pop() {
            let threads = work.enter(slot, Spread::new(job, Arc::clone(cipher), units));
            drop(work);
            self.wake(threads);
            Ok(Answer::Queued)
        } else if work.backlog.len() < BACKLOG {
            work.backlog.push_back(Spread::new(job, Arc::clone(cipher), units));
            work.counts.late += 1;
            Ok(Answer::Busy)
        } else {
            Err(job)
        }
    }

    /// What it has done so far.
    pub(super) fn counts(&self) -> Counts {
        self.lock().counts
    }

    /// Carries out part after part.
    fn run(&self) -> ! {
        let (mut work, mut has_worked) = (self.lock(), false);
        loop {
            let Some((slot, part)) = work.take() else {
                if has_worked {
                    // A cipher has left round keys on the stack, and the key may be wiped while this thread waits.
                    drop(work);
                    stack::wipe();
                    (work, has_worked) = (self.lock(), false);
                    continue;
                }
                work.idle += 1;
                work = self.news.wait(work).unwrap_or_else(PoisonError::into_inner);
                work.idle -= 1;
                continue;
            };
            drop(work);
            let result = part.crypt();
            (work, has_worked) = (self.lock(), true);
            if let Some(spread) = work.put_back(slot, result) {
                let next = work.backlog.pop_front();
                if next.is_none() {
                    work.free.push(slot);
                }
                drop(work);
                spread.finish();
                if let Some(next) = next {
                    // No thread has it until it is told: it may send more before this returns.
                    next.admitted();
                    let threads = self.lock().enter(slot, next);
                    self.wake(threads);
                }
                work = self.lock();
            }
        }
    }

    fn wake(&self, threads: usize) {
        for _ in 0..threads {
            self.news.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Work {
    // not on the I/O path: once, when it is made
    fn new() -> Self {
        Self {
            slots: (0..SLOTS).map(|_| None).collect(),
            free: (0..SLOTS).collect(),
            ready: VecDeque::with_capacity(SLOTS),
            backlog: VecDeque::with_capacity(BACKLOG),
            idle: 0,
            counts: Counts::default(),
        }
    }

    /// Puts a request into a slot that is its own. How many threads are to be woken for it.
    fn enter(&mut self, slot: usize, spread: Spread) -> usize {
        let threads = spread.parts_left().min(self.idle);
        self.slots[slot] = Some(spread);
        self.ready.push_back(slot);
        threads
    }

    /// The next part of the oldest request, and its slot.
    fn take(&mut self) -> Option<(usize, Part)> {
        let slot = *self.ready.front()?;
        let spread = self.slots[slot].as_mut().expect("what is ready has a slot");
        let part = spread.take().expect("what is ready has parts");
        if spread.parts_left() == 0 {
            self.ready.pop_front();
        }
        self.counts.parts += 1;
        Some((slot, part))
    }

    /// A part has come back. The request, where that was its last.
    fn put_back(&mut self, slot: usize, result: Result<(), CryptError>) -> Option<Spread> {
        let spread = self.slots[slot].as_mut().expect("its part was at work");
        let last = spread.put_back(result);
        if result.is_err() {
            self.ready.retain(|other| *other != slot);
        }
        if !last {
            return None;
        }
        self.counts.spread += 1;
        self.slots[slot].take()
    }
}
