//! `tcw`, of `TrueCrypt` volumes before version 4.1: the IV is the seed with s added (XOR) to each 8 bytes of it, s in 64
//! bits, little-endian. Over the ciphertext lies whitening, the same 8 bytes again and again:
//!
//! the 16 bytes of whitening of the key, with s added to each half, are four words of 32 bits, and each is
//! replaced by its CRC-32 (polynomial 04C11DB7 reflected, from 0, not inverted at the end); the first with the fourth
//! added, then the second with the third added, are the whitening.
//!
//! Of the key's end the first bytes, as many as an IV has, are the seed, the last 16 the whitening.

use udm_crypto::{Iv, IvRule, Request};
use zeroize::Zeroizing;

use super::each_sector;

/// What tcw has of a key.
pub(in crate::targets::crypt) struct Tcw {
    /// Where an IV has 8 bytes, only the first 8 are of use.
    seed: Zeroizing<Iv>,
    whitening: Zeroizing<[u8; 16]>,
}

impl Tcw {
    /// The seed and the whitening of the key's part that is tcw's.
    pub(super) fn new(key: &[u8]) -> Self {
        let (seed, whitening) = key.split_at(key.len() - 16);
        let mut tcw = Self { seed: Zeroizing::default(), whitening: Zeroizing::default() };
        tcw.seed[..seed.len()].copy_from_slice(seed);
        tcw.whitening.copy_from_slice(whitening);
        tcw
    }

    /// Fills `ivs` with the IVs of the sectors that `rule` numbers.
    pub(super) fn fill(&self, rule: &IvRule<'_>, ivs: &mut [Iv]) {
        rule.fill(0, ivs);
        for iv in ivs {
            *iv = twice(number(*iv), &self.seed);
        }
    }

    /// Adds the whitening of each sector, or takes it away, which is the same.
    pub(super) fn whiten(&self, run: &mut Request<'_>) {
        each_sector(run, |iv, sector| {
            let whitening = self.of_sector(number(iv));
            for word in sector.as_chunks_mut().0 {
                *word = (u64::from_le_bytes(*word) ^ whitening).to_le_bytes();
            }
        });
    }

    /// The whitening of sector s.
    fn of_sector(&self, s: u64) -> u64 {
        let mixed = twice(s, &self.whitening);
        let word = |at: usize| crc32(u32::from_le_bytes([0, 1, 2, 3].map(|byte| mixed[at * 4 + byte])));
        let [first, second] = [word(0) ^ word(3), word(1) ^ word(2)];
        u64::from(first) | u64::from(second) << 32
    }
}

/// The number that `plain64` wrote.
fn number(iv: Iv) -> u64 {
    u128::from_le_bytes(iv) as u64
}

/// `seed` with `s` added to each half.
fn twice(s: u64, seed: &[u8; 16]) -> [u8; 16] {
    let both = u128::from(s) | u128::from(s) << 64;
    (u128::from_le_bytes(*seed) ^ both).to_le_bytes()
}

/// The CRC-32 of 4 bytes, from 0 and not inverted.
const fn crc32(word: u32) -> u32 {
    let (mut crc, mut byte) = (word, 0);
    while byte < 4 {
        crc = crc >> 8 ^ CRC_OF_BYTE[(crc & 0xff) as usize];
        byte += 1;
    }
    crc
}

/// The CRC-32 of each byte.
const CRC_OF_BYTE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut crc, mut bit) = (byte as u32, 0);
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};
