//! Block ciphers, each by a crate that others wrote.

use aes::cipher::array::Array;
use aes::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};

/// A block cipher with a key.
pub trait Blocks {
    fn encrypt(&self, block: &[u8]) -> Vec<u8>;
    fn decrypt(&self, block: &[u8]) -> Vec<u8>;
}

struct Of<C>(C);

impl<C: BlockCipherEncrypt + BlockCipherDecrypt> Blocks for Of<C> {
    fn encrypt(&self, block: &[u8]) -> Vec<u8> {
        let mut block = Array::try_from(block).expect("a block");
        self.0.encrypt_block(&mut block);
        block.to_vec()
    }

    fn decrypt(&self, block: &[u8]) -> Vec<u8> {
        let mut block = Array::try_from(block).expect("a block");
        self.0.decrypt_block(&mut block);
        block.to_vec()
    }
}

fn of<C: KeyInit + BlockCipherEncrypt + BlockCipherDecrypt + 'static>(key: &[u8]) -> Box<dyn Blocks> {
    Box::new(Of(C::new_from_slice(key).expect("a key of the cipher")))
}

/// A block cipher.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cipher {
    /// FIPS 197.
    Aes,
    /// Serpent.
    Serpent,
    /// Twofish.
    Twofish,
    /// RFC 3713.
    Camellia,
    /// RFC 2612.
    Cast6,
    /// RFC 2144.
    Cast5,
    /// Triple DES, encrypt, decrypt, encrypt.
    Des3Ede,
    /// Blowfish.
    Blowfish,
}

impl Cipher {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Aes,
        Self::Serpent,
        Self::Twofish,
        Self::Camellia,
        Self::Cast6,
        Self::Cast5,
        Self::Des3Ede,
        Self::Blowfish,
    ];

    /// The name in a table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Aes => "aes",
            Self::Serpent => "serpent",
            Self::Twofish => "twofish",
            Self::Camellia => "camellia",
            Self::Cast6 => "cast6",
            Self::Cast5 => "cast5",
            Self::Des3Ede => "des3_ede",
            Self::Blowfish => "blowfish",
        }
    }

    /// In bytes.
    pub fn block_size(self) -> usize {
        match self {
            Self::Cast5 | Self::Des3Ede | Self::Blowfish => 8,
            _ => 16,
        }
    }

    /// Some of its key sizes, among them those that a digest and elephant have.
    pub fn key_sizes(self) -> &'static [usize] {
        match self {
            Self::Aes | Self::Twofish | Self::Camellia => &[16, 24, 32],
            Self::Serpent => &[32],
            Self::Cast6 => &[16, 20, 24, 28, 32],
            Self::Cast5 => &[8, 12, 16],
            Self::Des3Ede => &[24],
            Self::Blowfish => &[8, 16, 32, 56],
        }
    }

    /// The cipher with a key.
    pub fn with_key(self, key: &[u8]) -> Box<dyn Blocks> {
        match (self, key.len()) {
            (Self::Aes, 16) => of::<aes::Aes128>(key),
            (Self::Aes, 24) => of::<aes::Aes192>(key),
            (Self::Aes, _) => of::<aes::Aes256>(key),
            (Self::Serpent, _) => {
                // A shorter key has a bit of one put behind it, and zeros.
                let mut padded = [key, &[1]].concat();
                padded.resize(padded.len().max(32), 0);
                of::<serpent::Serpent>(&padded[..32])
            }
            (Self::Twofish, _) => of::<twofish::Twofish>(key),
            (Self::Camellia, 16) => of::<camellia::Camellia128>(key),
            (Self::Camellia, 24) => of::<camellia::Camellia192>(key),
            (Self::Camellia, _) => of::<camellia::Camellia256>(key),
            (Self::Cast6, _) => of::<cast6::Cast6>(key),
            (Self::Cast5, _) => of::<cast5::Cast5>(key),
            (Self::Des3Ede, _) => of::<des::TdesEde3>(key),
            (Self::Blowfish, _) => of::<blowfish::Blowfish>(key),
        }
    }
}
