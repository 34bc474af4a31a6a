//! A keyed cipher as its callers hold it (the kernel's `crypto_skcipher`).

use crate::algorithm::Algorithm;
use crate::driver::{Answer, DriverInfo, KeyedCipher, Later, MultiUnit};
use crate::error::{CryptError, KeyError};
use crate::job::Job;
use crate::registry::{Choice, Registry};
use crate::request::Request;
use crate::split::split;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A key under an algorithm, with the driver that serves it. Its memory is wiped when it is dropped, which must be when
/// all its jobs are finished. Any number of threads may use it at once.
pub struct Skcipher {
    algorithm: Algorithm,
    info: DriverInfo,
    /// Whether requests are split: the driver is not native for many units, or has refused a unit size.
    split: AtomicBool,
    /// Whether it was already said that the driver refuses a unit size; shared by all keys of the driver.
    refusal_said: Arc<AtomicBool>,
    keyed: Box<dyn KeyedCipher>,
}

impl Skcipher {
    /// Gives `key` to the driver of `registry` that `choice` names.
    ///
    /// # Errors
    /// Where the key has a wrong size, or no such driver takes it.
    pub fn new(
        registry: &Registry,
        choice: Choice<'_>,
        algorithm: Algorithm,
        key: &[u8],
    ) -> Result<Self, KeyError> {
        registry.key(choice, algorithm, key)
    }

    /// A handle on what a driver made of a key.
    pub(crate) fn from_parts(
        algorithm: Algorithm,
        info: DriverInfo,
        refusal_said: Arc<AtomicBool>,
        keyed: Box<dyn KeyedCipher>,
    ) -> Self {
        let split = AtomicBool::new(info.multi_unit == MultiUnit::Split);
        Self { algorithm, info, split, refusal_said, keyed }
    }

    /// The algorithm.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The driver that serves it.
    pub const fn driver(&self) -> &DriverInfo {
        &self.info
    }

    /// What the driver needs where it is asynchronous. Requests to it go by [`start`](Self::start).
    pub fn later(&self) -> Option<Later> {
        self.keyed.later()
    }

    /// Carries out `request` before it returns.
    ///
    /// # Errors
    /// [`CryptError::InvalidRequest`] with nothing written, where it breaks the contract of [`Request`]; and where the
    /// driver fails.
    pub fn crypt(&self, request: &mut Request<'_>) -> Result<(), CryptError> {
        request.validate(self.algorithm)?;
        if !self.is_split() {
            match self.keyed.crypt(request) {
                Err(CryptError::UnitSizeRefused) => self.split_from_now_on(request.unit_size),
                result => return result,
            }
        }
        split(request, |unit| self.keyed.crypt(unit))
    }

    /// Takes `job` to be finished now or later, on any thread; its carrier is told. What the driver is not native for
    /// is done here and now. A request that is not valid is finished at once with [`CryptError::InvalidRequest`].
    pub fn start(&self, mut job: Job) -> Answer {
        let mut job = if let Err(error) = job.request().validate(self.algorithm) {
            job.finish(Err(error));
            return Answer::Done;
        } else if self.is_split() {
            job
        } else {
            match self.keyed.start(job) {
                Ok(answer) => return answer,
                Err(mut job) => {
                    self.split_from_now_on(job.request().unit_size);
                    job
                }
            }
        };
        let result = split(&mut job.request(), |unit| self.keyed.crypt(unit));
        job.finish(result);
        Answer::Done
    }

    /// Whether requests are split unit by unit before the driver gets them.
    pub fn is_split(&self) -> bool {
        self.split.load(Ordering::Relaxed)
    }

    /// Records that a driver which claims to be native for many units refused a unit size. It is said once a
    /// driver.
    #[cold]
    fn split_from_now_on(&self, unit_size: usize) {
        self.split.store(true, Ordering::Relaxed);
        if !self.refusal_said.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                driver = self.info.name,
                algorithm = %self.algorithm,
                unit_size,
                "the cipher driver says it takes many units a request, and refuses this unit size: \
                 its requests are split from now on",
            );
        }
    }
}

impl fmt::Debug for Skcipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Skcipher")
            .field("algorithm", &format_args!("{}", self.algorithm))
            .field("driver", &self.info.name)
            .finish_non_exhaustive()
    }
}
