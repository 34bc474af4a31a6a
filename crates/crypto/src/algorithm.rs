//! The length-preserving algorithms that udm knows, by the kernel's crypto API names.

use crate::error::KeyError;
use std::fmt;

/// A block cipher.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum BlockCipher {
    /// AES, FIPS 197.
    Aes,
}

/// A mode of operation around a block cipher.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Mode {
    /// XEX with two keys, IEEE 1619. Its key is two keys of the block cipher, one after the other.
    Xts,
    /// Cipher block chaining, NIST SP 800-38A. No padding.
    Cbc,
    /// Each block alone, NIST SP 800-38A. It takes no IV.
    Ecb,
}

/// A block cipher in a mode, such as `xts(aes)`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Algorithm {
    /// The mode around it.
    pub mode: Mode,
    /// The block cipher.
    pub cipher: BlockCipher,
}

impl BlockCipher {
    /// The cipher of the crypto API's name `name`; names are compared with their case, as the kernel does.
    pub fn from_name(name: &str) -> Option<Self> {
        (name == "aes").then_some(Self::Aes)
    }

    /// The crypto API's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aes => "aes",
        }
    }

    /// The size of a block in bytes.
    pub const fn block_size(self) -> usize {
        match self {
            Self::Aes => 16,
        }
    }

    /// The key sizes that it takes, in bytes, in ascending order.
    pub const fn key_sizes(self) -> &'static [usize] {
        match self {
            Self::Aes => &[16, 24, 32],
        }
    }
}

impl Mode {
    /// The mode of the crypto API's name `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "xts" => Some(Self::Xts),
            "cbc" => Some(Self::Cbc),
            "ecb" => Some(Self::Ecb),
            _ => None,
        }
    }

    /// The crypto API's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Xts => "xts",
            Self::Cbc => "cbc",
            Self::Ecb => "ecb",
        }
    }
}

impl Algorithm {
    /// Every algorithm, in the order in which `udm ciphers` lists them.
    pub const ALL: [Self; 3] = [Self::aes(Mode::Xts), Self::aes(Mode::Cbc), Self::aes(Mode::Ecb)];

    /// AES in `mode`.
    pub const fn aes(mode: Mode) -> Self {
        Self { mode, cipher: BlockCipher::Aes }
    }

    /// The size of an IV in bytes; 0 where the mode takes none.
    pub const fn iv_size(self) -> usize {
        match self.mode {
            Mode::Xts | Mode::Cbc => self.cipher.block_size(),
            Mode::Ecb => 0,
        }
    }

    /// The key sizes that it takes, in bytes, in ascending order.
    pub fn key_sizes(self) -> impl Iterator<Item = usize> {
        let keys = if self.mode == Mode::Xts { 2 } else { 1 };
        self.cipher.key_sizes().iter().map(move |size| size * keys)
    }

    /// Whether a key of `len` bytes is one of this algorithm.
    ///
    /// # Errors
    /// [`KeyError::Size`], which says what it takes.
    pub fn check_key_size(self, len: usize) -> Result<(), KeyError> {
        if self.key_sizes().any(|size| size == len) {
            Ok(())
        } else {
            Err(KeyError::Size { algorithm: self, found: len })
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.mode.name(), self.cipher.name())
    }
}
