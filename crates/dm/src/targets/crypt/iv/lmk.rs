//! `lmk`, of loop-AES: the state of MD5 (without its last block, of padding and length) after the sector's bytes 16 to
//! 511, then four words of 32 bits, little-endian: the low half of s; bits 32 to 55 of s with 80000000 (hex) added; 4024;
//! and 0. In version 3 they are behind a block of 16 bytes of seed and zeros. The keys are several, mostly 64.
//!
//! So the IV is a digest of all of the sector's plaintext but its first block, which a reader does not have yet. It
//! decrypts with an IV of zeros, in CBC; then all but the first block is right, and the digest of that,
//! added (XOR) to the first block, puts this right too.

use md5::block_api::compress;
use udm_crypto::{Direction, Iv, Request};
use zeroize::Zeroizing;

use super::each_sector;

/// The size of a sector in bytes; there are no others with lmk.
const SECTOR: usize = 512;
/// The bits of the plaintext and the sector's number: 4024, as loop-AES has it, though they are more.
const LENGTH: u32 = 4024;
/// What MD5 begins with: RFC 1321, 3.3.
const MD5: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];

/// The digest of a volume's sectors.
pub(in crate::targets::crypt) struct Lmk {
    /// MD5's state before a sector.
    before: Zeroizing<[u32; 4]>,
    /// The bytes of an IV.
    iv_size: usize,
}

impl Lmk {
    /// With this seed of 16 bytes, version 3; version 2 with none. An IV has `iv_size` bytes, at most 16.
    pub(super) fn new(seed: &[u8], iv_size: usize) -> Self {
        let mut state = Zeroizing::new(MD5);
        if !seed.is_empty() {
            let mut block = Zeroizing::new([0; 64]);
            block[..seed.len()].copy_from_slice(seed);
            compress(&mut state, std::slice::from_ref(&*block));
        }
        Self { before: state, iv_size }
    }

    /// Fills `ivs` with the IVs of the sectors of a run, from its source; zeros, where they are not decrypted yet.
    pub(super) fn fill(&self, run: &Request<'_>, ivs: &mut [Iv]) {
        if run.direction == Direction::Decrypt {
            return ivs.fill(Iv::default());
        }
        run.iv.fill(0, ivs);
        let mut src = run.src;
        let mut sector = [0; SECTOR];
        for iv in ivs {
            src.read(&mut sector);
            *iv = self.digest(*iv, &sector);
        }
    }

    /// Puts the first block of each sector right that was decrypted with an IV of zeros.
    pub(super) fn unmask(&self, run: &mut Request<'_>) {
        each_sector(run, |number, sector| {
            let Ok(sector) = <&mut [u8; SECTOR]>::try_from(sector) else { return };
            let iv = self.digest(number, sector);
            for (byte, mask) in sector.iter_mut().zip(iv).take(self.iv_size) {
                *byte ^= mask;
            }
        });
    }

    /// The digest of all but the first 16 bytes of a sector, and of its number as `plain64` has it.
    fn digest(&self, number: Iv, sector: &[u8; SECTOR]) -> Iv {
        let s = u128::from_le_bytes(number) as u64;
        let tail = [s as u32, (s >> 32) as u32 & 0x00ff_ffff | 0x8000_0000, LENGTH, 0];
        let mut data = [0; SECTOR];
        data[..SECTOR - 16].copy_from_slice(&sector[16..]);
        data[SECTOR - 16..].copy_from_slice(&bytes(tail));
        let mut state = *self.before;
        compress(&mut state, data.as_chunks().0);
        bytes(state)
    }
}

/// Four words as bytes, little-endian.
fn bytes(words: [u32; 4]) -> [u8; 16] {
    let mut bytes = [0; 16];
    for (bytes, word) in bytes.chunks_exact_mut(4).zip(words) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}
