//! `offload-sim`: a cipher engine beside the processor, as a driver for one behaves. A thread plays the engine, with the
//! portable driver for its silicon.
//!
//! It answers later, on its own thread. Its queue is bounded: what does not fit stands in a backlog, and the caller is
//! asked to send no more. A request of several units needs a descriptor for each, in memory of the caller's; a request of
//! one unit is a descriptor itself. Nobody gets it without asking for it by name.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use udm_block::Span;

use crate::algorithm::{Algorithm, Mode};
use crate::driver::{Answer, Driver, DriverInfo, KeyedCipher, Later, MultiUnit, Speed};
use crate::error::CryptError;
use crate::job::Job;
use crate::portable;
use crate::request::{Iv, IvRule, Request};

/// From how many jobs with the engine on more are asked to wait.
const QUEUE: usize = 16;
/// How many more its driver takes in. Callers stop at the first, so that this is for those who have not heard yet.
const BACKLOG: usize = 1024;

/// The driver for each algorithm that it plays.
pub fn drivers() -> [Driver; 3] {
    [Mode::Xts, Mode::Cbc, Mode::Ecb].map(|mode| Driver {
        info: DriverInfo {
            name: "offload-sim",
            multi_unit: MultiUnit::Native,
            speed: Speed::Software,
            priority: 1,
            description: "plays an engine that answers later: for tests",
        },
        algorithm: Algorithm::aes(mode),
        lacking: None,
        key: |algorithm, key| Ok(Box::new(Engine::new(portable::key(algorithm, key)?)?)),
    })
}

/// What the engines of this process have carried out.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counts {
    /// Requests of one unit.
    pub single: u64,
    /// Requests of several units.
    pub several: u64,
    /// Requests that stood in a backlog.
    pub late: u64,
}

static SINGLE: AtomicU64 = AtomicU64::new(0);
static SEVERAL: AtomicU64 = AtomicU64::new(0);
static LATE: AtomicU64 = AtomicU64::new(0);

/// What the engines of this process have carried out so far.
pub fn counts() -> Counts {
    let [single, several, late] = [&SINGLE, &SEVERAL, &LATE].map(|count| count.load(Ordering::Relaxed));
    Counts { single, several, late }
}

/// The engine with a key in it.
struct Engine {
    silicon: Arc<dyn KeyedCipher>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What its callers and its thread share.
struct Shared {
    jobs: Mutex<Jobs>,
    news: Condvar,
}

/// All room is taken at the start: what an engine does for a write may not need memory.
struct Jobs {
    queue: VecDeque<Job>,
    backlog: VecDeque<Job>,
    stops: bool,
}

impl Engine {
    fn new(silicon: Box<dyn KeyedCipher>) -> Result<Self, &'static str> {
        let silicon: Arc<dyn KeyedCipher> = Arc::from(silicon);
        let (queue, backlog) = (VecDeque::with_capacity(QUEUE + 1), VecDeque::with_capacity(BACKLOG));
        let jobs = Mutex::new(Jobs { queue, backlog, stops: false });
        let shared = Arc::new(Shared { jobs, news: Condvar::new() });
        let (of_thread, engine) = (Arc::clone(&shared), Arc::clone(&silicon));
        let thread = thread::Builder::new()
            .name("offload-sim".into())
            .spawn(move || of_thread.work(engine.as_ref()))
            .map_err(|_| "the system gives it no thread")?;
        Ok(Self { silicon, shared, thread: Some(thread) })
    }
}

impl KeyedCipher for Engine {
    fn crypt(&self, request: &Request<'_>) -> Result<(), CryptError> {
        self.silicon.crypt(request)
    }

    fn later(&self) -> Option<Later> {
        Some(Later { bytes_per_unit: DESCRIPTOR })
    }

    fn start(&self, job: Job) -> Result<Answer, Job> {
        if let Err(error) = describe(&job) {
            job.finish(Err(error));
            return Ok(Answer::Done);
        }
        let mut jobs = self.shared.lock();
        let answer = if jobs.queue.len() < QUEUE {
            jobs.queue.push_back(job);
            Answer::Queued
        } else if jobs.backlog.len() < BACKLOG {
            jobs.backlog.push_back(job);
            LATE.fetch_add(1, Ordering::Relaxed);
            Answer::Busy
        } else {
            drop(jobs);
            let result = carry_out(self.silicon.as_ref(), &job);
            job.finish(result);
            return Ok(Answer::Done);
        };
        drop(jobs);
        self.shared.news.notify_one();
        Ok(answer)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries out job after job, until the engine stops and has none.
    fn work(&self, silicon: &dyn KeyedCipher) {
        let mut jobs = self.lock();
        loop {
            if let Some(job) = jobs.queue.pop_front() {
                let next = jobs.backlog.pop_front();
                drop(jobs);
                if let Some(next) = next {
                    // It may send more before this returns.
                    next.admitted();
                    self.lock().queue.push_back(next);
                }
                let result = carry_out(silicon, &job);
                job.finish(result);
                jobs = self.lock();
            } else if jobs.stops {
                return;
            } else {
                jobs = self.news.wait(jobs).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}

/// The engine stops when it has done what it was given.
impl Drop for Engine {
    fn drop(&mut self) {
        self.shared.lock().stops = true;
        self.shared.news.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic was reported where it happened.
            let _ = thread.join();
        }
    }
}

/// The bytes of a descriptor: where the unit is in the request, and its IV.
const DESCRIPTOR: usize = 8 + size_of::<Iv>();

/// Writes the descriptors of a request of several units.
fn describe(job: &Job) -> Result<(), CryptError> {
    let (request, memory) = (job.request(), job.memory());
    if request.units() == 1 {
        return Ok(());
    }
    if memory.len() < request.units() * DESCRIPTOR {
        return Err(CryptError::NoMemory);
    }
    for unit in 0..request.units() {
        let mut descriptor = [0; DESCRIPTOR];
        descriptor[..8].copy_from_slice(&((unit * request.unit_size) as u64).to_le_bytes());
        descriptor[8..].copy_from_slice(&request.iv.iv(unit));
        memory.slice(unit * DESCRIPTOR, DESCRIPTOR).write(&descriptor);
    }
    Ok(())
}

/// What the engine does: descriptor by descriptor.
fn carry_out(silicon: &dyn KeyedCipher, job: &Job) -> Result<(), CryptError> {
    let (request, memory) = (job.request(), job.memory());
    if request.units() == 1 {
        SINGLE.fetch_add(1, Ordering::Relaxed);
        return silicon.crypt(&request);
    }
    SEVERAL.fetch_add(1, Ordering::Relaxed);
    (0..request.units()).try_for_each(|unit| {
        let (at, iv) = read(memory.slice(unit * DESCRIPTOR, DESCRIPTOR));
        silicon.crypt(&Request {
            src: request.src.after(at).first(request.unit_size),
            dst: request.dst.after(at).first(request.unit_size),
            iv: IvRule::Constant(iv),
            ..request
        })
    })
}

/// The place and the IV that a descriptor holds.
fn read(from: Span<'_>) -> (usize, Iv) {
    let (mut at, mut iv) = ([0; 8], Iv::default());
    from.slice(0, 8).read(&mut at);
    from.slice(8, size_of::<Iv>()).read(&mut iv);
    (u64::from_le_bytes(at) as usize, iv)
}
