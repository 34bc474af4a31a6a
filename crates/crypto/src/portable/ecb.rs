//! ECB, NIST SP 800-38A: each block alone. It makes the IVs of `essiv`, `eboiv` and `elephant`.

use super::Crypts;
use super::batch::{Batch, Pass};
use super::width::Width;
use crate::driver::KeyedCipher;
use crate::error::CryptError;
use crate::request::{Direction, Request};
use crate::walk;

/// An ECB key.
pub(super) struct Ecb<C>(pub C);

impl<C: Crypts> KeyedCipher for Ecb<C> {
    fn crypt(&self, request: &Request<'_>) -> Result<(), CryptError> {
        match request.direction {
            Direction::Encrypt => run(request, |pass| self.0.encrypt_with_backend(pass)),
            Direction::Decrypt => run(request, |pass| self.0.decrypt_with_backend(pass)),
        }
    }
}

/// Carries out `request` in passes.
fn run<S: Width>(request: &Request<'_>, pass: impl Fn(Pass<'_, S, false, false>)) -> Result<(), CryptError> {
    let mut batch = Batch::new();
    walk::runs(request, |run| {
        for at in (0..run.src.len()).step_by(Batch::<S>::BYTES) {
            let len = (run.src.len() - at).min(Batch::<S>::BYTES);
            run.src.slice(at, len).read(&mut batch.bytes[..len]);
            pass(batch.pass(len / S::USIZE));
            run.dst.slice(at, len).write(&batch.bytes[..len]);
        }
        Ok(())
    })
}
