//! CBC, NIST SP 800-38A: a block's ciphertext is `E(plaintext ^ the ciphertext before it)`, the first one's is the IV.
//!
//! Encryption is a chain (`chained`). Decryption has all it needs at once.

use super::batch::{BATCH, Batch, BlockCipher, Masks};
use super::chained;
use super::links::CbcEncrypt;
use super::width::{Width, Word};
use crate::driver::KeyedCipher;
use crate::error::CryptError;
use crate::request::{Direction, Request};
use crate::walk::{self, Run};

/// A CBC key.
pub(super) struct Cbc<S>(pub Box<dyn BlockCipher<S>>);

impl<S: Width> Cbc<S> {
    fn decrypt(&self, request: &mut Request<'_>) -> Result<(), CryptError> {
        let mut batch = Batch::new();
        let mut ivs = [S::Word::default(); BATCH];
        walk::runs(request, |run| {
            for begin in (0..run.units).step_by(BATCH) {
                let ivs = &mut ivs[..BATCH.min(run.units - begin)];
                let blocks = &mut batch.blocks()[..ivs.len()];
                S::fill(run.rule.iv, run.first + begin, blocks);
                for (iv, block) in ivs.iter_mut().zip(blocks) {
                    *iv = Word::read(block);
                }
                self.decrypt_units(run, begin, ivs, &mut batch);
            }
            Ok(())
        })
    }

    /// Decrypts the units of `run` from `begin` on, whose IVs are `ivs`.
    fn decrypt_units(&self, run: &mut Run<'_>, begin: usize, ivs: &[S::Word], batch: &mut Batch<S>) {
        let (block_size, unit_size) = (S::USIZE, run.rule.unit_size);
        let end = (begin + ivs.len()) * unit_size;
        let mut before = S::Word::default();
        for at in (begin * unit_size..end).step_by(BATCH * block_size) {
            let len = (end - at).min(BATCH * block_size);
            // Each byte is read once: in place the ciphertext is gone afterwards, and elsewhere it may have changed.
            run.src.slice(at, len).read(&mut batch.bytes[..len]);
            for (mask, block) in batch.masks.iter_mut().zip(batch.bytes[..len].chunks_exact(block_size)) {
                *mask = std::mem::replace(&mut before, Word::read(block));
            }
            for unit in at.div_ceil(unit_size)..(at + len).div_ceil(unit_size) {
                batch.masks[(unit * unit_size - at) / block_size] = ivs[unit - begin];
            }
            self.0.decrypt(batch.pass(len / block_size, Masks::After));
            run.dst.slice(at, len).write(&batch.bytes[..len]);
        }
    }
}

impl<S: Width> KeyedCipher for Cbc<S> {
    fn crypt(&self, request: &mut Request<'_>) -> Result<(), CryptError> {
        match request.direction {
            Direction::Encrypt => chained::abreast::<S, CbcEncrypt>(request, |pass| self.0.encrypt(pass)),
            Direction::Decrypt => self.decrypt(request),
        }
    }
}
