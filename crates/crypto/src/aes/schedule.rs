//! Round keys, made once a key.

use super::block::{MOST_LANES, RoundKey};
use super::lanes::Xmm;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Round keys in the order of their use; of a shorter key the last ones are zeros. One more than the most rounds.
pub(super) type RoundKeys = [RoundKey; MOST_ROUNDS + 1];

/// The rounds of the longest key.
const MOST_ROUNDS: usize = 14;

/// An AES key ready for use; wiped when it is dropped. It is empty at first and gets its key where it is to stay, since
/// a move may leave a copy behind.
#[derive(Default, Zeroize, ZeroizeOnDrop)]
pub(super) struct Schedule {
    encrypt: RoundKeys,
    /// Those of the equivalent inverse cipher, FIPS 197, 5.3.5.
    decrypt: RoundKeys,
}

impl Schedule {
    /// Takes a key of 16, 24 or 32 bytes and expands it, FIPS 197, 5.2. No step of it depends on the key in time.
    pub fn expand(&mut self, aes: Xmm, key: &[u8]) {
        let size = key.len() / 4;
        let rounds = rounds(key.len());
        let mut words = Zeroizing::new([0u32; 60]);
        let mut constant = 1;
        for at in 0..4 * (rounds + 1) {
            if at < size {
                words[at] = u32::from_le_bytes(std::array::from_fn(|byte| key[at * 4 + byte]));
                continue;
            }
            let mut word = words[at - 1];
            if at % size == 0 {
                word = aes.substitute(word).rotate_right(8) ^ constant;
                // Times x in the cipher's field.
                constant = (constant << 1) ^ if constant & 0x80 == 0 { 0 } else { 0x11b };
            } else if size > 6 && at % size == 4 {
                word = aes.substitute(word);
            }
            words[at] = words[at - size] ^ word;
        }
        for (key, words) in self.encrypt.iter_mut().zip(words.chunks(4)) {
            for (at, byte) in words.iter().flat_map(|word| word.to_le_bytes()).enumerate() {
                key.0.iter_mut().for_each(|lane| lane[at] = byte);
            }
        }
        for (at, key) in self.encrypt[..=rounds].iter().rev().enumerate() {
            let outer = at == 0 || at == rounds;
            self.decrypt[at] = if outer { *key } else { RoundKey([aes.inverse_mix(&key.0[0]); MOST_LANES]) };
        }
    }

    /// Adds the last round key of each direction to the first one, as XTS has them.
    pub fn add_last_to_first(&mut self, rounds: usize) {
        for keys in [&mut self.encrypt, &mut self.decrypt] {
            let (first, others) = keys.split_at_mut(1);
            let first = first[0].0.as_flattened_mut().iter_mut();
            for (first, last) in first.zip(others[rounds - 1].0.as_flattened()) {
                *first ^= last;
            }
        }
    }

    /// The round keys of a direction.
    #[inline(always)]
    pub fn keys<const ENCRYPT: bool>(&self) -> &RoundKeys {
        if ENCRYPT { &self.encrypt } else { &self.decrypt }
    }
}

/// The rounds that a key of `len` bytes asks for.
pub(super) const fn rounds(len: usize) -> usize {
    len / 4 + 6
}
