//! A volume sector by sector, from the definitions alone: FIPS 197's cipher and the hashes by crates that others
//! wrote, and the textbook's XTS (IEEE 1619), CBC and ECB (SP 800-38A) and the formulas of the kernel's `crypt_iv_*`
//! written out here. It shares no code with udm.

use aes::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use aes::{Aes128, Aes192, Aes256, Block};
use sha2::Digest;

/// A mode around the block cipher.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    Xts,
    Cbc,
    Ecb,
}

/// How a sector's number becomes its IV.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Iv {
    Null,
    Plain,
    Plain64,
    Plain64be,
    Benbi,
    /// Plain64, enciphered under the hash of the key.
    Essiv(&'static str),
    /// Plain, enciphered under the hash of the key.
    EssivOfPlain(&'static str),
}

/// A mistake that an implementation could make, for showing that the comparison finds it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mistake {
    None,
    /// Plain with 64 bits.
    WidePlain,
    /// The sector number with more than 64 bits, which only shows where it is shifted.
    WideSector,
    /// Sectors of 4096 bytes, one number apart though the IV counts those of 512.
    StepOfOne,
    /// Benbi counted from 0.
    BenbiFromZero,
    /// Big-endian numbers at the IV's beginning.
    BigEndianFirst,
    /// Keys chosen by encryption sector.
    KeyByUnit,
    /// The salt made of the first half of an XTS key.
    SaltOfHalf,
}

/// What a volume is.
#[derive(Clone, Debug)]
pub struct Volume {
    pub mode: Mode,
    pub iv: Iv,
    /// A power of two of keys, of one length.
    pub keys: Vec<Vec<u8>>,
    pub sector_size: usize,
    pub large: bool,
    pub iv_offset: u64,
    pub mistake: Mistake,
}

/// AES with a key.
enum Aes {
    Of128(Aes128),
    Of192(Aes192),
    Of256(Aes256),
}

impl Aes {
    fn new(key: &[u8]) -> Self {
        match key.len() {
            16 => Self::Of128(Aes128::new_from_slice(key).unwrap()),
            24 => Self::Of192(Aes192::new_from_slice(key).unwrap()),
            32 => Self::Of256(Aes256::new_from_slice(key).unwrap()),
            len => panic!("AES has no key of {len} bytes"),
        }
    }

    fn encrypt(&self, block: [u8; 16]) -> [u8; 16] {
        let mut block = Block::from(block);
        match self {
            Self::Of128(aes) => aes.encrypt_block(&mut block),
            Self::Of192(aes) => aes.encrypt_block(&mut block),
            Self::Of256(aes) => aes.encrypt_block(&mut block),
        }
        block.into()
    }

    fn decrypt(&self, block: [u8; 16]) -> [u8; 16] {
        let mut block = Block::from(block);
        match self {
            Self::Of128(aes) => aes.decrypt_block(&mut block),
            Self::Of192(aes) => aes.decrypt_block(&mut block),
            Self::Of256(aes) => aes.decrypt_block(&mut block),
        }
        block.into()
    }
}

fn xor(a: [u8; 16], b: [u8; 16]) -> [u8; 16] {
    (u128::from_le_bytes(a) ^ u128::from_le_bytes(b)).to_le_bytes()
}

/// The digest of a hash by the kernel's name.
fn digest(hash: &str, data: &[u8]) -> Vec<u8> {
    match hash {
        "md5" => md5::Md5::digest(data).to_vec(),
        "sha256" => sha2::Sha256::digest(data).to_vec(),
        "sha3-256" => sha3::Sha3_256::digest(data).to_vec(),
        "blake2b-256" => blake2::Blake2b256::digest(data).to_vec(),
        "wp256" => whirlpool::Whirlpool::digest(data)[..32].to_vec(),
        other => panic!("no hash {other}"),
    }
}

impl Mode {
    /// The name in a table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Xts => "xts",
            Self::Cbc => "cbc",
            Self::Ecb => "ecb",
        }
    }

    /// How many keys of the block cipher are one of its keys.
    pub fn parts(self) -> usize {
        if self == Self::Xts { 2 } else { 1 }
    }
}

impl Volume {
    /// The table row of `sectors` sectors that makes it, on the beginning of `disk`.
    pub fn line(&self, sectors: u64) -> String {
        let count = match self.keys.len() {
            1 => String::new(),
            count => format!(":{count}"),
        };
        let mode = self.mode.name();
        let cipher = match self.iv {
            Iv::Null => format!("aes{count}-{mode}-null"),
            Iv::Plain => format!("aes{count}-{mode}-plain"),
            Iv::Plain64 => format!("aes{count}-{mode}-plain64"),
            Iv::Plain64be => format!("aes{count}-{mode}-plain64be"),
            Iv::Benbi => format!("aes{count}-{mode}-benbi"),
            Iv::Essiv(hash) => format!("aes{count}-{mode}-essiv:{hash}"),
            Iv::EssivOfPlain(hash) => format!("capi:essiv({mode}(aes),{hash})-plain"),
        };
        let key = hex(&self.keys.concat());
        let offset = self.iv_offset;
        let options = if self.large { "2 iv_large_sectors" } else { "1" };
        format!("0 {sectors} crypt {cipher} {key} {offset} disk 0 {options} sector_size:{}", self.sector_size)
    }

    /// Encrypts `data`, whole encryption sectors from the 512-byte sector `first` of the target on.
    pub fn encrypt(&self, first: u64, data: &[u8]) -> Vec<u8> {
        self.crypt(true, first, data)
    }

    /// The same the other way.
    pub fn decrypt(&self, first: u64, data: &[u8]) -> Vec<u8> {
        self.crypt(false, first, data)
    }

    fn crypt(&self, encrypt: bool, first: u64, data: &[u8]) -> Vec<u8> {
        let keys: Vec<_> = self.keys.iter().map(|key| Key::new(self, key)).collect();
        let numbers = (first..).step_by(self.sector_size / 512);
        let sectors = data.chunks(self.sector_size).zip(numbers);
        sectors.flat_map(|(data, number)| self.sector(&keys, encrypt, first, number, data)).collect()
    }

    /// One encryption sector, which is the 512-byte sector `number` of the target.
    fn sector(&self, keys: &[Key], encrypt: bool, first: u64, number: u64, data: &[u8]) -> Vec<u8> {
        let shift = (self.sector_size / 512).trailing_zeros();
        let sum = u128::from(self.iv_offset) + u128::from(number);
        let cc_sector = sum as u64;
        let mut s = if self.large { cc_sector >> shift } else { cc_sector };
        let mut key = cc_sector % keys.len() as u64;
        match self.mistake {
            Mistake::WideSector if self.large => s = (sum >> shift) as u64,
            Mistake::StepOfOne if !self.large => {
                s = self.iv_offset.wrapping_add(first).wrapping_add((number - first) >> shift);
            }
            Mistake::KeyByUnit => key = (cc_sector >> shift) % keys.len() as u64,
            _ => {}
        }
        let key = &keys[key as usize];
        let iv = self.iv(key, s);
        let blocks = data.chunks(16).map(|block| <[u8; 16]>::try_from(block).unwrap());
        match self.mode {
            Mode::Ecb => blocks.flat_map(|block| key.block(encrypt, block)).collect(),
            Mode::Cbc => cbc(key, encrypt, iv, blocks),
            Mode::Xts => xts(key, encrypt, iv, blocks),
        }
    }

    fn iv(&self, key: &Key, s: u64) -> [u8; 16] {
        let little = |bytes: &[u8]| {
            let mut iv = [0; 16];
            iv[..bytes.len()].copy_from_slice(bytes);
            iv
        };
        let big = |number: u64| {
            let mut iv = [0; 16];
            let at = if self.mistake == Mistake::BigEndianFirst { 0 } else { 8 };
            iv[at..at + 8].copy_from_slice(&number.to_be_bytes());
            iv
        };
        let plain = match self.mistake {
            Mistake::WidePlain => little(&s.to_le_bytes()),
            _ => little(&((s % (1 << 32)) as u32).to_le_bytes()),
        };
        match self.iv {
            Iv::Null => [0; 16],
            Iv::Plain => plain,
            Iv::Plain64 => little(&s.to_le_bytes()),
            Iv::Plain64be => big(s),
            // A sector of 512 bytes has 2^5 blocks of 16; the sum is cut to 64 bits.
            Iv::Benbi => {
                let from = u128::from(self.mistake != Mistake::BenbiFromZero);
                big((u128::from(s) * 32 + from) as u64)
            }
            Iv::Essiv(_) => key.salted(little(&s.to_le_bytes())),
            Iv::EssivOfPlain(_) => key.salted(plain),
        }
    }
}

/// A key of a volume.
struct Key {
    /// The key of the data.
    data: Aes,
    /// The key of the tweak, of XTS.
    tweak: Option<Aes>,
    /// The key of the IVs, of essiv.
    salt: Option<Aes>,
}

impl Key {
    fn new(volume: &Volume, key: &[u8]) -> Self {
        let (data, tweak) = key.split_at(key.len() / volume.mode.parts());
        let salted = if volume.mistake == Mistake::SaltOfHalf { data } else { key };
        let salt = match volume.iv {
            Iv::Essiv(hash) | Iv::EssivOfPlain(hash) => Some(Aes::new(&digest(hash, salted))),
            _ => None,
        };
        Self { data: Aes::new(data), tweak: (!tweak.is_empty()).then(|| Aes::new(tweak)), salt }
    }

    fn block(&self, encrypt: bool, block: [u8; 16]) -> [u8; 16] {
        if encrypt { self.data.encrypt(block) } else { self.data.decrypt(block) }
    }

    fn salted(&self, iv: [u8; 16]) -> [u8; 16] {
        self.salt.as_ref().expect("essiv has a salt").encrypt(iv)
    }
}

/// SP 800-38A, 6.2.
fn cbc(key: &Key, encrypt: bool, iv: [u8; 16], blocks: impl Iterator<Item = [u8; 16]>) -> Vec<u8> {
    let mut last = iv;
    let one = |block| {
        let result =
            if encrypt { key.block(true, xor(block, last)) } else { xor(key.block(false, block), last) };
        last = if encrypt { result } else { block };
        result
    };
    blocks.flat_map(one).collect()
}

/// IEEE 1619, 5.3, of whole blocks.
fn xts(key: &Key, encrypt: bool, iv: [u8; 16], blocks: impl Iterator<Item = [u8; 16]>) -> Vec<u8> {
    let mut tweak = key.tweak.as_ref().expect("XTS has two keys").encrypt(iv);
    let one = |block| {
        let result = xor(key.block(encrypt, xor(block, tweak)), tweak);
        let number = u128::from_le_bytes(tweak);
        let carry = if number >> 127 == 1 { 0x87 } else { 0 };
        tweak = ((number << 1) ^ carry).to_le_bytes();
        result
    };
    blocks.flat_map(one).collect()
}

/// `bytes` in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from(b"0123456789abcdef"[usize::from(nibble)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
