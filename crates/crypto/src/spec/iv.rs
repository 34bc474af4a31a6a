//! How a sector's number becomes its IV: the modes by their names. What they compute is with those who number sectors.

use crate::hash::Hash;

/// How a sector's number becomes its IV: written as `mode` says, and then enciphered where there is an `essiv`.
///
/// `aes-cbc-essiv:sha256` is `Plain64` with an essiv, and so is `capi:essiv(cbc(aes),sha256)-plain64`;
/// `capi:essiv(cbc(aes),sha256)-plain` is `Plain` with one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct IvSpec {
    /// How the number is written.
    pub mode: IvMode,
    /// The hash of the key under which the cipher enciphers what `mode` wrote.
    pub essiv: Option<Hash>,
}

/// How a sector's number is written into an IV; the rest of the IV is zeros.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum IvMode {
    /// Not at all: the cipher takes no IV.
    None,
    /// Zeros.
    Null,
    /// The low 32 bits, little-endian.
    Plain,
    /// 64 bits, little-endian.
    Plain64,
    /// 64 bits, big-endian, in the last 8 bytes.
    Plain64be,
    /// The number of the cipher block that the sector begins with, from 1: 64 bits, big-endian, in the last 8 bytes.
    Benbi,
    /// The sector's place in bytes, enciphered by the volume's own cipher: `BitLocker`'s CBC.
    Eboiv,
    /// The same, and a diffuser over the sector: `BitLocker`'s CBC with Elephant.
    Elephant,
    /// A digest of the rest of the sector: loop-AES.
    Lmk,
    /// The number under a seed, and whitening over the ciphertext: old `TrueCrypt`.
    Tcw,
}

impl IvSpec {
    /// The name of essiv in a cipher string, where it stands in the place of an IV mode.
    pub const ESSIV: &str = "essiv";
}

impl IvMode {
    /// The IV modes that a cipher string can name, apart from essiv.
    pub const ALL: [Self; 9] = [
        Self::Plain,
        Self::Plain64,
        Self::Plain64be,
        Self::Benbi,
        Self::Null,
        Self::Eboiv,
        Self::Elephant,
        Self::Lmk,
        Self::Tcw,
    ];

    /// The IV mode of the name `name`; essiv, which is around another one, is none of them.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name)
    }

    /// The name in a cipher string; of `None`, the empty one.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Null => "null",
            Self::Plain => "plain",
            Self::Plain64 => "plain64",
            Self::Plain64be => "plain64be",
            Self::Benbi => "benbi",
            Self::Eboiv => "eboiv",
            Self::Elephant => "elephant",
            Self::Lmk => "lmk",
            Self::Tcw => "tcw",
        }
    }

    /// Whether it is for sectors of 512 bytes alone.
    pub const fn is_of_512(self) -> bool {
        matches!(self, Self::Lmk | Self::Tcw)
    }

    /// Whether what it writes is the sector's number, which essiv can encipher.
    pub const fn is_number(self) -> bool {
        !matches!(self, Self::Eboiv | Self::Elephant | Self::Lmk | Self::Tcw)
    }
}
