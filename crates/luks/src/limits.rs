//! What a header may ask for before it is refused.

/// The limits of unlocking. A header says itself how much work a passphrase costs, and whoever wrote it may mean harm:
/// what is over a limit is refused before any of the work is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// The memory of Argon2 in KiB.
    pub memory_kib: u64,
    /// The iterations of PBKDF2.
    pub iterations: u64,
    /// What Argon2 fills in all its passes, in KiB.
    pub filled_kib: u64,
    /// The lanes of Argon2, each of which gets a thread.
    pub lanes: u32,
}

impl Default for Limits {
    /// 4 GiB of memory: cryptsetup makes no key slot that takes more, and one that asks for less than this machine has
    /// is its owner's. 200 million iterations of PBKDF2: a minute or two, where cryptsetup's own two seconds make five
    /// to ten million. 256 GiB filled by Argon2: some minutes, 64 passes over all of the memory.
    fn default() -> Self {
        Self { memory_kib: 4 << 20, iterations: 200_000_000, filled_kib: 256 << 20, lanes: 64 }
    }
}

impl Limits {
    /// The same with `memory_kib` of memory, over all of which Argon2 may go as often as it otherwise could.
    #[must_use]
    pub fn with_memory_kib(self, memory_kib: u64) -> Self {
        let passes = self.filled_kib.checked_div(self.memory_kib).unwrap_or(0);
        let filled_kib = self.filled_kib.max(memory_kib.saturating_mul(passes));
        Self { memory_kib, filled_kib, ..self }
    }

    /// The same with `passes` of Argon2 over as much memory as it may have.
    #[must_use]
    pub fn with_passes(self, passes: u64) -> Self {
        Self { filled_kib: passes.saturating_mul(self.memory_kib), ..self }
    }
}
