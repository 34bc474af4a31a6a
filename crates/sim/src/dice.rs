//! Everything that is left to chance: numbers that a seed decides.

use udm_block::memory::splitmix64;

/// A generator of numbers (splitmix64): the same seed gives the same numbers.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Dice of this seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn word(&mut self) -> u64 {
        splitmix64(&mut self.0)
    }

    /// A number below `end`.
    ///
    /// # Panics
    /// When `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.word() % end
    }

    /// Yes, `per_mille` times in a thousand.
    pub fn chance(&mut self, per_mille: u32) -> bool {
        self.below(1000) < u64::from(per_mille)
    }

    /// One of `all`.
    ///
    /// # Panics
    /// When there is none.
    pub fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }

    /// Dice of their own, for a part of the world whose throws shall not depend on how often others throw.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        Self(self.word())
    }
}

/// A digest of `bytes`, to tell contents apart in a trace. It is no cryptographic one.
pub(crate) fn digest(bytes: &[u8]) -> u64 {
    bytes.chunks(8).fold(bytes.len() as u64, |digest, chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        mix(digest, u64::from_le_bytes(word))
    })
}

/// `digest` with one word more.
pub(crate) fn mix(digest: u64, word: u64) -> u64 {
    splitmix64(&mut (digest.rotate_left(5) ^ word))
}
