//! What the threads that do I/O did since they began: in one line, whether the promise of the locked mode was kept.

use std::fmt;
use std::fs;
use std::ops::{Add, Sub};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::thread::gettid;
use serde_json::json;
use udm_block::mempool::Waits;
use udm_block::sealed::Sealed;
use udm_dm::targets::crypt::OptionalMemory;
use udm_export::serving::MemoryLockGuard;

/// What a thread of the back ends is called.
const ENGINE_THREAD: &str = "udm-file";

/// Page faults of a thread.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
struct Faults {
    /// Served without I/O.
    minor: u64,
    /// Served by I/O.
    major: u64,
}

/// A thread that does I/O, and its page faults when it began.
struct Watched {
    thread: u32,
    before: Faults,
    /// The connection's memory, where the thread is one's.
    memory: Option<Arc<Sealed>>,
}

/// Counts for all connections of a server.
pub(crate) struct Counters {
    devices: Arc<Sealed>,
    now: Mutex<Now>,
}

#[derive(Default)]
struct Now {
    watched: Vec<Watched>,
    /// What threads did that are gone.
    faults: Faults,
    refused: u64,
    connections: u64,
}

/// What was counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counts {
    connections: u64,
    faults: Faults,
    /// How often a pool found its stock out, and went to its reserve.
    refused: u64,
    /// How a reserve was waited for.
    waits: Waits,
    /// How cipher drivers were given memory that an I/O can do without.
    optional: OptionalMemory,
}

impl Counters {
    /// Counts for devices whose memory is `devices`.
    pub(super) fn new(devices: Arc<Sealed>) -> Arc<Self> {
        Arc::new(Self { devices, now: Mutex::default() })
    }

    /// The counts until now.
    pub(crate) fn counts(&self) -> Counts {
        let now = self.lock();
        let since = |thread: &Watched| faults_of(thread.thread) - thread.before;
        let of = |thread: &Watched| thread.memory.as_ref().map_or(0, |memory| memory.refused());
        Counts {
            connections: now.connections,
            faults: now.watched.iter().map(since).fold(now.faults, Add::add),
            refused: now.refused + self.devices.refused() + now.watched.iter().map(of).sum::<u64>(),
            waits: Waits::of_process(),
            optional: OptionalMemory::counts(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MemoryLockGuard for Counters {
    fn began(&self, memory: &Arc<Sealed>) {
        let thread = gettid().as_raw_nonzero().get().cast_unsigned();
        let engines = engine_threads();
        let mut now = self.lock();
        for engine in engines {
            if now.watched.iter().all(|watched| watched.thread != engine) {
                now.watched.push(Watched { thread: engine, before: faults_of(engine), memory: None });
            }
        }
        now.connections += 1;
        // Last, so that what this itself comes to does not count.
        now.watched.push(Watched { thread, before: faults_of(thread), memory: Some(Arc::clone(memory)) });
    }

    fn ended(&self, memory: &Arc<Sealed>) {
        let mut now = self.lock();
        let is_it = |thread: &Watched| thread.memory.as_ref().is_some_and(|other| Arc::ptr_eq(other, memory));
        let Some(index) = now.watched.iter().position(is_it) else { return };
        let thread = now.watched.swap_remove(index);
        now.faults = now.faults + (faults_of(thread.thread) - thread.before);
        now.refused += memory.refused();
    }
}

impl Counts {
    /// For a program.
    pub(crate) fn json(self) -> String {
        let Self { connections, faults, refused, waits, optional } = self;
        let counts = json!({
            "connections": connections,
            "minor_faults": faults.minor,
            "major_faults": faults.major,
            "refused": refused,
            "parked": waits.parked,
            "slept": waits.slept,
            "optional_asked": optional.asked,
            "optional_refused": optional.refused,
        });
        json!({ "counters": counts }).to_string()
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { connections, faults, refused, waits, optional } = self;
        write!(
            f,
            "counters: {connections} connections; page faults of I/O threads: {} minor, {} major; memory asked for in \
             vain: {refused} times; waits for a reserve: {} bios, {} threads; optional memory: asked for {} times, \
             refused {}",
            faults.minor, faults.major, waits.parked, waits.slept, optional.asked, optional.refused
        )
    }
}

impl Add for Faults {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self { minor: self.minor + other.minor, major: self.major + other.major }
    }
}

impl Sub for Faults {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self { minor: self.minor.saturating_sub(other.minor), major: self.major.saturating_sub(other.major) }
    }
}

/// The page faults of a thread of this process; none of one that is gone.
fn faults_of(thread: u32) -> Faults {
    let stat = fs::read_to_string(format!("/proc/self/task/{thread}/stat"));
    stat.ok().and_then(|stat| parse(&stat)).unwrap_or_default()
}

/// The page faults in a thread's `stat` (`proc_pid_stat(5)`: fields 10 and 12; the name, field 2, may hold anything).
fn parse(stat: &str) -> Option<Faults> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(7);
    let minor = fields.next()?.parse().ok()?;
    Some(Faults { minor, major: fields.nth(1)?.parse().ok()? })
}

/// The back ends' own threads.
fn engine_threads() -> Vec<u32> {
    let Ok(tasks) = fs::read_dir("/proc/self/task") else { return Vec::new() };
    let is_engine = |task: &std::path::Path| {
        fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim() == ENGINE_THREAD)
    };
    let engines = tasks.flatten().filter(|task| is_engine(&task.path()));
    engines.filter_map(|task| task.file_name().to_str()?.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read_behind_any_name() {
        let stat = "7 (a) 9 b) S 1 7 7 0 -1 4194560 11 12 13 14 15 16";
        assert_eq!(parse(stat), Some(Faults { minor: 11, major: 13 }));
        assert_eq!(parse("7 (name"), None);
    }

    /// The bad twin: what touches new memory is counted.
    #[test]
    fn a_fault_of_a_watched_thread_is_counted() {
        let counters = Counters::new(Sealed::new(Arc::new(udm_block::memory::Heap)));
        let memory = Sealed::new(Arc::new(udm_block::memory::Heap));
        counters.began(&memory);
        let mut bytes = vec![0u8; 64 << 20];
        bytes.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
        std::hint::black_box(&bytes);
        let counts = counters.counts();
        assert!(counts.faults.minor > 16 && counts.connections == 1, "{counts}");
        counters.ended(&memory);
        assert!(counters.counts().faults.minor >= counts.faults.minor);
    }
}
