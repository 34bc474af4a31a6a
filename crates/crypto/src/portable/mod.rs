//! The portable driver: block ciphers of `RustCrypto`'s crates and a Twofish of our own, many blocks a call, under loops
//! of our own for each mode; Adiantum and the stream ciphers beside them.
//!
//! It runs wherever Rust does and takes every key, so it is the one that all others are tested against. It reads and
//! writes spans by copies of up to 64 blocks, and is native for many units: the blocks of several units go
//! through the cipher together. The modes are written and compiled once, for any cipher with the `cipher` crate's traits:
//! they call it behind a pointer, for up to 64 blocks a call (`batch`).

mod adiantum;
mod batch;
mod cbc;
mod chained;
mod ctr;
mod ecb;
mod links;
mod lrw;
mod null;
mod stream;
mod tweaked;
mod twofish;
mod width;
mod xts;

#[cfg(test)]
mod tests;

use crate::algorithm::{Algorithm, Cipher, Mode};
use crate::driver::{Driver, DriverInfo, KeyedCipher, MultiUnit, Speed};
use aes::cipher::KeyInit;
use aes::cipher::consts::U16;
use aes::{Aes128, Aes192, Aes256};
use batch::BlockCipher;
#[cfg(feature = "rare-ciphers")]
use camellia::{Camellia128, Camellia192, Camellia256};
use chacha20::{R12, R20};
use tweaked::Tweaked;
use width::Width;
use zeroize::Zeroizing;

/// What a key becomes, or why it is not taken.
type Keyed = Result<Box<dyn KeyedCipher>, &'static str>;

/// The driver for each algorithm.
pub fn drivers() -> impl Iterator<Item = Driver> {
    Algorithm::ALL.into_iter().map(|algorithm| Driver {
        info: DriverInfo {
            name: "portable",
            multi_unit: MultiUnit::Native,
            speed: if algorithm.cipher == Cipher::Aes { Speed::of_aes() } else { Speed::Software },
            priority: 100,
            description: match algorithm.cipher {
                Cipher::Aes => "the aes crate, several units at once",
                Cipher::Twofish => "tables for each key, several units at once",
                Cipher::XChaCha12Aes | Cipher::XChaCha20Aes => {
                    "NH over the chacha20, poly1305 and aes crates, several units at once"
                }
                Cipher::ChaCha20 | Cipher::XChaCha12 | Cipher::XChaCha20 => "the chacha20 crate",
                Cipher::CipherNull => "a copy",
                _ => "RustCrypto's crate of the cipher, several units at once",
            },
            for_tests: false,
        },
        algorithm,
        lacking: None,
        key,
    })
}

/// Takes a key of any size that `algorithm` has.
pub(crate) fn key(algorithm: Algorithm, key: &[u8]) -> Keyed {
    algorithm.check_key_size(key.len()).map_err(|_| WRONG_SIZE)?;
    let mode = algorithm.mode;
    // How much of the key is one of the block cipher's.
    match (algorithm.cipher, mode.cipher_key_size(key.len())) {
        (Cipher::Aes, 16) => tweakable(mode, key, crated::<Aes128>),
        (Cipher::Aes, 24) => tweakable(mode, key, crated::<Aes192>),
        (Cipher::Aes, _) => tweakable(mode, key, crated::<Aes256>),
        (Cipher::Twofish, _) => tweakable(mode, key, twofish::Twofish::new),
        (Cipher::CipherNull, _) => Ok(Box::new(null::Null)),
        (Cipher::XChaCha12Aes, _) => Ok(Box::new(adiantum::Adiantum::<R12>::new(of_32(key)))),
        (Cipher::XChaCha20Aes, _) => Ok(Box::new(adiantum::Adiantum::<R20>::new(of_32(key)))),
        (Cipher::ChaCha20, _) => Ok(Box::new(stream::Streams::<stream::Plain<R20>>::new(of_32(key)))),
        (Cipher::XChaCha12, _) => Ok(Box::new(stream::Streams::<stream::Extended<R12>>::new(of_32(key)))),
        (Cipher::XChaCha20, _) => Ok(Box::new(stream::Streams::<stream::Extended<R20>>::new(of_32(key)))),
        #[cfg(feature = "rare-ciphers")]
        (cipher, size) => rare(cipher, size, mode, key),
        #[cfg(not(feature = "rare-ciphers"))]
        _ => Err("this build lacks the cipher: feature rare-ciphers"),
    }
}

/// The ciphers of the feature, with `size` bytes of the key for the block cipher.
#[cfg(feature = "rare-ciphers")]
fn rare(cipher: Cipher, size: usize, mode: Mode, key: &[u8]) -> Keyed {
    match (cipher, size) {
        (Cipher::Serpent, _) => tweakable(mode, key, serpent),
        (Cipher::Camellia, 16) => tweakable(mode, key, crated::<Camellia128>),
        (Cipher::Camellia, 24) => tweakable(mode, key, crated::<Camellia192>),
        (Cipher::Camellia, _) => tweakable(mode, key, crated::<Camellia256>),
        (Cipher::Cast6, _) => tweakable(mode, key, crated::<cast6::Cast6>),
        (Cipher::Cast5, _) => plain(mode, Box::new(crated::<cast5::Cast5>(key))),
        (Cipher::Des3Ede, _) => plain(mode, Box::new(crated::<des::TdesEde3>(key))),
        (Cipher::Blowfish, _) => plain(mode, Box::new(crated::<blowfish::Blowfish>(key))),
        _ => unreachable!("the caller has all others"),
    }
}

const WRONG_SIZE: &str = "its size is none of the algorithm's";

/// A mode of blocks of 16 bytes: those with tweaks, which have a second key, and all others.
fn tweakable<C: BlockCipher<U16> + 'static>(mode: Mode, key: &[u8], cipher: fn(&[u8]) -> C) -> Keyed {
    let (data, tweaks) = key.split_at(mode.cipher_key_size(key.len()));
    let data = Box::new(cipher(data));
    Ok(match mode {
        Mode::Xts => Box::new(Tweaked { data, tweaks: xts::Xts(Box::new(cipher(tweaks))) }),
        Mode::Lrw => {
            let tweaks = lrw::Lrw::new(tweaks.try_into().map_err(|_| WRONG_SIZE)?);
            Box::new(Tweaked { data, tweaks })
        }
        _ => return plain(mode, data),
    })
}

/// A mode of blocks of any size, with one key.
fn plain<S: Width>(mode: Mode, cipher: Box<dyn BlockCipher<S>>) -> Keyed {
    Ok(match mode {
        Mode::Cbc => Box::new(cbc::Cbc(cipher)),
        Mode::Ecb => Box::new(ecb::Ecb(cipher)),
        Mode::Ctr => Box::new(ctr::Ctr(cipher)),
        Mode::Pcbc => Box::new(chained::Chained::<S, links::Pcbc>::new(cipher)),
        Mode::Cfb => Box::new(chained::Chained::<S, links::Cfb>::new(cipher)),
        Mode::Ofb => Box::new(chained::Chained::<S, links::Ofb>::new(cipher)),
        Mode::Xts | Mode::Lrw | Mode::Adiantum | Mode::Stream => {
            return Err("the mode does not take this cipher");
        }
    })
}

/// A cipher of a crate, with a key of a size that its caller has matched.
fn crated<C: KeyInit>(key: &[u8]) -> C {
    C::new_from_slice(key).expect("the caller matched the key's size")
}

/// Serpent with a key of up to 32 bytes; its specification has a bit of one put behind a shorter key, and zeros.
#[cfg(feature = "rare-ciphers")]
fn serpent(key: &[u8]) -> serpent::Serpent {
    let mut padded = Zeroizing::new([0; 32]);
    padded[..key.len()].copy_from_slice(key);
    if let Some(end) = padded.get_mut(key.len()) {
        *end = 1;
    }
    crated(&*padded)
}

/// A key of 32 bytes, as its caller has checked.
fn of_32(key: &[u8]) -> Zeroizing<[u8; 32]> {
    Zeroizing::new(key.try_into().expect("the caller checked the key's size"))
}
