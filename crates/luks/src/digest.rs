//! A digest tells whether a key is the volume key (LUKS1: `mk-digest`; LUKS2: the digests object, type `pbkdf2`).

use std::num::NonZeroU32;

use subtle::ConstantTimeEq;
use udm_block::stack;

use crate::error::Error;
use crate::hash::Hash;
use crate::kdf::check_iterations;
use crate::limits::Limits;
use crate::secret::Secret;

/// A digest of a volume key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Digest {
    /// Where the header has its iterations.
    pub iterations_field: String,
    /// The hash of PBKDF2's HMAC.
    pub hash: Hash,
    /// PBKDF2's iterations.
    pub iterations: NonZeroU32,
    /// PBKDF2's salt.
    pub salt: Vec<u8>,
    /// What PBKDF2 makes of the key.
    pub digest: Vec<u8>,
}

impl Digest {
    /// Whether `key` is the one. The answer takes the same time whichever byte differs.
    ///
    /// # Errors
    /// When it costs more than `limits` allow, or there is no memory.
    pub(crate) fn is_of(&self, key: &[u8], limits: &Limits) -> Result<bool, Error> {
        self.check(limits)?;
        let mut digest = Secret::zeroed(self.digest.len())?;
        stack::wiped(|| self.hash.pbkdf2(key, &self.salt, self.iterations.get(), &mut digest));
        Ok(digest.ct_eq(&self.digest).into())
    }

    /// Whether it costs no more than `limits` allow.
    ///
    /// # Errors
    /// [`Error::OverLimit`].
    pub(crate) fn check(&self, limits: &Limits) -> Result<(), Error> {
        check_iterations(&self.iterations_field, self.iterations, limits)
    }
}
