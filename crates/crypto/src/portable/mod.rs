//! The portable driver: the `aes` crate, many blocks a call, under XTS, CBC and ECB loops of our own.
//!
//! It runs wherever Rust does and takes every key, so it is the one that all others are tested against. It reads and
//! writes spans by copies of up to 64 blocks, and is native for many units: the blocks of several units go
//! through the cipher together.

mod batch;
mod cbc;
mod ecb;
mod xts;

#[cfg(test)]
mod tests;

use crate::algorithm::{Algorithm, Mode};
use crate::driver::{Driver, DriverInfo, KeyedCipher, MultiUnit, Speed};
use aes::cipher::consts::U16;
use aes::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, Key, KeyInit};
use aes::{Aes128, Aes128Enc, Aes192, Aes192Enc, Aes256, Aes256Enc};

/// A cipher that encrypts blocks of 16 bytes.
trait Encrypts: BlockCipherEncrypt<BlockSize = U16> + KeyInit + Send + Sync + 'static {}
impl<C: BlockCipherEncrypt<BlockSize = U16> + KeyInit + Send + Sync + 'static> Encrypts for C {}

/// A cipher that encrypts and decrypts blocks of 16 bytes.
trait Crypts: Encrypts + BlockCipherDecrypt<BlockSize = U16> {}
impl<C: Encrypts + BlockCipherDecrypt<BlockSize = U16>> Crypts for C {}

/// The driver for each algorithm.
pub fn drivers() -> [Driver; 3] {
    Algorithm::ALL.map(|algorithm| Driver {
        info: DriverInfo {
            name: "portable",
            multi_unit: MultiUnit::Native,
            speed: Speed::of_aes(),
            priority: 100,
            description: "the aes crate, several units at once",
        },
        algorithm,
        lacking: None,
        key,
    })
}

/// Takes a key of any size that `algorithm` has.
pub(crate) fn key(algorithm: Algorithm, key: &[u8]) -> Result<Box<dyn KeyedCipher>, &'static str> {
    Ok(match (algorithm.mode, key.len()) {
        (Mode::Xts, 32) => Box::new(xts::Xts::<Aes128, Aes128Enc>::new(key)),
        (Mode::Xts, 48) => Box::new(xts::Xts::<Aes192, Aes192Enc>::new(key)),
        (Mode::Xts, 64) => Box::new(xts::Xts::<Aes256, Aes256Enc>::new(key)),
        (Mode::Cbc, 16) => Box::new(cbc::Cbc(keyed::<Aes128>(key))),
        (Mode::Cbc, 24) => Box::new(cbc::Cbc(keyed::<Aes192>(key))),
        (Mode::Cbc, 32) => Box::new(cbc::Cbc(keyed::<Aes256>(key))),
        (Mode::Ecb, 16) => Box::new(ecb::Ecb(keyed::<Aes128>(key))),
        (Mode::Ecb, 24) => Box::new(ecb::Ecb(keyed::<Aes192>(key))),
        (Mode::Ecb, 32) => Box::new(ecb::Ecb(keyed::<Aes256>(key))),
        _ => return Err("its size is none of the algorithm's"),
    })
}

/// A cipher with a key of the size that its caller has matched.
fn keyed<C: KeyInit>(key: &[u8]) -> C {
    C::new(<&Key<C>>::try_from(key).expect("the caller matched the key's size"))
}
