//! What a passphrase is to cost: given, or found by measuring this machine.
//!
//! The aims are cryptsetup's. A measurement looks for the costs that take a time: of PBKDF2 the iterations, of Argon2
//! first the memory, up to its bound, and then the passes, of which there are never less than four.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use crate::error::{Error, Finding};
use crate::kdf::{Argon2Kind, KIB_A_LANE, Kdf};
use crate::memory::{FIRST_MEMORY_KIB, Left, Room};
use crate::random;
use udm_crypto::Hash;

/// The bytes of a new salt.
pub const SALT_SIZE: usize = 32;
/// The fewest iterations of PBKDF2.
pub const LEAST_ITERATIONS: u32 = 1000;
/// The fewest passes of Argon2.
pub const LEAST_PASSES: u32 = 4;
/// The least memory of Argon2 that a person may ask for, in KiB.
pub const LEAST_MEMORY_KIB: u32 = 32;
/// The most memory that a person may ask for, in KiB: what an unlocking allows by itself.
pub const MOST_MEMORY_KIB: u32 = 4 << 20;
/// The most lanes.
pub const MOST_LANES: u32 = 4;
/// What a measurement is worth that took so long, and no shorter.
const TELLING: Duration = Duration::from_millis(100);
/// The default of the time.
const DEFAULT_TIME: Duration = Duration::from_secs(2);

/// A key derivation, without its costs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KdfKind {
    /// PBKDF2 with this hash.
    Pbkdf2(Hash),
    /// Argon2.
    Argon2(Argon2Kind),
}

/// What a passphrase is to cost.
///
/// New fields come with a new major version only.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KdfOptions {
    /// The derivation.
    pub kind: KdfKind,
    /// The iterations of PBKDF2 or the passes of Argon2. With them nothing is measured.
    pub iterations: Option<u32>,
    /// The memory of Argon2 in KiB; where it is measured, the most that it may become.
    pub memory_kib: u32,
    /// The lanes of Argon2.
    pub lanes: u32,
    /// How long an unlocking is to take on this machine.
    pub time: Duration,
}

impl Default for KdfOptions {
    /// Argon2id for two seconds, over 1 GiB or half of the memory that is free ([`Room::choice`]), with a lane a processor up
    /// to four.
    fn default() -> Self {
        let lanes = std::thread::available_parallelism().map_or(1, |count| count.get() as u32);
        Self {
            kind: KdfKind::Argon2(Argon2Kind::Id),
            iterations: None,
            memory_kib: Room::here().choice().kib,
            lanes: lanes.min(MOST_LANES),
            time: DEFAULT_TIME,
        }
    }
}

impl KdfOptions {
    /// PBKDF2 for two seconds.
    pub fn pbkdf2(hash: Hash) -> Self {
        Self { kind: KdfKind::Pbkdf2(hash), ..Self::default() }
    }

    /// A derivation of `size` bytes that costs so much, with a new salt.
    ///
    /// # Errors
    /// Where a cost is outside its bounds, by the name of cryptsetup's option; and as [`Kdf::derive`], where it is measured.
    pub fn kdf(&self, size: usize) -> Result<Kdf, Error> {
        self.check()?;
        if let KdfKind::Argon2(_) = self.kind {
            self.check_room(&Room::here())?;
        }
        match (self.kind, self.iterations) {
            (KdfKind::Pbkdf2(hash), None) => pbkdf2(hash, iterations_for(hash, size, self.time)?),
            (KdfKind::Pbkdf2(hash), Some(iterations)) => pbkdf2(hash, iterations),
            (KdfKind::Argon2(kind), None) => self.argon2_for(kind, size),
            (KdfKind::Argon2(kind), Some(passes)) => {
                argon2(kind, Cost { passes, memory_kib: self.memory_kib }, self.lanes)
            }
        }
    }

    fn check(&self) -> Result<(), Error> {
        let within = |field: &str, found: u32, least: u32, most: u32| {
            let why = || format!("it is from {least} to {most}");
            let fits = (least..=most).contains(&found);
            if fits {
                Ok(())
            } else {
                Err(Error::request(field, found, why(), "leave it out for the default"))
            }
        };
        let least = match self.kind {
            KdfKind::Pbkdf2(_) => LEAST_ITERATIONS,
            KdfKind::Argon2(_) => LEAST_PASSES,
        };
        let iterations = self.iterations.unwrap_or(least);
        within("--pbkdf-force-iterations", iterations, least, u32::MAX)?;
        within("--pbkdf-parallel", self.lanes, 1, MOST_LANES)?;
        let least = LEAST_MEMORY_KIB.max(self.lanes * KIB_A_LANE);
        within("--pbkdf-memory", self.memory_kib, least, MOST_MEMORY_KIB)
    }

    /// Whether there is room for the memory, before any of it is taken.
    fn check_room(&self, room: &Room) -> Result<(), Error> {
        let Left { kib, limit } = &room.most;
        if u64::from(self.memory_kib) <= *kib {
            return Ok(());
        }
        let why = format!("{limit} leaves {kib} KiB");
        let hint =
            "raise that limit, give less (which makes passphrases cheaper to guess), or --pbkdf pbkdf2";
        Err(Error::NoRoom(Finding::new("--pbkdf-memory", format!("{} KiB", self.memory_kib), why, hint)))
    }

    /// Measures Argon2, from little memory on: what is measured last is no more than an eighth of the aim, or is it.
    fn argon2_for(&self, kind: Argon2Kind, size: usize) -> Result<Kdf, Error> {
        let least = FIRST_MEMORY_KIB.min(self.memory_kib);
        let mut cost = Cost { passes: LEAST_PASSES, memory_kib: least };
        loop {
            let took = measured(&argon2(kind, cost, self.lanes)?, size)?;
            let aim = self.time.as_secs_f64() / took.as_secs_f64().max(1e-6);
            if took >= TELLING || aim <= 1.0 {
                return argon2(kind, cost.times(aim, least, self.memory_kib), self.lanes);
            }
            cost = cost.times(aim.min(4.0), least, self.memory_kib);
        }
    }
}

/// What Argon2 costs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Cost {
    passes: u32,
    memory_kib: u32,
}

impl Cost {
    /// The cost that takes `factor` times as long: by its memory, within the bounds, and what is left by its passes.
    fn times(self, factor: f64, least_kib: u32, most_kib: u32) -> Self {
        let filled = f64::from(self.passes) * f64::from(self.memory_kib) * factor;
        let memory_kib = ((filled / f64::from(LEAST_PASSES)) as u32).clamp(least_kib, most_kib);
        let passes = ((filled / f64::from(memory_kib)) as u32).max(LEAST_PASSES);
        Self { passes, memory_kib }
    }
}

/// The iterations of PBKDF2 that take about `time`, for a key of `size` bytes. LUKS's digests are measured with it, too.
///
/// # Errors
/// When there is no memory or randomness.
pub(crate) fn iterations_for(hash: Hash, size: usize, time: Duration) -> Result<u32, Error> {
    let mut iterations = LEAST_ITERATIONS;
    loop {
        let took = measured(&pbkdf2(hash, iterations)?, size)?;
        let aim = time.as_secs_f64() / took.as_secs_f64().max(1e-6);
        if took >= TELLING || aim <= 1.0 {
            return Ok(((f64::from(iterations) * aim) as u32).max(LEAST_ITERATIONS));
        }
        iterations = (f64::from(iterations) * aim.min(4.0)) as u32;
    }
}

fn pbkdf2(hash: Hash, iterations: u32) -> Result<Kdf, Error> {
    let iterations = NonZeroU32::new(iterations).unwrap_or(NonZeroU32::MIN);
    Ok(Kdf::Pbkdf2 { hash, iterations, salt: random::bytes::<SALT_SIZE>()?.to_vec() })
}

fn argon2(kind: Argon2Kind, cost: Cost, lanes: u32) -> Result<Kdf, Error> {
    Ok(Kdf::Argon2 {
        kind,
        time: NonZeroU32::new(cost.passes).unwrap_or(NonZeroU32::MIN),
        memory_kib: cost.memory_kib,
        lanes: NonZeroU32::new(lanes).unwrap_or(NonZeroU32::MIN),
        salt: random::bytes::<SALT_SIZE>()?.to_vec(),
    })
}

/// How long one derivation takes.
fn measured(kdf: &Kdf, size: usize) -> Result<Duration, Error> {
    let begin = Instant::now();
    kdf.derive(b"a passphrase for measuring", size)?;
    Ok(begin.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_goes_before_passes() {
        let cost = |passes, memory_kib| Cost { passes, memory_kib };
        for (from, factor, want) in [
            (cost(4, 1000), 3.0, cost(4, 3000)),
            (cost(4, 1000), 10.0, cost(8, 5000)),
            (cost(8, 5000), 0.5, cost(4, 5000)),
            (cost(8, 5000), 0.25, cost(4, 2500)),
            (cost(4, 1000), 0.1, cost(4, 500)),
            (cost(4, 5000), 1e30, cost(u32::MAX, 5000)),
        ] {
            assert_eq!(from.times(factor, 500, 5000), want, "{from:?} {factor}");
        }
    }

    /// Oracle: the clock, with much room for a machine that does other work.
    #[test]
    fn what_was_measured_takes_about_its_time() {
        let time = Duration::from_millis(400);
        for kind in [KdfKind::Pbkdf2(Hash::Sha256), KdfKind::Argon2(Argon2Kind::Id)] {
            let options = KdfOptions { kind, iterations: None, memory_kib: 4 << 10, lanes: 1, time };
            let kdf = options.kdf(64).unwrap();
            let took = measured(&kdf, 64).unwrap();
            println!("{kdf:?}: {took:?}");
            assert!(took > time / 8 && took < time * 8, "{took:?}");
        }
    }

    /// The twin is the same with memory that everybody has.
    #[test]
    fn memory_that_is_not_there_is_refused_before_it_is_taken() {
        let room = |kib| {
            let left = Left { kib, limit: crate::memory::Limit::AddressSpace };
            Room { free: left.clone(), most: left }
        };
        let options = KdfOptions { memory_kib: 1 << 20, ..KdfOptions::default() };
        let error = options.check_room(&room(1000)).unwrap_err();
        let told = error.to_string();
        assert!(
            told.contains("--pbkdf-memory is 1048576 KiB") && told.contains("ulimit -v) leaves 1000 KiB"),
            "{told}"
        );
        options.check_room(&room(1 << 20)).unwrap();
    }

    #[test]
    fn costs_that_are_given_are_taken_or_refused_by_their_name() {
        let with = |kind, iterations, memory_kib, lanes| {
            KdfOptions { kind, iterations: Some(iterations), memory_kib, lanes, ..KdfOptions::default() }
                .kdf(32)
        };
        let (pbkdf2, argon2) = (KdfKind::Pbkdf2(Hash::Sha1), KdfKind::Argon2(Argon2Kind::I));
        let Kdf::Pbkdf2 { iterations, salt, .. } = with(pbkdf2, 1000, 32, 1).unwrap() else { panic!() };
        assert_eq!((iterations.get(), salt.len()), (1000, SALT_SIZE));
        let Kdf::Argon2 { time, memory_kib, lanes, .. } = with(argon2, 4, 32, 4).unwrap() else { panic!() };
        assert_eq!((time.get(), memory_kib, lanes.get()), (4, 32, 4));
        for (kind, iterations, memory, lanes, field) in [
            (pbkdf2, 999, 32, 1, "--pbkdf-force-iterations"),
            (argon2, 3, 32, 1, "--pbkdf-force-iterations"),
            (argon2, 4, 31, 1, "--pbkdf-memory"),
            (argon2, 4, MOST_MEMORY_KIB + 1, 1, "--pbkdf-memory"),
            (argon2, 4, 32, 0, "--pbkdf-parallel"),
            (argon2, 4, 32, 5, "--pbkdf-parallel"),
        ] {
            let error = with(kind, iterations, memory, lanes).unwrap_err();
            assert_eq!(error.finding().unwrap().field, field, "{error}");
        }
    }
}
