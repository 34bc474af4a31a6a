//! `elephant`, of `BitLocker`'s CBC with diffuser: the IVs are those of `eboiv`, and before a sector is encrypted it is
//! mixed (Niels Ferguson, "AES-CBC + Elephant diffuser", 2006):
//!
//! - the sector key is added (XOR) to each 32 bytes: the AES encryptions, under a key of its own, of e and of e with
//!   its last byte 80 (hex), where e is the sector's place in bytes as `eboiv` has it;
//! - then diffuser A is undone, and diffuser B. Over the words d of 32 bits, little-endian, with indices around the end:
//!   A is d[i] += d[i - 2] ^ (d[i - 5] <<< Ra[i mod 4]), i upwards, five times; B is
//!   d[i] += d[i + 2] ^ (d[i + 5] <<< Rb[i mod 4]), three times.
//!
//! A reader decrypts, then does B, A, and adds the sector key.

use udm_crypto::{Algorithm, CryptError, Iv, IvRule, KeyError, MAX_UNIT_SIZE, Mode, Request, Skcipher};

use super::eboiv::Eboiv;
use super::encipher;
use crate::targets::crypt::CipherChoice;

/// How many sectors' keys are made in one pass: two blocks each, on the stack.
const PASS: usize = 32;
/// The most words of a sector.
const WORDS: usize = MAX_UNIT_SIZE / 4;

const RA: [u32; 4] = [9, 0, 13, 0];
const RB: [u32; 4] = [0, 10, 0, 25];
const A_CYCLES: usize = 5;
const B_CYCLES: usize = 3;

/// The cipher of the sector keys, and of the IVs.
pub(in crate::targets::crypt) struct Elephant {
    pub(super) eboiv: Eboiv,
    sector_keys: Skcipher,
}

impl Elephant {
    /// With `key`, one of AES, for the sector keys.
    ///
    /// # Errors
    /// When no driver takes the key.
    pub(super) fn new(choice: &CipherChoice, eboiv: Eboiv, key: &[u8]) -> Result<Self, KeyError> {
        Ok(Self { eboiv, sector_keys: choice.key(Algorithm::aes(Mode::Ecb), key)? })
    }

    /// Mixes the sectors of a run, from its source into its destination.
    ///
    /// # Errors
    /// When the cipher of the sector keys fails.
    pub(super) fn encrypt(&self, run: &mut Request<'_>) -> Result<(), CryptError> {
        self.each(run, |words, key| {
            add(words, key);
            undo_a(words);
            undo_b(words);
        })
    }

    /// The reverse.
    ///
    /// # Errors
    /// As [`encrypt`](Self::encrypt).
    pub(super) fn decrypt(&self, run: &mut Request<'_>) -> Result<(), CryptError> {
        self.each(run, |words, key| {
            do_b(words);
            do_a(words);
            add(words, key);
        })
    }

    /// Has `change` change each sector, given its key.
    fn each(&self, run: &mut Request<'_>, change: impl Fn(&mut [u32], &[u32; 8])) -> Result<(), CryptError> {
        let (mut src, units) = (run.src, run.units());
        let mut dst = run.dst.reborrow();
        let (mut keys, mut bytes, mut words) = ([[Iv::default(); 2]; PASS], [0; MAX_UNIT_SIZE], [0; WORDS]);
        let (bytes, words) = (&mut bytes[..run.unit_size], &mut words[..run.unit_size / 4]);
        for first in (0..units).step_by(PASS) {
            let keys = &mut keys[..PASS.min(units - first)];
            self.fill(&run.iv, first, keys)?;
            for key in keys {
                src.read(bytes);
                for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
                    *word = u32::from_le_bytes(*bytes);
                }
                change(words, &words_of(key));
                for (bytes, word) in bytes.as_chunks_mut().0.iter_mut().zip(&*words) {
                    *bytes = word.to_le_bytes();
                }
                dst.write(bytes);
            }
        }
        Ok(())
    }

    /// Fills `keys` with the keys of the sectors from `first` on whose places `rule` says.
    fn fill(&self, rule: &IvRule<'_>, first: usize, keys: &mut [[Iv; 2]]) -> Result<(), CryptError> {
        for (unit, key) in (first..).zip(&mut *keys) {
            *key = [rule.iv(unit); 2];
            key[1][15] = 0x80;
        }
        encipher(&self.sector_keys, IvRule::Constant(Iv::default()), keys.as_flattened_mut())
    }
}

/// The words of a sector key.
fn words_of(key: &[Iv; 2]) -> [u32; 8] {
    let bytes: &[[u8; 4]] = key.as_flattened().as_chunks().0;
    std::array::from_fn(|word| u32::from_le_bytes(bytes[word]))
}

/// Adds the sector key to each 32 bytes.
fn add(words: &mut [u32], key: &[u32; 8]) {
    for words in words.as_chunks_mut::<8>().0 {
        for (word, key) in words.iter_mut().zip(key) {
            *word ^= key;
        }
    }
}

/// What diffuser A adds to word `at`. A sector has a power of two of words, so that a mask takes an index around.
fn a(d: &[u32], at: usize) -> u32 {
    let around = d.len() - 1;
    d[at.wrapping_sub(2) & around] ^ d[at.wrapping_sub(5) & around].rotate_left(RA[at % 4])
}

/// The same of diffuser B.
fn b(d: &[u32], at: usize) -> u32 {
    let around = d.len() - 1;
    d[(at + 2) & around] ^ d[(at + 5) & around].rotate_left(RB[at % 4])
}

fn do_a(d: &mut [u32]) {
    for _ in 0..A_CYCLES {
        for at in 0..d.len() {
            d[at] = d[at].wrapping_add(a(d, at));
        }
    }
}

fn undo_a(d: &mut [u32]) {
    for _ in 0..A_CYCLES {
        for at in (0..d.len()).rev() {
            d[at] = d[at].wrapping_sub(a(d, at));
        }
    }
}

fn do_b(d: &mut [u32]) {
    for _ in 0..B_CYCLES {
        for at in 0..d.len() {
            d[at] = d[at].wrapping_add(b(d, at));
        }
    }
}

fn undo_b(d: &mut [u32]) {
    for _ in 0..B_CYCLES {
        for at in (0..d.len()).rev() {
            d[at] = d[at].wrapping_sub(b(d, at));
        }
    }
}
