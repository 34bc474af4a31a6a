//! `essiv:<hash>`: the IV of another mode (`plain64`, in a table's old form), enciphered as one block under the salt,
//! which is the hash of the volume key.
//!
//! The IVs of many sectors are enciphered in one pass, which keeps the cipher's pipeline full; the kernel enciphers
//! one, waits for it, and only then begins with the sector.

use udm_crypto::{Algorithm, CryptError, Hash, Iv, IvRule, KeyError, Skcipher};

use super::sectors::encipher;
use crate::targets::crypt::choice::CipherChoice;

/// The cipher of the IVs.
pub(in crate::targets::crypt) struct Essiv {
    blocks: Skcipher,
    /// Whether an IV is the first half of an [`Iv`].
    narrow: bool,
}

impl Essiv {
    /// The cipher of the IVs of a volume under `algorithm`, whose key is `key`.
    ///
    /// # Errors
    /// When the hash is not as long as a key of the block cipher.
    pub(in crate::targets::crypt) fn new(
        choice: &CipherChoice,
        algorithm: Algorithm,
        hash: Hash,
        key: &[u8],
    ) -> Result<Self, KeyError> {
        let blocks = algorithm.blocks().unwrap_or(algorithm);
        let narrow = algorithm.iv_size() < size_of::<Iv>();
        Ok(Self { blocks: choice.key(blocks, &hash.digest(key))?, narrow })
    }

    /// Fills `ivs` with the IVs of the units that `rule` numbers.
    ///
    /// # Errors
    /// When the cipher fails.
    pub(in crate::targets::crypt) fn fill(
        &self,
        rule: &IvRule<'_>,
        ivs: &mut [Iv],
    ) -> Result<(), CryptError> {
        rule.fill(0, ivs);
        if self.narrow && matches!(rule, IvRule::CounterBe64 { .. }) {
            // The number is in the last 8 bytes, which are the IV here.
            for iv in &mut *ivs {
                iv.rotate_left(8);
            }
        }
        encipher(&self.blocks, IvRule::Constant(Iv::default()), ivs)
    }
}
