//! CBC, NIST SP 800-38A: a block's ciphertext is `E(plaintext ^ the ciphertext before it)`, the first one's is the IV.
//!
//! Decryption has all it needs at once. Encryption is a chain from block to block of a unit, but the units do not
//! depend on each other: so up to 64 of them go side by side, a block of each in a pass.

use super::Crypts;
use super::batch::{BATCH, BLOCK, Batch, Encrypt};
use crate::driver::KeyedCipher;
use crate::error::CryptError;
use crate::request::{Direction, Iv, Request};
use crate::walk::{self, Run};
use aes::cipher::consts::U16;
use aes::cipher::{BlockCipherEncBackend, BlockCipherEncClosure, BlockSizeUser};

/// A CBC key.
pub(super) struct Cbc<C>(pub C);

/// Units side by side on their way through encryption.
struct Chains<'a> {
    run: &'a Run<'a>,
    /// The first unit within the run, and how many.
    begin: usize,
    units: usize,
    unit_size: usize,
    /// Its blocks hold the IVs.
    batch: &'a mut Batch,
}

impl<C: Crypts> Cbc<C> {
    fn encrypt(&self, request: &Request<'_>) -> Result<(), CryptError> {
        let mut batch = Batch::new();
        walk::runs(request, |run| {
            for begin in (0..run.units).step_by(BATCH) {
                let units = BATCH.min(run.units - begin);
                request.iv.fill(run.first + begin, &mut batch.blocks()[..units]);
                let (unit_size, batch) = (request.unit_size, &mut batch);
                self.0.encrypt_with_backend(Chains { run, begin, units, unit_size, batch });
            }
            Ok(())
        })
    }

    fn decrypt(&self, request: &Request<'_>) -> Result<(), CryptError> {
        let mut batch = Batch::new();
        let mut ivs = [Iv::default(); BATCH];
        walk::runs(request, |run| {
            for begin in (0..run.units).step_by(BATCH) {
                let ivs = &mut ivs[..BATCH.min(run.units - begin)];
                request.iv.fill(run.first + begin, ivs);
                self.decrypt_units(run, begin, request.unit_size, ivs, &mut batch);
            }
            Ok(())
        })
    }

    /// Decrypts the units of `run` from `begin` on, whose IVs are `ivs`.
    fn decrypt_units(&self, run: &Run<'_>, begin: usize, unit_size: usize, ivs: &[Iv], batch: &mut Batch) {
        let end = (begin + ivs.len()) * unit_size;
        let mut before = 0;
        for at in (begin * unit_size..end).step_by(BATCH * BLOCK) {
            let len = (end - at).min(BATCH * BLOCK);
            // Each byte is read once: in place the ciphertext is gone afterwards, and elsewhere it may have changed.
            run.src.slice(at, len).read(&mut batch.bytes[..len]);
            for (mask, block) in batch.masks.iter_mut().zip(batch.bytes[..len].as_chunks().0) {
                *mask = std::mem::replace(&mut before, u128::from_le_bytes(*block));
            }
            for unit in at.div_ceil(unit_size)..(at + len).div_ceil(unit_size) {
                batch.masks[(unit * unit_size - at) / BLOCK] = u128::from_le_bytes(ivs[unit - begin]);
            }
            self.0.decrypt_with_backend(batch.pass::<false, true>(len / BLOCK));
            run.dst.slice(at, len).write(&batch.bytes[..len]);
        }
    }
}

impl BlockSizeUser for Chains<'_> {
    type BlockSize = U16;
}

impl BlockCipherEncClosure for Chains<'_> {
    #[allow(clippy::inline_always, reason = "the same as for all passes: see `batch`")]
    #[inline(always)]
    fn call<B: BlockCipherEncBackend<BlockSize = U16>>(self, backend: &B) {
        let Self { run, begin, units, unit_size, batch } = self;
        for block in (0..unit_size).step_by(BLOCK) {
            let place = |unit| (begin + unit) * unit_size + block;
            for (unit, mask) in batch.masks[..units].iter_mut().enumerate() {
                let mut plain = [0; BLOCK];
                run.src.slice(place(unit), BLOCK).read(&mut plain);
                *mask = u128::from_le_bytes(plain);
            }
            batch.pass::<true, false>(units).through(&Encrypt(backend));
            for (unit, secret) in batch.blocks()[..units].iter().enumerate() {
                run.dst.slice(place(unit), BLOCK).write(secret);
            }
        }
    }
}

impl<C: Crypts> KeyedCipher for Cbc<C> {
    fn crypt(&self, request: &Request<'_>) -> Result<(), CryptError> {
        match request.direction {
            Direction::Encrypt => self.encrypt(request),
            Direction::Decrypt => self.decrypt(request),
        }
    }
}
