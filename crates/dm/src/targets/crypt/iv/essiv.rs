//! `essiv:<hash>`: the IV of another mode (`plain64`, in a table's old form), enciphered as one block under the salt,
//! which is the hash of the volume key.
//!
//! The IVs of many sectors are enciphered in one pass, which keeps the cipher's pipeline full; the kernel enciphers
//! one, waits for it, and only then begins with the sector.

use udm_block::{Span, SpanIter};
use udm_crypto::{
    Algorithm, CryptError, Direction, HashAlgorithm, Iv, IvRule, KeyError, Mode, Request, Skcipher,
};

use crate::targets::crypt::CipherChoice;

/// The cipher of the IVs.
pub(in crate::targets::crypt) struct Essiv(Skcipher);

impl Essiv {
    /// The cipher of the IVs of a volume under `algorithm`, whose key is `key`.
    ///
    /// # Errors
    /// When the hash is not as long as a key of the block cipher.
    pub(in crate::targets::crypt) fn new(
        choice: &CipherChoice,
        algorithm: Algorithm,
        hash: HashAlgorithm,
        key: &[u8],
    ) -> Result<Self, KeyError> {
        let blocks = Algorithm { mode: Mode::Ecb, ..algorithm };
        choice.key(blocks, &hash.digest(key)).map(Self)
    }

    /// Fills `ivs` with the IVs of the units from `unit` on that `rule` numbers.
    ///
    /// # Errors
    /// When the cipher fails.
    pub(in crate::targets::crypt) fn fill(
        &self,
        rule: &IvRule<'_>,
        unit: usize,
        ivs: &mut [Iv],
    ) -> Result<(), CryptError> {
        rule.fill(unit, ivs);
        let run = [Span::new(ivs.as_flattened_mut())];
        let blocks = SpanIter::new(&run);
        self.0.crypt(&Request {
            direction: Direction::Encrypt,
            src: blocks,
            dst: blocks,
            unit_size: size_of::<Iv>(),
            iv: IvRule::Constant([0; 16]),
        })
    }
}
