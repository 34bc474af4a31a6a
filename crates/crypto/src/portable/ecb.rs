//! ECB, NIST SP 800-38A: each block alone. It makes the IVs of `essiv`, `eboiv` and `elephant`.

use super::batch::{Batch, BlockCipher, Masks};
use super::width::Width;
use crate::driver::KeyedCipher;
use crate::error::CryptError;
use crate::request::{Direction, Request};
use crate::walk;

/// An ECB key.
pub(super) struct Ecb<S>(pub Box<dyn BlockCipher<S>>);

impl<S: Width> KeyedCipher for Ecb<S> {
    fn crypt(&self, request: &mut Request<'_>) -> Result<(), CryptError> {
        let mut batch = Batch::<S>::new();
        walk::runs(request, |run| {
            for at in (0..run.src.len()).step_by(Batch::<S>::BYTES) {
                let len = (run.src.len() - at).min(Batch::<S>::BYTES);
                run.src.slice(at, len).read(&mut batch.bytes[..len]);
                let pass = batch.pass(len / S::USIZE, Masks::Unused);
                match run.rule.direction {
                    Direction::Encrypt => self.0.encrypt(pass),
                    Direction::Decrypt => self.0.decrypt(pass),
                }
                run.dst.slice(at, len).write(&batch.bytes[..len]);
            }
            Ok(())
        })
    }
}
