//! A volume sector by sector, from the definitions alone: block ciphers and hashes by crates that others wrote, and the
//! formulas of the kernel's `crypt_iv_*` and of the modes of operation (`modes.rs`, `digests.rs`, `diffuser.rs`)
//! written out here. It shares no code with udm.

mod ciphers;
mod diffuser;
mod digests;
mod modes;

use ciphers::Blocks;
pub use ciphers::Cipher;
use digests::digest;
pub use modes::Mode;

/// How a sector's number becomes its IV.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Iv {
    /// Nothing but zeroes.
    Null,
    /// The number in 32 bits, little-endian.
    Plain,
    /// The number in 64 bits, little-endian.
    Plain64,
    /// The number in 64 bits, big-endian, at the end.
    Plain64be,
    /// The number of the first block, counted from 1, big-endian, at the end.
    Benbi,
    /// Plain64, enciphered under the hash of the key.
    Essiv(&'static str),
    /// Plain, enciphered under the hash of the key.
    EssivOfPlain(&'static str),
    /// The place in bytes, enciphered.
    Eboiv,
    /// Of `BitLocker`: eboiv, and a diffuser with a sector key.
    Elephant,
    /// Loop-AES's: a digest of the sector.
    Lmk,
    /// Of `TrueCrypt` of old: a seed, and whitening.
    Tcw,
}

/// A mistake that an implementation could make, for showing that the comparison finds it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mistake {
    /// No mistake.
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
    /// Eboiv's place enciphered as one block, whatever the mode.
    EboivOfBlock,
    /// Eboiv under the sector's own key of several.
    EboivOfOwnKey,
    /// Tcw's whitening before its seed.
    WhiteningFirst,
    /// Lmk's number not cut to 56 bits.
    WideLmk,
    /// The sector key added behind the diffusers.
    SectorKeyLast,
}

impl Mistake {
    /// Every mistake.
    pub const ALL: [Self; 12] = [
        Self::WidePlain,
        Self::WideSector,
        Self::StepOfOne,
        Self::BenbiFromZero,
        Self::BigEndianFirst,
        Self::KeyByUnit,
        Self::SaltOfHalf,
        Self::EboivOfBlock,
        Self::EboivOfOwnKey,
        Self::WhiteningFirst,
        Self::WideLmk,
        Self::SectorKeyLast,
    ];
}

/// What a volume is.
#[derive(Clone, Debug)]
pub struct Volume {
    /// The block cipher.
    pub cipher: Cipher,
    /// Its mode of operation.
    pub mode: Mode,
    /// The IV mode.
    pub iv: Iv,
    /// A power of two of keys, of one length.
    pub keys: Vec<Vec<u8>>,
    /// What the IV mode has of the key word, behind the keys.
    pub of_iv: Vec<u8>,
    /// The encryption sector in bytes.
    pub sector_size: usize,
    /// Whether the IV counts encryption sectors.
    pub large: bool,
    /// What is added to the number of a sector.
    pub iv_offset: u64,
    /// What is done wrong.
    pub mistake: Mistake,
}

impl Volume {
    /// The table row of `sectors` sectors that makes it, on the beginning of `disk`.
    pub fn line(&self, sectors: u64) -> String {
        let count = match self.keys.len() {
            1 => String::new(),
            count => format!(":{count}"),
        };
        let (cipher, mode) = (self.cipher.name(), self.mode.name());
        let front = format!("{cipher}{count}-{mode}");
        let cipher = match self.iv {
            Iv::Null => format!("{front}-null"),
            Iv::Plain => format!("{front}-plain"),
            Iv::Plain64 => format!("{front}-plain64"),
            Iv::Plain64be => format!("{front}-plain64be"),
            Iv::Benbi => format!("{front}-benbi"),
            Iv::Essiv(hash) => format!("{front}-essiv:{hash}"),
            Iv::EssivOfPlain(hash) => format!("capi:essiv({mode}({cipher}),{hash})-plain"),
            Iv::Eboiv => format!("{front}-eboiv"),
            Iv::Elephant => format!("{front}-elephant"),
            Iv::Lmk => format!("{front}-lmk"),
            Iv::Tcw => format!("{front}-tcw"),
        };
        let key = hex(&self.keys.concat()) + &hex(&self.of_iv);
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
        let mut index = (cc_sector % keys.len() as u64) as usize;
        match self.mistake {
            Mistake::WideSector if self.large => s = (sum >> shift) as u64,
            Mistake::StepOfOne if !self.large => {
                s = self.iv_offset.wrapping_add(first).wrapping_add((number - first) >> shift);
            }
            Mistake::KeyByUnit => index = ((cc_sector >> shift) % keys.len() as u64) as usize,
            _ => {}
        }
        let mut data = data.to_vec();
        if encrypt && self.iv == Iv::Elephant {
            self.elephant(true, s, &mut data);
        }
        if !encrypt && self.iv == Iv::Tcw {
            self.whiten(s, &mut data);
        }
        let iv = match self.iv {
            Iv::Lmk if encrypt => self.lmk(s, &data),
            Iv::Lmk => vec![0; self.iv_size()],
            _ => self.iv(keys, index, s),
        };
        let mut data = self.mode.crypt(&keys[index].parts(), encrypt, &iv, &data);
        match self.iv {
            Iv::Elephant if !encrypt => self.elephant(false, s, &mut data),
            Iv::Tcw if encrypt => self.whiten(s, &mut data),
            Iv::Lmk if !encrypt => {
                let mask = self.lmk(s, &data);
                add(&mut data, &mask);
            }
            _ => {}
        }
        data
    }

    /// The bytes of an IV.
    pub fn iv_size(&self) -> usize {
        self.cipher.block_size()
    }

    fn iv(&self, keys: &[Key], index: usize, s: u64) -> Vec<u8> {
        let size = self.iv_size();
        let little = |bytes: &[u8]| {
            let mut iv = vec![0; size];
            iv[..bytes.len()].copy_from_slice(bytes);
            iv
        };
        let big = |number: u64| {
            let mut iv = vec![0; size];
            let at = if self.mistake == Mistake::BigEndianFirst { 0 } else { size - 8 };
            iv[at..at + 8].copy_from_slice(&number.to_be_bytes());
            iv
        };
        let plain = match self.mistake {
            Mistake::WidePlain => little(&s.to_le_bytes()),
            _ => little(&((s % (1 << 32)) as u32).to_le_bytes()),
        };
        match self.iv {
            Iv::Null | Iv::Lmk => vec![0; size],
            Iv::Plain => plain,
            Iv::Plain64 => little(&s.to_le_bytes()),
            Iv::Plain64be => big(s),
            // What counts is what the mode enciphers at once, of which a sector of 512 bytes has so many; the sum is cut
            // to 64 bits.
            Iv::Benbi => {
                let from = u128::from(self.mistake != Mistake::BenbiFromZero);
                let blocks = 512 / if self.mode.is_stream() { 1 } else { size };
                big((u128::from(s) * blocks as u128 + from) as u64)
            }
            Iv::Essiv(_) => keys[index].salted(&little(&s.to_le_bytes())),
            Iv::EssivOfPlain(_) => keys[index].salted(&plain),
            Iv::Eboiv | Iv::Elephant => {
                let place = little(&self.place(s)[..8]);
                let key = &keys[if self.mistake == Mistake::EboivOfOwnKey { index } else { 0 }];
                if self.mistake == Mistake::EboivOfBlock {
                    key.data.encrypt(&place)
                } else {
                    self.mode.crypt(&key.parts(), true, &place, &vec![0; size])
                }
            }
            Iv::Tcw => {
                let (seed, _) = self.tcw();
                let s = s.to_le_bytes();
                seed.iter().zip(s.iter().cycle()).map(|(seed, byte)| seed ^ byte).collect()
            }
        }
    }

    /// The place in bytes as eboiv has it: also where s counts 512-byte sectors and a sector is larger.
    fn place(&self, s: u64) -> [u8; 16] {
        (u128::from(s) * self.sector_size as u128 % (1 << 64)).to_le_bytes()
    }

    /// Tcw's seed and whitening.
    fn tcw(&self) -> (&[u8], &[u8]) {
        if self.mistake == Mistake::WhiteningFirst {
            let (whitening, seed) = self.of_iv.split_at(16);
            (seed, whitening)
        } else {
            self.of_iv.split_at(self.of_iv.len() - 16)
        }
    }

    fn whiten(&self, s: u64, data: &mut [u8]) {
        let mut mixed = self.tcw().1.to_vec();
        add(&mut mixed[..8], &s.to_le_bytes());
        add(&mut mixed[8..], &s.to_le_bytes());
        let crcs: Vec<_> = mixed.chunks(4).map(|word| digests::crc32(word).to_le_bytes()).collect();
        let mut whitening = [crcs[0], crcs[1]].concat();
        add(&mut whitening[..4], &crcs[3]);
        add(&mut whitening[4..], &crcs[2]);
        data.chunks_mut(8).for_each(|data| add(data, &whitening));
    }

    fn lmk(&self, s: u64, sector: &[u8]) -> Vec<u8> {
        let mut message = Vec::new();
        if !self.of_iv.is_empty() {
            message.extend(&self.of_iv[..16]);
            message.extend([0; 48]);
        }
        message.extend(&sector[16..]);
        let high = (s >> 32) as u32;
        let high = if self.mistake == Mistake::WideLmk { high } else { high % (1 << 24) };
        for word in [s as u32, high | 1 << 31, 4024, 0] {
            message.extend(word.to_le_bytes());
        }
        digests::md5_state(&message)[..self.iv_size()].to_vec()
    }

    fn elephant(&self, encrypt: bool, s: u64, data: &mut [u8]) {
        let sector_key = Cipher::Aes.with_key(&self.of_iv);
        let place = self.place(s);
        let mut last = place;
        last[15] = 0x80;
        let sector_key = [sector_key.encrypt(&place), sector_key.encrypt(&last)].concat();
        let add_key = |data: &mut [u8]| data.chunks_mut(32).for_each(|data| add(data, &sector_key));
        let key_first = encrypt != (self.mistake == Mistake::SectorKeyLast);
        if key_first {
            add_key(data);
        }
        diffuser::diffuse(encrypt, data);
        if !key_first {
            add_key(data);
        }
    }
}

/// A key of a volume.
struct Key {
    /// The key of the data.
    data: Box<dyn Blocks>,
    /// The second half of an XTS key.
    tweak: Option<Box<dyn Blocks>>,
    /// The end of an LRW key.
    lrw: Vec<u8>,
    /// The key of the IVs, of essiv.
    salt: Option<Box<dyn Blocks>>,
}

impl Key {
    fn new(volume: &Volume, key: &[u8]) -> Self {
        let (data, more) = match volume.mode {
            Mode::Xts => key.split_at(key.len() / 2),
            Mode::Lrw => key.split_at(key.len() - 16),
            _ => (key, &[][..]),
        };
        let with_key = |key: &[u8]| volume.cipher.with_key(key);
        let salted = if volume.mistake == Mistake::SaltOfHalf { data } else { key };
        let salt = match volume.iv {
            Iv::Essiv(hash) | Iv::EssivOfPlain(hash) => Some(with_key(&digest(hash, salted))),
            _ => None,
        };
        let tweak = (volume.mode == Mode::Xts).then(|| with_key(more));
        let lrw = if volume.mode == Mode::Lrw { more.to_vec() } else { Vec::new() };
        Self { data: with_key(data), tweak, lrw, salt }
    }

    fn parts(&self) -> modes::Parts<'_> {
        modes::Parts { data: &*self.data, tweak: self.tweak.as_deref(), lrw: &self.lrw }
    }

    fn salted(&self, iv: &[u8]) -> Vec<u8> {
        self.salt.as_ref().expect("essiv has a salt").encrypt(iv)
    }
}

/// Adds (XOR) `what` to the beginning of `to`.
fn add(to: &mut [u8], what: &[u8]) {
    for (to, what) in to.iter_mut().zip(what) {
        *to ^= what;
    }
}

/// `bytes` in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from(b"0123456789abcdef"[usize::from(nibble)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
