//! Modes of operation, by the kernel's crypto API names.

use super::Cipher;

/// A mode of operation around a [`Cipher`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Mode {
    /// XEX with two keys, IEEE 1619. Its key is two keys of the block cipher, one after the other.
    Xts,
    /// Cipher block chaining, NIST SP 800-38A. No padding.
    Cbc,
    /// Each block alone, NIST SP 800-38A. It takes no IV.
    Ecb,
    /// Counter mode, NIST SP 800-38A: the IV is the first counter, big-endian, and wraps.
    Ctr,
    /// Liskov, Rivest and Wagner's tweakable mode, IEEE P1619 draft 1 to 3. Its key is one of the block cipher, then the
    /// tweaks' of 16 bytes; the IV is the number of the first block, big-endian.
    Lrw,
    /// Propagating cipher block chaining, as in Kerberos 4.
    Pcbc,
    /// Cipher feedback of whole blocks, NIST SP 800-38A. Kernels up to 6.7 have it.
    Cfb,
    /// Output feedback, NIST SP 800-38A. Kernels up to 6.7 have it.
    Ofb,
    /// Adiantum, a wide-block mode of a stream cipher and a block cipher for processors that have no AES: Crowley and
    /// Biggers, 2018.
    Adiantum,
    /// A stream cipher by itself, whose crypto API name has no mode.
    Stream,
}

impl Mode {
    /// Every mode, in the order in which `udm ciphers` lists them.
    pub const ALL: [Self; 10] = [
        Self::Xts,
        Self::Cbc,
        Self::Ecb,
        Self::Ctr,
        Self::Lrw,
        Self::Pcbc,
        Self::Cfb,
        Self::Ofb,
        Self::Adiantum,
        Self::Stream,
    ];

    /// The mode of the crypto API's name `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name && *mode != Self::Stream)
    }

    /// The crypto API's name; of [`Stream`](Self::Stream), which has none, the empty one.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Xts => "xts",
            Self::Cbc => "cbc",
            Self::Ecb => "ecb",
            Self::Ctr => "ctr",
            Self::Lrw => "lrw",
            Self::Pcbc => "pcbc",
            Self::Cfb => "cfb",
            Self::Ofb => "ofb",
            Self::Adiantum => "adiantum",
            Self::Stream => "",
        }
    }

    /// Whether `cipher` can be in it.
    pub const fn takes(self, cipher: Cipher) -> bool {
        match self {
            Self::Xts | Self::Lrw => cipher.is_block_cipher() && cipher.block_size() == 16,
            Self::Cbc | Self::Ctr | Self::Pcbc | Self::Cfb | Self::Ofb => cipher.is_block_cipher(),
            Self::Ecb => cipher.is_block_cipher() || matches!(cipher, Cipher::CipherNull),
            Self::Adiantum => cipher.is_pair(),
            Self::Stream => cipher.is_stream(),
        }
    }

    /// How many bytes of a key of `len` bytes are the (first) cipher's own; behind them comes that of the tweaks.
    pub(crate) const fn cipher_key_size(self, len: usize) -> usize {
        match self {
            Self::Xts => len / 2,
            Self::Lrw => len.saturating_sub(16),
            _ => len,
        }
    }
}
