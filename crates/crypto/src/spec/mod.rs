//! Cipher strings: `aes-xts-plain64`, `capi:xts(aes)-plain64`, `aes-cbc-essiv:sha256`, and the names of hashes.
//!
//! A dm-crypt table and a LUKS header name a cipher in the same language. It has two forms (the kernel's
//! `drivers/md/dm-crypt.c`, `crypt_ctr_cipher_old` and `crypt_ctr_cipher_new`):
//!
//! ```text
//! <cipher>[:<number of keys>]-<mode>-<IV mode>[:<option>]
//! capi:<crypto API name>[-<IV mode>[:<option>]]
//! ```
//!
//! [`CipherSpec::parse`] is the one reader of both. A string that it does not take comes back as a [`SpecError`]: which
//! part is wrong, at which bytes, what stands there, and why, each as a field. A table's parser makes a caret of it, and a
//! LUKS header's reader the name of a field.
//!
//! ```
//! use udm_crypto::spec::{CipherSpec, IvMode, Part, Why};
//! use udm_crypto::{Algorithm, Hash, Mode};
//!
//! // Both forms say the same. The IV is the sector's number, enciphered under a hash of the key.
//! let old = CipherSpec::parse("aes-cbc-essiv:sha256")?;
//! let new = CipherSpec::parse("capi:cbc(aes)-essiv:sha256")?;
//! assert_eq!(old.algorithm, Algorithm::aes(Mode::Cbc));
//! assert_eq!((old.iv.mode, old.iv.essiv), (IvMode::Plain64, Some(Hash::Sha256)));
//! assert_eq!((new.algorithm, new.iv), (old.algorithm, old.iv));
//!
//! // With 64 keys and a seed behind them, sector n has key n modulo 64: loop-AES.
//! let many = CipherSpec::parse("aes:64-cbc-lmk")?;
//! let layout = many.key_layout(65 * 16)?;
//! assert_eq!((many.key_count, layout.key_size, layout.of_iv), (64, 16, 1024..1040));
//!
//! // What is wrong with a string is in fields.
//! let text = "aes-xts-plain46";
//! let error = CipherSpec::parse(text).unwrap_err();
//! assert_eq!((error.part, &text[error.at.clone()]), (Part::IvMode, "plain46"));
//! assert!(matches!(error.why, Why::Unknown { near: Some("plain64"), .. }));
//! assert_eq!(error.to_string(), "IV mode \"plain46\" is not known: try plain64");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod fit;
mod grammar;
mod iv;
mod key_layout;
mod names;
mod near;
mod piece;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

pub use error::{Part, SpecError, Why};
pub use iv::{IvMode, IvSpec};
pub use key_layout::{KeyLayout, KeyLayoutError};
pub use near::{either, nearest};

use crate::algorithm::{Algorithm, Cipher};
use grammar::{CAPI, Pieces};
use piece::Piece;

/// What a cipher string says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CipherSpec {
    /// The block cipher and its mode.
    pub algorithm: Algorithm,
    /// How a sector's number becomes its IV.
    pub iv: IvSpec,
    /// How many keys there are, a power of two. Sector n is of key n modulo this.
    pub key_count: usize,
    /// An IV mode that was given for a cipher that takes none, and so is without effect, as in `aes-ecb-plain64`.
    pub dropped_iv_mode: Option<String>,
    /// An option that the IV mode does not read, as in `aes-xts-plain64:sha256`. Only essiv reads one.
    pub idle_option: Option<String>,
    /// The string as it was given, which is how `dmsetup table` prints it.
    pub text: String,
}

impl CipherSpec {
    /// Reads a cipher string: of a table, or of a LUKS header (where LUKS1 has it in two pieces: join them with `-`).
    ///
    /// # Errors
    /// Where the string has neither form, or names what nobody or only the kernel has.
    pub fn parse(text: &str) -> Result<Self, SpecError> {
        let pieces = Pieces::of(text)?;
        let (iv, dropped) = pieces.iv_spec(Piece::whole(text))?;
        let reads_option = pieces.iv.is_some_and(|iv| iv.text == IvSpec::ESSIV);
        Ok(Self {
            algorithm: pieces.algorithm,
            iv,
            key_count: pieces.key_count,
            dropped_iv_mode: dropped.map(|mode| mode.text.to_owned()),
            idle_option: pieces.iv_option.filter(|_| !reads_option).map(|option| option.text.to_owned()),
            text: text.to_owned(),
        })
    }

    /// The string without an option that its IV mode does not read, and that option: `aes-xts-plain64` and `sha256` of
    /// `aes-xts-plain64:sha256`.
    ///
    /// QEMU writes such strings where it is given a hash for an IV mode that needs none, and so did those who took essiv's
    /// `:sha256` over to plain64. dm-crypt opens them; cryptsetup opens their key slots by dm-crypt alone.
    pub fn without_idle_option(&self) -> Option<(&str, &str)> {
        let option = self.idle_option.as_deref()?;
        Some((&self.text[..self.text.len() - option.len() - 1], option))
    }

    /// How a key of `bytes` bytes is divided.
    ///
    /// # Errors
    /// Where the cipher or its IV mode does not take a key of this size.
    pub fn key_layout(&self, bytes: usize) -> Result<KeyLayout, KeyLayoutError> {
        KeyLayout::of(self, bytes)
    }

    /// Whether keys of `bytes` in all are of a size that the cipher takes.
    pub fn takes_key_size(&self, bytes: usize) -> bool {
        self.key_layout(bytes).is_ok()
    }

    /// The sizes of all keys that the cipher takes whole, with nothing left over, in ascending order.
    pub fn key_sizes(&self) -> Vec<usize> {
        KeyLayout::sizes(self)
    }
}

impl fmt::Display for CipherSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for CipherSpec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        Self::parse(text)
    }
}

impl FromStr for Algorithm {
    type Err = SpecError;

    /// Reads a crypto API name such as `xts(aes)`, `adiantum(xchacha12,aes)` or `chacha20`.
    fn from_str(name: &str) -> Result<Self, SpecError> {
        names::api_algorithm(Piece::whole(name))
    }
}

/// Whether a cipher string has the crypto API's form, whatever it says.
pub fn is_capi(text: &str) -> bool {
    text.starts_with(CAPI)
}

/// Whether a cipher string names `cipher_null`, which encrypts nothing. Also where the string as a whole cannot be read, for
/// those who must not give such a volume to somebody else.
pub fn encrypts_nothing(text: &str) -> bool {
    text.contains(Cipher::CipherNull.name())
}
