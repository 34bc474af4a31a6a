//! How the bytes of a key word are divided: keys of the cipher, and what the IV mode has of it behind them.

use std::ops::Range;

use super::cipher::{CipherSpec, IvMode};
use crate::table::{KernelReason, reason};

/// The bytes of tcw's whitening.
const TCW_WHITENING: usize = 16;
/// The bytes of lmk's seed.
const LMK_SEED: usize = 16;
/// The longest key of elephant's diffuser, in bytes, and the sizes that AES takes.
const ELEPHANT_MOST: usize = 32;
const AES_SIZES: [usize; 3] = [16, 24, 32];

/// The parts of a key word's bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyLayout {
    /// The bytes of each of the cipher's keys, which stand one after another at the beginning.
    pub key_size: usize,
    /// The bytes that are the IV mode's: of elephant the key of the diffuser, of lmk the seed where it has one, of
    /// tcw the seed of the IVs and then the whitening; of all other modes none.
    pub of_iv: Range<usize>,
}

impl KeyLayout {
    /// The layout of `bytes` bytes for `cipher`. Bytes that are left over belong to nothing, as in the kernel.
    ///
    /// # Errors
    /// As [`CipherSpec::key_layout`].
    pub(super) fn of(cipher: &CipherSpec, bytes: usize) -> Result<Self, Option<KernelReason>> {
        let refused = Err(Some(reason::KEY));
        let none = bytes..bytes;
        let (extra, of_iv) = match cipher.iv.mode {
            IvMode::Elephant if bytes / 2 > ELEPHANT_MOST => return Err(Some(reason::UNKNOWN)),
            IvMode::Elephant => (bytes / 2, bytes - bytes / 2..bytes),
            IvMode::Tcw => {
                let extra = tcw_size(cipher);
                // The kernel wants a byte of key, even where the cipher does without.
                if bytes <= extra {
                    return refused;
                }
                (extra, bytes - extra..bytes)
            }
            IvMode::Lmk if !bytes.is_multiple_of(cipher.key_count) => {
                let each = bytes / (cipher.key_count + 1);
                let seed = each * cipher.key_count;
                (each, seed..seed + LMK_SEED)
            }
            _ => (0, none),
        };
        let key_size = (bytes - extra) / cipher.key_count;
        if !cipher.algorithm.key_sizes().any(|size| size == key_size) {
            return refused;
        }
        if cipher.iv.mode == IvMode::Elephant && !AES_SIZES.contains(&extra) {
            return Err(Some(reason::IV_INIT));
        }
        if of_iv.end > bytes {
            return Err(None);
        }
        Ok(Self { key_size, of_iv })
    }

    /// The sizes of all key words that `cipher` takes whole, with nothing left over, in ascending order.
    pub(super) fn sizes(cipher: &CipherSpec) -> Vec<usize> {
        let count = cipher.key_count;
        let size = |key: usize| {
            let keys = key.saturating_mul(count);
            match cipher.iv.mode {
                IvMode::Elephant => [keys.saturating_mul(2), 0],
                IvMode::Tcw => [keys.saturating_add(tcw_size(cipher)), 0],
                IvMode::Lmk => [keys, keys.saturating_add(key)],
                _ => [keys, 0],
            }
        };
        let all = cipher.algorithm.key_sizes().flat_map(size);
        let mut sizes: Vec<_> = all.filter(|size| Self::of(cipher, *size).is_ok()).collect();
        sizes.sort_unstable();
        sizes.dedup();
        sizes
    }
}

/// The bytes that tcw has of a key word.
fn tcw_size(cipher: &CipherSpec) -> usize {
    cipher.algorithm.iv_size().max(size_of::<u64>()) + TCW_WHITENING
}
