//! `threads`: a pool of threads that encrypt and decrypt, as many as there are processors. The units of one long request
//! are spread over them, and so are the requests of all keys.
//!
//! The bytes come from the best driver that works on its caller's thread. What is not worth handing over is done
//! at once, on the caller's thread. Nobody gets it without asking for it by name: a caller that has a thread for each of
//! its clients uses all processors already, and saves the way to another thread and back.
//!
//! The pool is made when its first key is set, and stays. It is bounded, allocates nothing afterwards, and needs no
//! memory of the caller's: what is to be known of a request at work stands in slots made at the start.
//!
//! * `pool`: the threads, and what waits for them.
//! * `slot`: a request that is spread over threads.

mod pool;
mod slot;

#[cfg(test)]
mod tests;

pub use pool::Counts;

use std::cell::Cell;
use std::sync::Arc;

use crate::algorithm::{Algorithm, Cipher};
use crate::driver::{Answer, BY_NAME, Driver, DriverInfo, KeyedCipher, Later, MultiUnit, Speed};
use crate::error::CryptError;
use crate::job::Job;
use crate::registry::{Choice, Registry};
use crate::request::Request;
use crate::skcipher::Skcipher;
use pool::Pool;

/// The driver for each algorithm: all have one that works on the caller's thread.
pub fn drivers() -> impl Iterator<Item = Driver> {
    Algorithm::ALL.into_iter().map(|algorithm| Driver {
        info: DriverInfo {
            name: "threads",
            multi_unit: MultiUnit::Native,
            speed: if algorithm.cipher == Cipher::Aes { Speed::of_aes() } else { Speed::Software },
            priority: BY_NAME,
            description: "the best other driver, on a thread a processor",
            for_tests: false,
        },
        algorithm,
        lacking: None,
        key,
    })
}

/// What the pool has done so far.
pub fn counts() -> Counts {
    Pool::global().map(Pool::counts).unwrap_or_default()
}

/// Sets how many bytes of a request a thread takes at once, in place of what suits the cipher, for the keys that are set
/// on this thread while `during` runs. What is no longer is done at once. For tests: short requests are spread too.
pub fn with_parts_of<T>(bytes: usize, during: impl FnOnce() -> T) -> T {
    /// Takes it back, also where `during` panics.
    struct Back(Option<usize>);
    impl Drop for Back {
        fn drop(&mut self) {
            PART.set(self.0);
        }
    }
    let _back = Back(PART.replace(Some(bytes)));
    during()
}

thread_local!(static PART: Cell<Option<usize>> = const { Cell::new(None) });

/// The bytes that take a thread some times as long as it takes to wake one, which is about 10 microseconds: at 1 to 10
/// GB/s, or at some hundred MB/s.
const fn part(speed: Speed) -> usize {
    match speed {
        Speed::Software => 8 << 10,
        Speed::Instructions | Speed::Wide => 32 << 10,
    }
}

/// A key that the pool works with.
struct Threads {
    cipher: Arc<Skcipher>,
    /// The bytes that a thread takes at once. No more than these are done on the caller's thread.
    part: usize,
    pool: &'static Pool,
}

// not on the I/O path: once a key
fn key(algorithm: Algorithm, key: &[u8]) -> Result<Box<dyn KeyedCipher>, &'static str> {
    let pool = Pool::global()?;
    let cipher = Skcipher::new(Registry::global(), Choice::Best, algorithm, key)
        .map_err(|_| "no driver that works on its caller's thread takes it")?;
    let part = PART.get().unwrap_or(part(cipher.driver().speed));
    Ok(Box::new(Threads { cipher: Arc::new(cipher), part, pool }))
}

impl KeyedCipher for Threads {
    fn crypt(&self, request: &mut Request<'_>) -> Result<(), CryptError> {
        self.cipher.crypt(request)
    }

    fn later(&self) -> Option<Later> {
        Some(Later { bytes_per_unit: 0 })
    }

    fn start(&self, mut job: Job) -> Result<Answer, Job> {
        let request = job.request();
        let (all, part) = (request.units(), (self.part / request.unit_size).max(1));
        if all <= part {
            return Ok(self.at_once(job));
        }
        Ok(self.pool.put(job, &self.cipher, part).unwrap_or_else(|job| self.at_once(job)))
    }
}

impl Threads {
    /// Carries a job out on the caller's thread.
    fn at_once(&self, mut job: Job) -> Answer {
        let result = self.cipher.crypt(&mut job.request());
        job.finish(result);
        Answer::Done
    }
}
