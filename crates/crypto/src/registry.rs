//! The drivers of this program, tested, and which of them gets a key.

use crate::algorithm::Algorithm;
use crate::driver::{BY_NAME, Driver, DriverInfo, without_way};
use crate::error::KeyError;
use crate::selftest::self_test;
use crate::skcipher::Skcipher;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

/// The drivers there are. Each is tested, with known answers and against the portable one of its algorithm, before it is
/// given the first key; one that fails stays in the list with its failure, and is never given a key of a user.
#[derive(Debug, Default)]
pub struct Registry {
    /// By priority, the highest first; of one priority, as they were registered.
    entries: Vec<Entry>,
}

/// A driver and what became of it.
#[derive(Debug)]
struct Entry {
    driver: Driver,
    /// Why it is not used; found out by the first who wants to know, since a program needs few of the many drivers.
    fault: OnceLock<Option<Unusable>>,
    refusal_said: Arc<AtomicBool>,
}

/// Why a driver is not used.
#[derive(Clone, Debug)]
enum Unusable {
    Lacking(&'static str),
    Failed(String),
}

/// Which driver is to get a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Choice<'a> {
    /// The one of the highest priority that takes it, of those that need not be asked for by name.
    #[default]
    Best,
    /// The one of this name, or none. Of a driver with several ways to work, such as `vaes512:bytes` and `vaes512:shifts`,
    /// `vaes512` is the first that takes the key.
    Named(&'a str),
}

/// A line of `udm ciphers`.
#[derive(Clone, Copy, Debug)]
pub struct Listing<'a> {
    /// What the driver implements.
    pub algorithm: Algorithm,
    /// What there is to know of it.
    pub info: &'a DriverInfo,
    /// Whether it is used.
    pub standing: Standing<'a>,
}

/// Whether a driver is used, and why not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing<'a> {
    /// It is the first to be offered a key.
    First,
    /// It is offered the keys that this driver, the one before it, does not take.
    Behind(&'static str),
    /// It gets a key where it is asked for by name.
    ByName,
    /// This machine lacks something for it.
    Lacking(&'static str),
    /// It failed its self-test, and how.
    Failed(&'a str),
}

impl Registry {
    /// Takes `driver` in. It is tested when somebody asks for its algorithm or for the [`list`](Self::list).
    pub fn register(&mut self, driver: Driver) {
        let at = self.entries.partition_point(|entry| entry.driver.info.priority >= driver.info.priority);
        self.entries.insert(at, Entry { driver, fault: OnceLock::new(), refusal_said: Arc::default() });
    }

    /// All drivers, algorithm by algorithm, those of the highest priority first. Tests those that are not tested yet.
    pub fn list(&self) -> Vec<Listing<'_>> {
        Algorithm::ALL.into_iter().flat_map(|algorithm| self.list_of(algorithm)).collect()
    }

    /// The drivers of one algorithm.
    pub fn list_of<'a>(&'a self, algorithm: Algorithm) -> Vec<Listing<'a>> {
        let mut before = None;
        let line = |entry: &'a Entry| {
            let info = &entry.driver.info;
            let standing = match entry.fault() {
                Some(Unusable::Lacking(what)) => Standing::Lacking(what),
                Some(Unusable::Failed(how)) => Standing::Failed(how),
                None if info.priority == BY_NAME => Standing::ByName,
                None => before.replace(info.name).map_or(Standing::First, Standing::Behind),
            };
            Listing { algorithm, info, standing }
        };
        self.of(algorithm).map(line).collect()
    }

    /// Gives `key` to a driver.
    fn key(&self, choice: Choice<'_>, algorithm: Algorithm, key: &[u8]) -> Result<Skcipher, KeyError> {
        algorithm.check_key_size(key.len())?;
        let name = match choice {
            Choice::Best => None,
            Choice::Named(name) => Some(name),
        };
        let mut error = KeyError::no_driver(algorithm, name);
        let asked =
            |info: &DriverInfo| name.map_or(info.priority > BY_NAME, |name| self.means(name, info.name));
        for entry in self.of(algorithm).filter(|entry| asked(&entry.driver.info)) {
            let info = entry.driver.info;
            error = match (entry.fault(), name) {
                (None, _) => match (entry.driver.key)(algorithm, key) {
                    Ok(keyed) => {
                        return Ok(Skcipher::from_parts(algorithm, info, entry.refusal_said.clone(), keyed));
                    }
                    Err(why) => KeyError::Refused { driver: info.name, algorithm, why },
                },
                (Some(fault), Some(_)) => {
                    KeyError::NotUsed { driver: info.name, algorithm, why: fault.to_string() }
                }
                (Some(_), None) => continue,
            };
        }
        Err(error)
    }

    /// Whether `name` asks for the driver `found` of an algorithm. The name of a way asks for the driver itself where the
    /// driver has no ways to do the algorithm.
    fn means(&self, name: &str, found: &str) -> bool {
        let is_known = || self.entries.iter().any(|entry| entry.driver.info.name == name);
        name == found || name == without_way(found) || (without_way(name) == found && is_known())
    }

    /// The entries for `algorithm`, by priority.
    fn of(&self, algorithm: Algorithm) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| entry.driver.algorithm == algorithm)
    }
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
}

impl Entry {
    /// Why it is not used, where it is not. How a driver fails its self-test is logged.
    fn fault(&self) -> Option<&Unusable> {
        let fault = self.fault.get_or_init(|| match self.driver.lacking {
            Some(what) => Some(Unusable::Lacking(what)),
            None => self_test(&self.driver).err().map(Unusable::Failed).inspect(|fault| {
                tracing::error!(
                    driver = self.driver.info.name,
                    algorithm = %self.driver.algorithm,
                    "the cipher driver is not used: {fault}",
                );
            }),
        });
        fault.as_ref()
    }
}

impl std::fmt::Display for Unusable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Lacking(what) => write!(f, "this machine lacks {what}"),
            Self::Failed(how) => write!(f, "it failed its self-test: {how}"),
        }
    }
}
