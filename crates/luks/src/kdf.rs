//! From a passphrase to the key of a key slot: PBKDF2 and Argon2.

use std::num::NonZeroU32;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use udm_block::{memory::refusable, stack};
use zeroize::Zeroize;

use crate::error::{Error, Finding};
use crate::limits::Limits;
use crate::memory::{Left, Room};
use crate::secret::{NoMemory, Secret};
use udm_crypto::Hash;

/// The least memory of Argon2 for each lane, in KiB (RFC 9106, section 3.1).
pub const KIB_A_LANE: u32 = 8;
/// The shortest and the longest salt, in bytes. cryptsetup's have 32; Argon2 takes none shorter than 8.
pub const SALT_SIZES: std::ops::RangeInclusive<usize> = 8..=256;

/// A key derivation, with its salt and what it costs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Kdf {
    /// RFC 8018.
    Pbkdf2 {
        /// The hash of its HMAC.
        hash: Hash,
        /// How often the HMAC is applied, for each block of the key.
        iterations: NonZeroU32,
        /// The salt.
        salt: Vec<u8>,
    },
    /// RFC 9106, version 1.3.
    Argon2 {
        /// Which of the two that LUKS2 has.
        kind: Argon2Kind,
        /// The passes over the memory.
        time: NonZeroU32,
        /// The memory in KiB, at least [`KIB_A_LANE`] for each lane.
        memory_kib: u32,
        /// The lanes.
        lanes: NonZeroU32,
        /// The salt.
        salt: Vec<u8>,
    },
}

/// The variants of Argon2 that LUKS2 has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Argon2Kind {
    /// Argon2i.
    I,
    /// Argon2id.
    Id,
}

impl Kdf {
    /// cryptsetup's name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Pbkdf2 { .. } => "pbkdf2",
            Self::Argon2 { kind: Argon2Kind::I, .. } => "argon2i",
            Self::Argon2 { kind: Argon2Kind::Id, .. } => "argon2id",
        }
    }

    /// The salt.
    pub fn salt(&self) -> &[u8] {
        match self {
            Self::Pbkdf2 { salt, .. } | Self::Argon2 { salt, .. } => salt,
        }
    }

    /// Whether it costs no more than `limits` allow. `path` is where the header has it.
    ///
    /// # Errors
    /// [`Error::OverLimit`].
    pub fn check(&self, path: &str, limits: &Limits) -> Result<(), Error> {
        match self {
            Self::Pbkdf2 { iterations, .. } => {
                check_iterations(&format!("{path}.iterations"), *iterations, limits)
            }
            Self::Argon2 { time, memory_kib, lanes, .. } => {
                check_argon2(path, *time, *memory_kib, *lanes, limits)
            }
        }
    }

    /// Whether there is room for its memory. `path` is where the header has it.
    ///
    /// # Errors
    /// [`Error::NoRoom`].
    pub fn check_room(&self, path: &str, room: &Room) -> Result<(), Error> {
        let Left { kib, limit } = &room.most;
        match self {
            Self::Argon2 { memory_kib, .. } if u64::from(*memory_kib) > *kib => {
                let why = format!("{limit} leaves {kib} KiB");
                let hint = "open it where there is more, or have udm luks convert-key --pbkdf-memory make it cheaper there";
                let found = format!("{memory_kib} KiB");
                Err(Error::NoRoom(Finding::new(format!("{path}.memory"), found, why, hint)))
            }
            _ => Ok(()),
        }
    }

    /// Derives a key of `size` bytes. Whoever calls it has looked at [`check`](Self::check).
    ///
    /// # Errors
    /// When there is no memory, or there are no threads for it.
    pub fn derive(&self, passphrase: &[u8], size: usize) -> Result<Secret, Error> {
        let mut key = Secret::zeroed(size)?;
        match self {
            Self::Pbkdf2 { hash, iterations, salt } => {
                stack::wiped(|| hash.pbkdf2(passphrase, salt, iterations.get(), &mut key));
            }
            Self::Argon2 { kind, time, memory_kib, lanes, salt } => {
                let params = Params::new(*memory_kib, time.get(), lanes.get(), Some(size));
                let params = params.map_err(argon2_failed)?;
                argon2(*kind, params, passphrase, salt, &mut key)?;
            }
        }
        Ok(key)
    }
}

/// Whether `iterations` of PBKDF2 are within the limit. `field` is where the header has them.
///
/// # Errors
/// [`Error::OverLimit`].
pub(crate) fn check_iterations(field: &str, iterations: NonZeroU32, limits: &Limits) -> Result<(), Error> {
    if u64::from(iterations.get()) <= limits.iterations {
        return Ok(());
    }
    let why = format!("more than the {} that unlocking may take", limits.iterations);
    let hint = format!("--pbkdf-iterations-max {iterations} allows it");
    Err(Error::OverLimit(Finding::new(field, iterations, why, hint)))
}

fn check_argon2(
    path: &str,
    time: NonZeroU32,
    memory_kib: u32,
    lanes: NonZeroU32,
    limits: &Limits,
) -> Result<(), Error> {
    let over = |field: &str, found: String, why: String, hint: String| {
        Err(Error::OverLimit(Finding::new(format!("{path}.{field}"), found, why, hint)))
    };
    if u64::from(memory_kib) > limits.memory_kib {
        let why = format!("more than the {} KiB that unlocking may take", limits.memory_kib);
        let hint = format!("--pbkdf-memory-max {memory_kib} allows it, where the machine has it");
        return over("memory", format!("{memory_kib} KiB"), why, hint);
    }
    if lanes.get() > limits.lanes {
        let why = format!("more than the {} threads that unlocking may take", limits.lanes);
        let hint = "have udm luks convert-key give the key slot fewer (--pbkdf-parallel) where there are so many threads".into();
        return over("cpus", lanes.to_string(), why, hint);
    }
    let filled = u64::from(time.get()) * u64::from(memory_kib);
    if filled > limits.filled_kib {
        let most = limits.filled_kib / u64::from(memory_kib);
        let why = format!("more than the {most} passes over {memory_kib} KiB that unlocking may take");
        return over("time", time.to_string(), why, format!("--pbkdf-passes-max {time} allows it"));
    }
    Ok(())
}

/// Derives `key` with a thread for each lane, in memory that is wiped.
fn argon2(
    kind: Argon2Kind,
    params: Params,
    passphrase: &[u8],
    salt: &[u8],
    key: &mut [u8],
) -> Result<(), Error> {
    let count = params.block_count();
    let mut blocks: Vec<Block> = Vec::new();
    let bytes = (count * Block::SIZE) as u64;
    refusable(|| blocks.try_reserve_exact(count)).map_err(|_| NoMemory { bytes })?;
    blocks.resize(count, Block::new());
    let lanes = params.p_cost().clamp(1, processors()) as usize;
    let algorithm = match kind {
        Argon2Kind::I => Algorithm::Argon2i,
        Argon2Kind::Id => Algorithm::Argon2id,
    };
    let argon2 = Argon2::new(algorithm, Version::V0x13, params);
    let derive = || argon2.hash_password_into_with_memory(passphrase, salt, key, &mut blocks[..]);
    let result = on_threads(lanes, || stack::wiped(derive));
    blocks.iter_mut().for_each(Zeroize::zeroize);
    result?.map_err(argon2_failed)
}

/// Runs `work` on `count` threads of its own, and returns when all of them have ended: their stacks see what Argon2 works on,
/// and are wiped on their way out. A pool that is dropped tells its threads to end, and does not wait for it.
#[cfg(feature = "parallel")]
fn on_threads<T: Send>(count: usize, work: impl FnOnce() -> T + Send) -> Result<T, Error> {
    let mut threads = Vec::with_capacity(count);
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(count)
        .exit_handler(|_| stack::wipe())
        .spawn_handler(|thread| {
            threads.push(std::thread::Builder::new().name("argon2".into()).spawn(|| thread.run())?);
            Ok(())
        })
        .build();
    let result = pool.map(|pool| pool.install(work));
    let joined = threads.into_iter().map(std::thread::JoinHandle::join).filter(Result::is_err).count();
    debug_assert_eq!(joined, 0, "a lane's panic is that of `install`");
    result.map_err(|error| Error::Io {
        what: format!(
            "starting the {count} threads of Argon2 takes as many (ulimit -u) and 2 MiB for each (ulimit -v)"
        ),
        source: std::io::Error::other(error),
    })
}

/// Runs `work` on this thread, which does the lanes of Argon2 one by one.
#[cfg(not(feature = "parallel"))]
fn on_threads<T>(_count: usize, work: impl FnOnce() -> T) -> Result<T, Error> {
    Ok(work())
}

/// The threads that can run at once.
fn processors() -> u32 {
    std::thread::available_parallelism().map_or(1, |count| count.get() as u32)
}

/// Of the library's errors only a lack of memory is left, when the header was checked.
fn argon2_failed(error: argon2::Error) -> Error {
    Error::Cipher { what: "a key slot (argon2)".into(), why: error.to_string() }
}
