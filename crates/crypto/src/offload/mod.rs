//! `offload-sim`: a cipher engine beside the processor, as a driver for one behaves. A thread plays the engine, with the
//! portable driver for its silicon.
//!
//! It is asynchronous, on a thread of its own. Its queue is bounded: what does not fit stands in a backlog, and the caller is
//! asked to send no more. A request of several units needs a descriptor for each, in memory of the caller's; a request of
//! one unit is a descriptor itself. Nobody gets it without asking for it by name.
//!
//! A test can have it go wrong as hardware does: see [`Faults`].
//!
//! * `queue`: what waits for the engine, and in which order it is served.
//! * `descriptor`: what the engine reads of the caller's memory.
//! * `faults`: what goes wrong, and what decides it.

mod descriptor;
mod faults;
mod queue;

#[cfg(test)]
mod tests;

pub use faults::Faults;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use udm_block::{SpanMut, stack};

use crate::algorithm::Algorithm;
use crate::driver::{Answer, BY_NAME, Driver, DriverInfo, KeyedCipher, Later, MultiUnit, Speed};
use crate::error::CryptError;
use crate::job::Job;
use crate::portable;
use crate::request::{IvRule, Request};
use descriptor::DESCRIPTOR;
use faults::Dice;
use queue::{Next, Queue};

/// The driver for each algorithm that it plays: all that the portable driver has.
pub fn drivers() -> impl Iterator<Item = Driver> {
    Algorithm::ALL.into_iter().map(|algorithm| Driver {
        info: DriverInfo {
            name: "offload-sim",
            multi_unit: MultiUnit::Native,
            speed: Speed::Software,
            priority: BY_NAME,
            description: "plays an asynchronous engine: for tests",
            for_tests: true,
        },
        algorithm,
        lacking: None,
        key: |algorithm, key| Ok(Box::new(Engine::new(portable::key(algorithm, key)?, algorithm.iv_size())?)),
    })
}

/// What the engines of this process have done.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counts {
    /// Requests of one unit.
    pub single: u64,
    /// Requests of several units.
    pub several: u64,
    /// Requests that stood in a backlog.
    pub late: u64,
    /// Requests that overtook others.
    pub overtook: u64,
    /// Requests that failed because they were made to.
    pub failed: u64,
    /// Requests that failed because their descriptors were lost.
    pub lost: u64,
    /// Requests whose descriptors were lost, and that began again.
    pub redone: u64,
}

static SINGLE: AtomicU64 = AtomicU64::new(0);
static SEVERAL: AtomicU64 = AtomicU64::new(0);
static LATE: AtomicU64 = AtomicU64::new(0);
static OVERTOOK: AtomicU64 = AtomicU64::new(0);
static FAILED: AtomicU64 = AtomicU64::new(0);
static LOST: AtomicU64 = AtomicU64::new(0);
static REDONE: AtomicU64 = AtomicU64::new(0);

/// What the engines of this process have done so far.
pub fn counts() -> Counts {
    let all = [&SINGLE, &SEVERAL, &LATE, &OVERTOOK, &FAILED, &LOST, &REDONE];
    let [single, several, late, overtook, failed, lost, redone] =
        all.map(|count| count.load(Ordering::Relaxed));
    Counts { single, several, late, overtook, failed, lost, redone }
}

/// Another of these.
fn count(what: &AtomicU64) {
    what.fetch_add(1, Ordering::Relaxed);
}

/// The driver of an engine with a key in it.
struct Engine {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What its callers and its thread share.
struct Shared {
    queue: Queue,
    silicon: Box<dyn KeyedCipher>,
    iv_size: usize,
    faults: Faults,
    dice: Dice,
}

impl Engine {
    fn new(silicon: Box<dyn KeyedCipher>, iv_size: usize) -> Result<Self, &'static str> {
        let faults = Faults::at_birth();
        let (queue, dice) = (Queue::new(), Dice::new(faults.seed));
        let shared = Arc::new(Shared { queue, silicon, iv_size, faults, dice });
        let of_thread = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("offload-sim".into())
            // The stack of a thread that has ended may stay, for the next one.
            .spawn(move || stack::wiped(|| of_thread.run()))
            .map_err(|_| "the system gives it no thread")?;
        Ok(Self { shared, thread: Some(thread) })
    }
}

impl KeyedCipher for Engine {
    fn crypt(&self, request: &mut Request<'_>) -> Result<(), CryptError> {
        if self.shared.refuses(request) {
            return Err(CryptError::UnitSizeRefused);
        }
        self.shared.work(request)
    }

    fn later(&self) -> Option<Later> {
        Some(Later { bytes_per_unit: DESCRIPTOR })
    }

    fn start(&self, mut job: Job) -> Result<Answer, Job> {
        if self.shared.refuses(&job.request()) {
            return Err(job);
        }
        if let Err(error) = descriptor::describe(&mut job, self.shared.iv_size) {
            job.finish(Err(error));
            return Ok(Answer::Done);
        }
        let answer = self.shared.queue.put(job, self.shared.latency());
        Ok(answer.unwrap_or_else(|mut job| {
            let result = self.shared.carry_out(&mut job);
            job.finish(result);
            Answer::Done
        }))
    }
}

impl Shared {
    /// Carries out job after job, until the engine stops and has none.
    fn run(&self) {
        while let Next::Job(mut job, overtakes) = self.queue.next(&self.faults, &self.dice, || self.latency())
        {
            if overtakes {
                count(&OVERTOOK);
            }
            let result = self.carry_out(&mut job);
            job.finish(result);
        }
    }

    /// Whether it refuses what it says it takes.
    fn refuses(&self, request: &Request<'_>) -> bool {
        self.faults.refuses == Some(request.unit_size) && request.units() > 1
    }

    /// How long a request is to take.
    fn latency(&self) -> Duration {
        match self.faults.latency_us_max {
            0 => Duration::ZERO,
            most => Duration::from_micros(self.dice.below(most as usize) as u64 + 1),
        }
    }

    /// What the engine does: descriptor by descriptor.
    fn carry_out(&self, job: &mut Job) -> Result<(), CryptError> {
        let (mut request, mut memory) = job.request_and_memory();
        let units = request.units();
        if units == 1 {
            count(&SINGLE);
            return self.work(&mut request);
        }
        count(&SEVERAL);
        let fails_at = self.dice.strikes(self.faults.fails_per_mille).then(|| self.dice.below(units));
        if self.dice.strikes(self.faults.loses_per_mille) {
            let from = self.dice.below(units) * self.dice.below(2);
            descriptor::lose(&mut memory, from);
        }
        for unit in 0..units {
            if fails_at == Some(unit) {
                count(&FAILED);
                return Err(CryptError::Failed);
            }
            let found = descriptor::read(memory.as_span(), unit).or_else(|| {
                // Nothing is done yet, so the source is as it was.
                (unit == 0).then(|| self.again(&request, &mut memory)).flatten()
            });
            let Some((at, iv)) = found else {
                count(&LOST);
                return Err(CryptError::Failed);
            };
            let ivs = [iv];
            let (src, iv) = (request.src.after(at).first(request.unit_size), IvRule::WideVector(&ivs));
            let mut dst = request.dst.after(at);
            let (direction, unit_size) = (request.direction, request.unit_size);
            self.silicon.crypt(&mut Request { direction, src, dst: dst.first(unit_size), unit_size, iv })?;
        }
        self.lie(&mut request);
        Ok(())
    }

    /// Writes the lost descriptors again, and reads the first.
    fn again(&self, request: &Request<'_>, memory: &mut SpanMut<'_>) -> Option<(usize, [u8; 32])> {
        count(&REDONE);
        descriptor::write(request, memory, self.iv_size).ok()?;
        descriptor::read(memory.as_span(), 0)
    }

    /// A request without descriptors.
    fn work(&self, request: &mut Request<'_>) -> Result<(), CryptError> {
        if self.dice.strikes(self.faults.fails_per_mille) {
            count(&FAILED);
            return Err(CryptError::Failed);
        }
        self.silicon.crypt(request)?;
        self.lie(request);
        Ok(())
    }

    /// Puts a wrong bit into what is done, where it is to.
    fn lie(&self, request: &mut Request<'_>) {
        if self.dice.strikes(self.faults.lies_per_mille) {
            let (at, mut byte) = (self.dice.below(request.dst.len()), [0]);
            request.dst.as_iter().after(at).read(&mut byte);
            request.dst.after(at).write(&[byte[0] ^ 4]);
        }
    }
}

/// The engine stops when it has done what it was given.
impl Drop for Engine {
    fn drop(&mut self) {
        self.shared.queue.stop();
        if let Some(thread) = self.thread.take() {
            // A panic was reported where it happened.
            let _ = thread.join();
        }
    }
}
