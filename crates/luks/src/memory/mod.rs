//! How much memory this process may take, by all that limits it: the machine, every level of its control groups, and its own
//! limits. Argon2 asks for a gigabyte at once, and whoever goes over a group's limit is killed without a word.

mod groups;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};

/// The memory that a measurement begins with, and goes below only where it must, in KiB.
pub(crate) const FIRST_MEMORY_KIB: u32 = 64 << 10;
/// The default of the most memory, in KiB.
pub(crate) const DEFAULT_MEMORY_KIB: u32 = 1 << 20;

/// What limits the memory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Limit {
    /// The machine itself.
    Machine,
    /// A file of a control group.
    Group(PathBuf),
    /// `RLIMIT_AS`
    AddressSpace,
    /// `RLIMIT_DATA`
    Data,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Machine => f.write_str("this machine"),
            Self::Group(file) => write!(f, "the control group's {}", file.display()),
            Self::AddressSpace => f.write_str("the limit of the address space (ulimit -v)"),
            Self::Data => f.write_str("the limit of the data segment (ulimit -d)"),
        }
    }
}

/// How much memory is left, and what leaves no more.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Left {
    /// In KiB.
    pub kib: u64,
    /// The tightest limit.
    pub limit: Limit,
}

/// The memory that is left.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Room {
    /// What can be had without swapping, and without being slowed down.
    pub free: Left,
    /// What can be had at all: with more, the process is killed, or gets an error.
    pub most: Left,
}

/// The most memory that a new key slot gets where nobody says how much.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Choice {
    /// In KiB.
    pub kib: u32,
    /// Why it is less than cryptsetup's default, where it is.
    pub why: Option<String>,
}

impl Room {
    /// The room of this process.
    pub fn here() -> Self {
        Self::at(Path::new("/"))
    }

    /// The same with `/proc` and `/sys` below `root`.
    pub fn at(root: &Path) -> Self {
        let meminfo = read(root, "proc/meminfo");
        let of_machine = |name: &str| field(&meminfo, name);
        // A machine that does not say is taken to have what cryptsetup measures with, twice.
        let available = of_machine("MemAvailable:").unwrap_or(2 * u64::from(FIRST_MEMORY_KIB));
        let swap = of_machine("SwapFree:").unwrap_or(0);
        let mut left = Self {
            free: Left { kib: available, limit: Limit::Machine },
            most: Left { kib: available.saturating_add(swap), limit: Limit::Machine },
        };
        for group in groups::levels(root) {
            let limit = |file: &Path| Limit::Group(file.to_owned());
            left.free.lower(group.free_kib, || limit(&group.file));
            let most =
                group.most_kib.map(|most| most.saturating_add(group.swap_kib.unwrap_or(swap).min(swap)));
            left.most.lower(most, || limit(&group.file));
        }
        let (limits, status) = (read(root, "proc/self/limits"), read(root, "proc/self/status"));
        for (name, used, limit) in
            [("Max address space", "VmSize:", Limit::AddressSpace), ("Max data size", "VmData:", Limit::Data)]
        {
            let most = soft_limit(&limits, name).map(|bytes| bytes >> 10);
            let kib = most.map(|most| most.saturating_sub(field(&status, used).unwrap_or(0)));
            left.free.lower(kib, || limit.clone());
            left.most.lower(kib, || limit.clone());
        }
        left
    }

    /// The memory of a new key slot: half of what is free, up to cryptsetup's default, and not below what cryptsetup begins to
    /// measure with. Below that a passphrase would be much cheaper to guess than anybody expects: then it is for a person
    /// to say so.
    pub fn choice(&self) -> Choice {
        let half = u32::try_from(self.free.kib / 2).unwrap_or(u32::MAX);
        let kib = half.clamp(FIRST_MEMORY_KIB, DEFAULT_MEMORY_KIB);
        let Left { kib: free, limit } = &self.free;
        let why = if kib == DEFAULT_MEMORY_KIB {
            None
        } else if kib == half {
            Some(format!("half of the {free} KiB that are free, as {limit} has no more"))
        } else {
            Some(format!("the least that udm chooses by itself, though {limit} has only {free} KiB free"))
        };
        Choice { kib, why }
    }
}

impl Left {
    /// Takes `kib` and its limit, where that is less.
    fn lower(&mut self, kib: Option<u64>, limit: impl FnOnce() -> Limit) {
        if let Some(kib) = kib.filter(|kib| *kib < self.kib) {
            *self = Self { kib, limit: limit() };
        }
    }
}

/// The text of a file below `root`; none, where it cannot be read.
fn read(root: &Path, name: impl AsRef<Path>) -> String {
    std::fs::read_to_string(root.join(name)).unwrap_or_default()
}

/// The number behind `name` at the beginning of a line.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// A soft limit of /proc/self/limits, in its unit; `None` where there is none.
fn soft_limit(text: &str, name: &str) -> Option<u64> {
    field(text, name)
}
