//! `ecb(cipher_null)`: the data as it is. Volumes have it while they wait to be encrypted.

use crate::driver::KeyedCipher;
use crate::error::CryptError;
use crate::request::{MAX_UNIT_SIZE, Request};
use crate::walk;

/// No key.
pub(super) struct Null;

impl KeyedCipher for Null {
    fn crypt(&self, request: &mut Request<'_>) -> Result<(), CryptError> {
        let mut buffer = [0; MAX_UNIT_SIZE];
        walk::runs(request, |run| {
            // In place there is nothing to do.
            if run.src.as_ptr() != run.dst.as_mut_ptr().cast_const() {
                for at in (0..run.src.len()).step_by(buffer.len()) {
                    let buffer = &mut buffer[..(run.src.len() - at).min(MAX_UNIT_SIZE)];
                    run.src.slice(at, buffer.len()).read(buffer);
                    run.dst.slice(at, buffer.len()).write(buffer);
                }
            }
            Ok(())
        })
    }
}
