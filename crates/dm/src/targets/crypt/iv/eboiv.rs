//! `eboiv` (encrypted byte-offset IV, of `BitLocker`'s CBC): the ciphertext of a block of zeros in the volume's own cipher
//! and mode, under its first key, where the IV of that encryption is the sector's place in bytes: s * sector size, modulo
//! 2^64, in 64 bits, little-endian, then zeros.
//!
//! In CBC that is the place enciphered as one block, which is how `BitLocker` has it; in XTS it is not. s times the
//! sector size is the place in bytes only with sectors of 512 bytes or `iv_large_sectors`; dm-crypt is so.

use udm_crypto::{Algorithm, CryptError, Iv, IvRule, KeyError, Skcipher};

use super::plain64;
use super::sectors::encipher;
use crate::targets::crypt::choice::CipherChoice;

/// The rule of the places of a run that begins at `s`, with `step` from one sector to the next.
pub(super) fn rule(s: u64, step: u64, sector_size: u64) -> IvRule<'static> {
    plain64::rule(s.wrapping_mul(sector_size), step * sector_size)
}

/// The volume's cipher with its first key.
pub(in crate::targets::crypt) struct Eboiv(Skcipher);

impl Eboiv {
    /// The cipher of the IVs of a volume under `algorithm`, whose first key is `key`.
    ///
    /// # Errors
    /// When no driver takes the key.
    pub(super) fn new(choice: &CipherChoice, algorithm: Algorithm, key: &[u8]) -> Result<Self, KeyError> {
        choice.key(algorithm, key).map(Self)
    }

    /// Fills `ivs` with the IVs of the places that `rule` says. A cipher with blocks of 8 bytes makes two of each, of
    /// which the first is the IV.
    ///
    /// # Errors
    /// When the cipher fails.
    pub(super) fn fill(&self, rule: &IvRule<'_>, ivs: &mut [Iv]) -> Result<(), CryptError> {
        ivs.fill(Iv::default());
        encipher(&self.0, *rule, ivs)
    }
}
