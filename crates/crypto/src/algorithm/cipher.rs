//! Ciphers, by the kernel's crypto API names.

/// What a mode is around: a block cipher, or what stands in its place.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Cipher {
    /// AES, FIPS 197.
    Aes,
    /// Serpent, as submitted to the AES competition in 1998.
    Serpent,
    /// Twofish, as submitted to the AES competition in 1998.
    Twofish,
    /// Camellia, RFC 3713.
    Camellia,
    /// CAST-256, RFC 2612.
    Cast6,
    /// CAST-128, RFC 2144.
    Cast5,
    /// Three-key Triple DES, NIST SP 800-67.
    Des3Ede,
    /// Blowfish, as published by Bruce Schneier in 1993.
    Blowfish,
    /// No encryption: the data as it is.
    CipherNull,
    /// The pair of `XChaCha12` and AES-256, for [`Mode::Adiantum`](super::Mode::Adiantum).
    XChaCha12Aes,
    /// The pair of `XChaCha20` and AES-256, for [`Mode::Adiantum`](super::Mode::Adiantum).
    XChaCha20Aes,
    /// `ChaCha20`, RFC 8439: a stream cipher, whose IV is the counter of blocks (4 bytes) and the nonce.
    ChaCha20,
    /// `XChaCha12`: a stream cipher, whose IV is the nonce (24 bytes) and the position in blocks.
    XChaCha12,
    /// `XChaCha20`, likewise.
    XChaCha20,
}

/// Every key size from `least` on, byte by byte.
const fn every<const N: usize>(least: usize) -> [usize; N] {
    let mut sizes = [0; N];
    let mut at = 0;
    while at < N {
        sizes[at] = least + at;
        at += 1;
    }
    sizes
}

impl Cipher {
    /// Every cipher, in the order in which `udm ciphers` lists them, also those that this build does not have
    /// ([`is_built`](Self::is_built)).
    pub const ALL: [Self; 14] = [
        Self::Aes,
        Self::Serpent,
        Self::Twofish,
        Self::Camellia,
        Self::Cast6,
        Self::Cast5,
        Self::Des3Ede,
        Self::Blowfish,
        Self::XChaCha12Aes,
        Self::XChaCha20Aes,
        Self::ChaCha20,
        Self::XChaCha12,
        Self::XChaCha20,
        Self::CipherNull,
    ];

    /// The cipher of the crypto API's name `name`; names are compared with their case, as the kernel does. The pairs of
    /// Adiantum have both names with a comma, as in a table's `xchacha12,aes-adiantum-plain64`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cipher| cipher.name() == name)
    }

    /// The crypto API's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aes => "aes",
            Self::Serpent => "serpent",
            Self::Twofish => "twofish",
            Self::Camellia => "camellia",
            Self::Cast6 => "cast6",
            Self::Cast5 => "cast5",
            Self::Des3Ede => "des3_ede",
            Self::Blowfish => "blowfish",
            Self::CipherNull => "cipher_null",
            Self::XChaCha12Aes => "xchacha12,aes",
            Self::XChaCha20Aes => "xchacha20,aes",
            Self::ChaCha20 => "chacha20",
            Self::XChaCha12 => "xchacha12",
            Self::XChaCha20 => "xchacha20",
        }
    }

    /// Whether this build has it: some ciphers need the feature `rare-ciphers`.
    pub const fn is_built(self) -> bool {
        let is_rare = matches!(
            self,
            Self::Serpent | Self::Camellia | Self::Cast6 | Self::Cast5 | Self::Des3Ede | Self::Blowfish
        );
        !is_rare || cfg!(feature = "rare-ciphers")
    }

    /// The size of a block in bytes, of which a unit is a multiple; 1 for a stream cipher.
    pub const fn block_size(self) -> usize {
        match self {
            Self::Aes
            | Self::Serpent
            | Self::Twofish
            | Self::Camellia
            | Self::Cast6
            | Self::XChaCha12Aes
            | Self::XChaCha20Aes => 16,
            Self::Cast5 | Self::Des3Ede | Self::Blowfish => 8,
            Self::CipherNull | Self::ChaCha20 | Self::XChaCha12 | Self::XChaCha20 => 1,
        }
    }

    /// The key sizes that it takes, in bytes, in ascending order. They are the kernel's.
    pub const fn key_sizes(self) -> &'static [usize] {
        match self {
            Self::Aes | Self::Twofish | Self::Camellia => &[16, 24, 32],
            Self::Serpent => &const { every::<33>(0) },
            Self::Cast6 => &[16, 20, 24, 28, 32],
            Self::Cast5 => &const { every::<12>(5) },
            Self::Des3Ede => &[24],
            Self::Blowfish => &const { every::<53>(4) },
            Self::CipherNull => &[0],
            Self::XChaCha12Aes | Self::XChaCha20Aes | Self::ChaCha20 | Self::XChaCha12 | Self::XChaCha20 => {
                &[32]
            }
        }
    }

    /// Whether it is a block cipher, around which a mode of blocks can be.
    pub(super) const fn is_block_cipher(self) -> bool {
        matches!(self.block_size(), 8 | 16) && !self.is_pair()
    }

    /// Whether it is a pair of Adiantum.
    pub(crate) const fn is_pair(self) -> bool {
        matches!(self, Self::XChaCha12Aes | Self::XChaCha20Aes)
    }

    /// Whether it is a stream cipher.
    pub(crate) const fn is_stream(self) -> bool {
        matches!(self, Self::ChaCha20 | Self::XChaCha12 | Self::XChaCha20)
    }
}
