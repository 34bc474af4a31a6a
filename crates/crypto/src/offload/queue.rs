//! An engine's queue: bounded, with a backlog for what does not fit, and an order that faults may change.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::faults::{Dice, Faults};
use crate::driver::Answer;
use crate::job::Job;

/// How many jobs came to a full queue.
pub(super) static LATE: AtomicU64 = AtomicU64::new(0);

/// From how many jobs with the engine on more are asked to wait.
const QUEUE: usize = 16;
/// How many more its driver takes in. Callers stop at the first, so that this is for those who have not heard yet.
const BACKLOG: usize = 1024;

/// What an engine's callers and its thread share.
pub(super) struct Queue {
    jobs: Mutex<Jobs>,
    news: Condvar,
}

/// All room is taken at the start: what an engine does for a write may not need memory.
struct Jobs {
    queue: VecDeque<Waiting>,
    backlog: VecDeque<Job>,
    stops: bool,
}

/// A job with the engine, and when it will be done at the earliest.
struct Waiting {
    job: Job,
    due: Option<Instant>,
}

/// What the engine's thread is to do.
pub(super) enum Next {
    /// A job is due. Whether it overtakes another.
    Job(Job, bool),
    /// There is none, and the engine stops.
    Stop,
}

impl Queue {
    pub(super) fn new() -> Self {
        let (queue, backlog) = (VecDeque::with_capacity(QUEUE + 1), VecDeque::with_capacity(BACKLOG));
        Self { jobs: Mutex::new(Jobs { queue, backlog, stops: false }), news: Condvar::new() }
    }

    /// Takes a job in.
    ///
    /// # Errors
    /// The job, where there is no room.
    pub(super) fn put(&self, job: Job, latency: Duration) -> Result<Answer, Job> {
        let mut jobs = self.lock();
        let answer = if jobs.queue.len() < QUEUE {
            jobs.queue.push_back(Waiting::new(job, latency));
            Answer::Queued
        } else if jobs.backlog.len() < BACKLOG {
            jobs.backlog.push_back(job);
            LATE.fetch_add(1, Ordering::Relaxed);
            Answer::Busy
        } else {
            return Err(job);
        };
        drop(jobs);
        self.news.notify_one();
        Ok(answer)
    }

    /// Waits for the next job. Those from the backlog take the `latency` that is drawn for them.
    pub(super) fn next(&self, faults: &Faults, dice: &Dice, latency: impl Fn() -> Duration) -> Next {
        let mut jobs = self.lock();
        loop {
            if jobs.queue.is_empty() && jobs.stops {
                return Next::Stop;
            }
            match jobs.due(faults.reorders, dice) {
                Ok(at) => {
                    let waiting = jobs.queue.remove(at).expect("it is due");
                    if let Some(next) = jobs.backlog.pop_front() {
                        drop(jobs);
                        // It may send more before this returns.
                        next.admitted();
                        self.lock().queue.push_back(Waiting::new(next, latency()));
                    }
                    return Next::Job(waiting.job, at > 0);
                }
                Err(None) => jobs = self.news.wait(jobs).unwrap_or_else(PoisonError::into_inner),
                Err(Some(time)) => {
                    jobs = self.news.wait_timeout(jobs, time).unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
    }

    /// The engine stops when it has done what it was given.
    pub(super) fn stop(&self) {
        self.lock().stops = true;
        self.news.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Jobs {
    /// Where a job is that is due, of the first alone or of any. Else how long none will be, if there are some.
    fn due(&self, any: bool, dice: &Dice) -> Result<usize, Option<Duration>> {
        let candidates = if any { self.queue.len() } else { self.queue.len().min(1) };
        if candidates == 0 {
            return Err(None);
        }
        let first = dice.below(candidates);
        let mut soonest = Duration::MAX;
        for at in (first..candidates).chain(0..first) {
            match self.queue[at].due.map(|due| due.saturating_duration_since(Instant::now())) {
                None | Some(Duration::ZERO) => return Ok(at),
                Some(time) => soonest = soonest.min(time),
            }
        }
        Err(Some(soonest))
    }
}

impl Waiting {
    fn new(job: Job, latency: Duration) -> Self {
        Self { job, due: (latency > Duration::ZERO).then(|| Instant::now() + latency) }
    }
}
