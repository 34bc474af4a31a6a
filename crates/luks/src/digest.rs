//! A digest tells whether a key is the volume key (LUKS1: `mk-digest`; LUKS2: the digests object, type `pbkdf2`).

use std::num::NonZeroU32;
use std::time::Duration;

use subtle::ConstantTimeEq;
use udm_block::stack;

use crate::cost;
use crate::error::Error;
use crate::kdf::check_iterations;
use crate::limits::Limits;
use crate::random;
use crate::secret::Secret;
use udm_crypto::Hash;

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

/// How long the digest of a key may take. The key is no passphrase: nobody guesses it, however little a guess costs.
const TIME: Duration = Duration::from_millis(125);

impl Digest {
    /// The digest of `key`, with as many bytes as `size` says, or as many as `hash` gives. It is measured only where the
    /// costs of passphrases are.
    ///
    /// # Errors
    /// When there is no memory or randomness.
    pub(crate) fn of(key: &[u8], hash: Hash, size: Option<usize>, is_measured: bool) -> Result<Self, Error> {
        let size = size.unwrap_or_else(|| hash.digest_size());
        let time = if is_measured { TIME } else { Duration::ZERO };
        let iterations = NonZeroU32::new(cost::iterations_for(hash, size, time)?).unwrap_or(NonZeroU32::MIN);
        let salt = random::bytes::<{ cost::SALT_SIZE }>()?.to_vec();
        let mut digest = vec![0; size];
        stack::wiped(|| hash.pbkdf2(key, &salt, iterations.get(), &mut digest));
        // Who reads this one's header names the field.
        Ok(Self { iterations_field: String::new(), hash, iterations, salt, digest })
    }

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
