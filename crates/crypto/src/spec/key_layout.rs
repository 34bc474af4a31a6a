//! How the bytes of a key are divided: keys of the cipher, and what the IV mode has of it behind them (the kernel's
//! `drivers/md/dm-crypt.c`, `crypt_subkey_size` and `crypt_ctr_ivmode`).

use std::ops::Range;

use super::CipherSpec;
use super::iv::IvMode;

/// The bytes of tcw's whitening.
const TCW_WHITENING: usize = 16;
/// The bytes of lmk's seed.
const LMK_SEED: usize = 16;
/// The longest key of elephant's diffuser, in bytes, and the sizes that AES takes.
const ELEPHANT_MOST: usize = 32;
const AES_SIZES: [usize; 3] = [16, 24, 32];

/// The parts of a key's bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyLayout {
    /// The bytes of each of the cipher's keys, which stand one after another at the beginning.
    pub key_size: usize,
    /// The bytes that are the IV mode's: of elephant the key of the diffuser, of lmk the seed where it has one, of
    /// tcw the seed of the IVs and then the whitening; of all other modes none.
    pub of_iv: Range<usize>,
}

/// Why a key of some size is not one of a cipher.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyLayoutError {
    /// The cipher's part of it has a size that the cipher does not take.
    #[error("the cipher does not take a key of this size")]
    CipherKey,
    /// The diffuser's part, half of it, is longer than any key of AES: elephant alone.
    #[error("half of the key is longer than a key of the diffuser")]
    LongDiffuserKey,
    /// The diffuser's part, half of it, has a size that AES does not take: elephant alone.
    #[error("half of the key is not a key of the diffuser")]
    DiffuserKey,
    /// The seed ends behind the key. The kernel takes such a key, and reads bytes that are not there: lmk alone.
    #[error("the seed ends behind the key")]
    ShortSeed,
}

impl KeyLayout {
    /// The layout of `bytes` bytes for `cipher`. Bytes that are left over belong to nothing, as in the kernel.
    ///
    /// # Errors
    /// As [`CipherSpec::key_layout`].
    pub(super) fn of(cipher: &CipherSpec, bytes: usize) -> Result<Self, KeyLayoutError> {
        let none = bytes..bytes;
        let (extra, of_iv) = match cipher.iv.mode {
            IvMode::Elephant if bytes / 2 > ELEPHANT_MOST => return Err(KeyLayoutError::LongDiffuserKey),
            IvMode::Elephant => (bytes / 2, bytes - bytes / 2..bytes),
            IvMode::Tcw => {
                let extra = tcw_size(cipher);
                // The kernel wants a byte of key, even where the cipher does without.
                if bytes <= extra {
                    return Err(KeyLayoutError::CipherKey);
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
            return Err(KeyLayoutError::CipherKey);
        }
        if cipher.iv.mode == IvMode::Elephant && !AES_SIZES.contains(&extra) {
            return Err(KeyLayoutError::DiffuserKey);
        }
        if of_iv.end > bytes {
            return Err(KeyLayoutError::ShortSeed);
        }
        Ok(Self { key_size, of_iv })
    }

    /// The sizes of all keys that `cipher` takes whole, with nothing left over, in ascending order.
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

/// The bytes that tcw has of a key.
fn tcw_size(cipher: &CipherSpec) -> usize {
    cipher.algorithm.iv_size().max(size_of::<u64>()) + TCW_WHITENING
}
