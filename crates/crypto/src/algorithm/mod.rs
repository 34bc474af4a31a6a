//! The length-preserving algorithms that udm knows, by the kernel's crypto API names.

mod cipher;
mod mode;

#[cfg(test)]
mod tests;

pub use cipher::Cipher;
pub use mode::Mode;

use std::fmt;

/// A cipher in a mode, such as `xts(aes)`. Those that there are stand in [`ALL`](Self::ALL); [`new`](Self::new) and the
/// parsing of a name (`"xts(aes)".parse()`, see [`spec`](crate::spec)) make no others, and no driver takes any other.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Algorithm {
    /// The mode around it.
    pub mode: Mode,
    /// The cipher.
    pub cipher: Cipher,
}

/// A mode and a cipher that it does not take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unfit {
    /// The mode.
    pub mode: Mode,
    /// The cipher.
    pub cipher: Cipher,
}

/// The pairs of ciphers and modes that there are.
const COUNT: usize = 64;

impl Algorithm {
    /// Every algorithm, in the order in which `udm ciphers` lists them: cipher by cipher, mode by mode.
    pub const ALL: [Self; COUNT] = all();

    /// AES in `mode`, which must be a mode of blocks.
    pub const fn aes(mode: Mode) -> Self {
        Self { mode, cipher: Cipher::Aes }
    }

    /// `cipher` in `mode`.
    ///
    /// # Errors
    /// Where the mode does not take the cipher.
    pub fn new(mode: Mode, cipher: Cipher) -> Result<Self, Unfit> {
        if mode.takes(cipher) { Ok(Self { mode, cipher }) } else { Err(Unfit { mode, cipher }) }
    }

    /// The block cipher alone, block by block, which makes the IVs of `essiv`, `eboiv` and `elephant`; none where there
    /// is no block cipher or, in Adiantum, none that has the volume's key.
    pub const fn blocks(self) -> Option<Self> {
        if self.cipher.is_block_cipher() { Some(Self { mode: Mode::Ecb, cipher: self.cipher }) } else { None }
    }

    /// The bytes that it enciphers at once: a block of the cipher, or 1 where the mode makes a stream of it.
    pub const fn block_size(self) -> usize {
        match self.mode {
            Mode::Ctr | Mode::Cfb | Mode::Ofb | Mode::Stream => 1,
            _ => self.cipher.block_size(),
        }
    }

    /// The size of an IV in bytes; 0 where the mode takes none.
    pub const fn iv_size(self) -> usize {
        match (self.mode, self.cipher) {
            (Mode::Ecb, _) => 0,
            (Mode::Stream, Cipher::ChaCha20) => 16,
            (Mode::Adiantum | Mode::Stream, _) => 32,
            (_, cipher) => cipher.block_size(),
        }
    }

    /// The key sizes that it takes, in bytes, in ascending order.
    pub fn key_sizes(self) -> impl Iterator<Item = usize> + Clone {
        let (keys, more) = match self.mode {
            Mode::Xts => (2, 0),
            Mode::Lrw => (1, 16),
            _ => (1, 0),
        };
        self.cipher.key_sizes().iter().map(move |size| size * keys + more)
    }
}

/// The algorithms that the modes make of the ciphers.
const fn all() -> [Algorithm; COUNT] {
    let mut all = [Algorithm::aes(Mode::Xts); COUNT];
    let (mut count, mut cipher) = (0, 0);
    while cipher < Cipher::ALL.len() {
        let mut mode = 0;
        while mode < Mode::ALL.len() {
            let algorithm = Algorithm { mode: Mode::ALL[mode], cipher: Cipher::ALL[cipher] };
            if algorithm.mode.takes(algorithm.cipher) {
                all[count] = algorithm;
                count += 1;
            }
            mode += 1;
        }
        cipher += 1;
    }
    assert!(count == COUNT, "COUNT says how many pairs there are");
    all
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mode {
            Mode::Stream => f.write_str(self.cipher.name()),
            mode => write!(f, "{}({})", mode.name(), self.cipher.name()),
        }
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (cipher, mode) = (self.cipher.name(), self.mode.name());
        if self.cipher.is_stream() && self.mode != Mode::Stream {
            return write!(f, "cipher \"{cipher}\" is a stream cipher, and stands without a mode");
        }
        match self.mode {
            Mode::Stream => write!(f, "cipher \"{cipher}\" needs a mode around it"),
            _ => write!(f, "cipher mode \"{mode}\" does not take \"{cipher}\""),
        }
    }
}

impl std::error::Error for Unfit {}
