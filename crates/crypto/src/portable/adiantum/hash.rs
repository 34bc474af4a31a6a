//! Adiantum's hash: `Poly1305` of the IV, and `Poly1305` of what NH makes of the message. NH is that of the kernel's
//! `crypto/nhpoly1305.c`: four passes over each KiB, each with the key 16 bytes further on.

use super::poly::Poly;
use crate::request::WideIv;
use zeroize::Zeroizing;

/// Bytes of the message that become one value of NH.
const CHUNK: usize = 1024;

/// Passes of NH, each of which gives 8 bytes.
const PASSES: usize = 4;

/// Bytes that NH takes at a step, and by which the passes' keys differ.
const STEP: usize = 16;

/// Words of NH's key.
const WORDS: usize = (CHUNK + (PASSES - 1) * STEP) / 4;

/// The keys of the hash.
pub(in crate::portable) struct Hash {
    header: Poly,
    message: Poly,
    nh: Zeroizing<[u32; WORDS]>,
}

impl Hash {
    /// Bytes of its keys.
    pub const KEY_SIZE: usize = 2 * 16 + WORDS * 4;

    /// Takes the keys, one after the other: of the header, of the message, of NH.
    ///
    /// # Panics
    /// Where they are not of [`KEY_SIZE`](Self::KEY_SIZE) bytes.
    pub fn new(keys: &[u8]) -> Self {
        let (header, keys) = keys.split_first_chunk().expect("the header has 16 bytes of keys");
        let (message, nh) = keys.split_first_chunk().expect("the message has 16 bytes of keys");
        let mut words = Zeroizing::new([0; WORDS]);
        for (word, bytes) in words.iter_mut().zip(nh.as_chunks().0) {
            *word = u32::from_le_bytes(*bytes);
        }
        assert_eq!(nh.len(), WORDS * 4, "the keys of Adiantum's hash have another length");
        Self { header: Poly::new(*header), message: Poly::new(*message), nh: words }
    }

    /// The hash of a message's length in bytes, and of its IV.
    pub fn header(&self, len: usize, iv: &WideIv) -> u128 {
        let mut blocks = [[0; 16]; 3];
        blocks[0][..8].copy_from_slice(&(8 * len as u64).to_le_bytes());
        blocks[1..].as_flattened_mut().copy_from_slice(iv);
        self.header.hash(&blocks)
    }

    /// The hash of a message of whole steps.
    pub fn message(&self, message: &[u8]) -> u128 {
        let mut values = [[0; 16]; 2 * 4];
        let mut count = 0;
        for (chunk, value) in message.chunks(CHUNK).zip(values.chunks_exact_mut(2)) {
            let sums = self.nh(chunk).map(u64::to_le_bytes);
            value.as_flattened_mut().copy_from_slice(sums.as_flattened());
            count += 2;
        }
        self.message.hash(&values[..count])
    }

    /// NH of at most a chunk.
    fn nh(&self, chunk: &[u8]) -> [u64; PASSES] {
        let mut sums = [[0u64; 2]; PASSES];
        for (step, at) in chunk.as_chunks::<STEP>().0.iter().zip((0..).step_by(STEP / 4)) {
            let word = |at: usize| u32::from_le_bytes([step[at], step[at + 1], step[at + 2], step[at + 3]]);
            let (left, right) = ([word(0), word(4)], [word(8), word(12)]);
            let keys = &self.nh[at..at + 4 * PASSES];
            for (sums, key) in sums.iter_mut().zip(keys.as_chunks::<4>().0) {
                for lane in 0..2 {
                    let left = u64::from(left[lane].wrapping_add(key[lane]));
                    let right = u64::from(right[lane].wrapping_add(key[lane + 2]));
                    sums[lane] = sums[lane].wrapping_add(left * right);
                }
            }
        }
        sums.map(|[even, odd]| even.wrapping_add(odd))
    }
}
