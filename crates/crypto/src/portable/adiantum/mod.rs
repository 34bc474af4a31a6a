//! Adiantum (Crowley and Biggers, "Adiantum: length-preserving encryption for entry-level processors", 2018): the whole
//! unit is one block. All but its last 16 bytes are hashed into those, which go through AES and choose the stream that
//! the others are encrypted with; then the hash is taken out again.
//!
//! The AES of several units is done in one pass, as elsewhere.

mod hash;
mod poly;

#[cfg(test)]
mod tests;

use super::batch::{BATCH, Batch, BlockCipher as _, Masks};
use super::stream::{Key, Stream};
use super::width::Word;
use crate::driver::KeyedCipher;
use crate::error::CryptError;
use crate::request::{Direction, Request, WideIv};
use crate::walk::{self, Run};
use aes::Aes256;
use aes::cipher::KeyInit;
use aes::cipher::consts::U16;
use chacha20::Rounds;
pub(super) use hash::Hash;
use std::marker::PhantomData;
use zeroize::Zeroizing;

/// Bytes at the end of a unit that AES encrypts.
const BLOCK: usize = 16;

/// Bytes of units that are worked on at once; at least one unit's.
const BUFFER: usize = 16 << 10;

/// A key of Adiantum whose stream cipher has `R` rounds.
pub(super) struct Adiantum<R> {
    stream: Key,
    block: Aes256,
    hash: Hash,
    rounds: PhantomData<fn() -> R>,
}

/// Units at work, with their IVs.
struct Units<'a> {
    data: &'a mut [u8],
    unit_size: usize,
    ivs: &'a [WideIv],
}

impl<R: Rounds> Adiantum<R> {
    /// Takes the key of the stream cipher, whose stream under the nonce 1 has the other keys in it.
    pub fn new(key: Key) -> Self {
        let mut nonce = WideIv::default();
        nonce[0] = 1;
        let mut keys = Zeroizing::new([0; 32 + Hash::KEY_SIZE]);
        Stream::<R>::extended(&key, &nonce).add(&mut *keys);
        let (block, hash) = keys.split_first_chunk::<32>().expect("AES has 32 bytes of it");
        Self { block: Aes256::new(block.into()), hash: Hash::new(hash), stream: key, rounds: PhantomData }
    }

    /// Encrypts or decrypts `units`.
    fn units(&self, direction: Direction, units: &mut Units<'_>, batch: &mut Batch<U16>) {
        let bulk_size = units.unit_size - BLOCK;
        let count = units.ivs.len();
        // The masks hold what the IVs hash to.
        for (unit, iv) in units.ivs.iter().enumerate() {
            let (bulk, last) = units.data[unit * units.unit_size..][..units.unit_size].split_at(bulk_size);
            batch.masks[unit] = self.hash.header(bulk_size, iv);
            let digest = batch.masks[unit].wrapping_add(self.hash.message(bulk));
            u128::read(last).wrapping_add(digest).write(&mut batch.blocks()[unit]);
        }
        let mut before = [[0; BLOCK]; BATCH];
        for (before, block) in before[..count].iter_mut().zip(batch.blocks()) {
            *before = block.0;
        }
        match direction {
            Direction::Encrypt => self.block.encrypt(batch.pass(count, Masks::Unused)),
            Direction::Decrypt => self.block.decrypt(batch.pass(count, Masks::Unused)),
        }
        for (unit, before) in before[..count].iter().enumerate() {
            let passed = batch.blocks()[unit].0;
            // The stream is chosen by what is the block's ciphertext.
            let nonce = if direction == Direction::Encrypt { passed } else { *before };
            let data = &mut units.data[unit * units.unit_size..][..units.unit_size];
            let (bulk, last) = data.split_at_mut(bulk_size);
            let mut iv = WideIv::default();
            iv[..BLOCK].copy_from_slice(&nonce);
            iv[BLOCK] = 1;
            Stream::<R>::extended(&self.stream, &iv).add(bulk);
            let digest = batch.masks[unit].wrapping_add(self.hash.message(bulk));
            u128::read(&passed).wrapping_sub(digest).write(last);
        }
    }

    /// The units of `run`, by way of `buffer`: each byte is looked at twice, and must not have changed in between.
    fn run(&self, run: &mut Run<'_>, buffer: &mut [u8], batch: &mut Batch<U16>) {
        let unit_size = run.rule.unit_size;
        let mut ivs = [WideIv::default(); BATCH];
        let at_once = (buffer.len() / unit_size).min(BATCH);
        for begin in (0..run.units).step_by(at_once) {
            let ivs = &mut ivs[..at_once.min(run.units - begin)];
            run.rule.iv.fill(run.first + begin, ivs);
            let (at, len) = (begin * unit_size, ivs.len() * unit_size);
            let data = &mut buffer[..len];
            run.src.slice(at, len).read(data);
            self.units(run.rule.direction, &mut Units { data, unit_size, ivs }, batch);
            run.dst.slice(at, len).write(&buffer[..len]);
        }
    }
}

impl<R: Rounds> KeyedCipher for Adiantum<R> {
    fn crypt(&self, request: &mut Request<'_>) -> Result<(), CryptError> {
        let (mut buffer, mut batch) = ([0; BUFFER], Batch::new());
        walk::runs(request, |run| {
            self.run(run, &mut buffer, &mut batch);
            Ok(())
        })
    }
}
