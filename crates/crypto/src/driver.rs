//! What a cipher driver is: plain data, and a function that takes a key.
//!
//! A driver is one implementation of one algorithm. [`Driver::key`] makes a [`KeyedCipher`] of it, which gets requests
//! that are already valid. It never needs to know how spans are cut: [`walk::runs`](crate::walk::runs) gives it runs
//! of whole units, contiguous in memory.

use crate::algorithm::Algorithm;
use crate::error::CryptError;
use crate::job::Job;
use crate::request::Request;
use std::fmt;

/// One implementation of one algorithm.
#[derive(Clone, Debug)]
pub struct Driver {
    /// What `udm ciphers` says of it.
    pub info: DriverInfo,
    /// What it implements.
    pub algorithm: Algorithm,
    /// What this machine lacks for it, where it lacks something: then no key is ever given to it.
    pub lacking: Option<&'static str>,
    /// Takes a key whose size is one of the algorithm's, or says why this driver cannot. Not on the I/O path: it may
    /// allocate.
    pub key: TakeKey,
}

/// A function that puts a key of an algorithm into a driver, or says why that driver does not take it.
pub type TakeKey = fn(Algorithm, &[u8]) -> Result<Box<dyn KeyedCipher>, &'static str>;

/// The priority of a driver that gets no key without being asked for by name.
pub const BY_NAME: u32 = 0;

/// What is to be known of a driver.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DriverInfo {
    /// A name, one word, by which it can be asked for. One of several ways in which a driver works has its own behind a colon,
    /// such as `vaes512:bytes`; without it, the way with the highest priority is asked for.
    pub name: &'static str,
    /// Whether it takes many units in one request.
    pub multi_unit: MultiUnit,
    /// How its instructions do.
    pub speed: Speed,
    /// Among the drivers that take a key, the one with the highest priority gets it; one with [`BY_NAME`] only where
    /// somebody asks for it.
    pub priority: u32,
    /// A sentence about it, without its full stop.
    pub description: &'static str,
    /// Whether only tests have a use for it: `udm ciphers` shows it with `--all`.
    pub for_tests: bool,
}

/// The name of a driver without that of its way: `vaes512` of `vaes512:bytes`.
pub fn without_way(name: &str) -> &str {
    name.split_once(':').map_or(name, |(driver, _)| driver)
}

/// Whether a driver takes many units in one request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MultiUnit {
    /// It takes the whole request.
    Native,
    /// It gets one unit a request: the layer splits.
    Split,
}

/// How fast a driver's instructions are on this machine, the slowest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Speed {
    /// General instructions: tens to hundreds of MB/s a core.
    Software,
    /// The processor's cipher instructions, a block each: GB/s a core.
    Instructions,
    /// The processor's cipher instructions, several blocks each.
    Wide,
}

/// A driver with a key in it. It is dropped when no request is with it; an asynchronous driver must have finished
/// all its jobs before its `drop` returns. It wipes its key when it is dropped.
pub trait KeyedCipher: Send + Sync {
    /// Carries out `request`, which is valid for the algorithm. No allocation, no lock that another thread may hold for
    /// long. It is called from many threads at once.
    ///
    /// # Errors
    /// [`CryptError::UnitSizeRefused`], with nothing written: then each unit comes again in a request of its own.
    /// [`CryptError::Failed`] where the work failed.
    fn crypt(&self, request: &mut Request<'_>) -> Result<(), CryptError>;

    /// What the driver needs where it is asynchronous; `None` for one that works on the caller's thread.
    fn later(&self) -> Option<Later> {
        None
    }

    /// Takes `job`, whose request is valid, to be finished now or later, on any thread. A driver that works on the
    /// caller's thread leaves this as it is.
    ///
    /// # Errors
    /// The job, where its unit size is refused: then [`crypt`](Self::crypt) gets its units one by one.
    fn start(&self, mut job: Job) -> Result<Answer, Job> {
        match self.crypt(&mut job.request()) {
            Err(CryptError::UnitSizeRefused) => Err(job),
            result => {
                job.finish(result);
                Ok(Answer::Done)
            }
        }
    }
}

/// What an asynchronous driver needs. It is memory of its caller's, who may have none: a request of one unit
/// needs none of it, so that work goes on without memory, unit by unit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Later {
    /// The bytes that a request of several units needs for each of them, in [`Job::request_and_memory`]: for descriptors.
    pub bytes_per_unit: usize,
}

/// What became of a job.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "a busy driver asks for no more jobs"]
pub enum Answer {
    /// It is finished, well or not: its carrier has been told.
    Done,
    /// It will be finished, on any thread, perhaps before this answer is seen.
    Queued,
    /// It is in the driver's backlog and will be finished. The caller sends no more until its carrier is told that the
    /// job was [admitted](crate::Carrier::admitted), which may be before this answer is seen.
    Busy,
}

impl MultiUnit {
    /// A word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Split => "split",
        }
    }
}

impl Speed {
    /// A word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Software => "software",
            Self::Instructions => "instructions",
            Self::Wide => "wide",
        }
    }

    /// What this machine's processor has for AES.
    pub(crate) fn of_aes() -> Self {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("vaes") {
            return Self::Wide;
        }
        if aes::hardware_accelerated() { Self::Instructions } else { Self::Software }
    }
}

impl fmt::Display for MultiUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
