//! Modes of operation from their definitions, block by block: IEEE 1619 (XTS) and its draft of 2004 (LRW), SP 800-38A
//! (CBC, ECB, CTR, CFB, OFB), Kerberos 4's PCBC.

use super::add;
use super::ciphers::Blocks;

/// A mode around the block cipher.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// IEEE 1619.
    Xts,
    /// Cipher block chaining.
    Cbc,
    /// Each block by itself.
    Ecb,
    /// A counter, enciphered.
    Ctr,
    /// Liskov, Rivest and Wagner's.
    Lrw,
    /// Propagating cipher block chaining.
    Pcbc,
    /// Cipher feedback.
    Cfb,
    /// Output feedback.
    Ofb,
}

/// The parts of a mode's key.
#[derive(Clone, Copy)]
pub struct Parts<'a> {
    pub data: &'a dyn Blocks,
    /// XTS's second key.
    pub tweak: Option<&'a dyn Blocks>,
    /// LRW's second key.
    pub lrw: &'a [u8],
}

impl Mode {
    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::Xts, Self::Cbc, Self::Ecb, Self::Ctr, Self::Lrw, Self::Pcbc, Self::Cfb, Self::Ofb];

    /// The name in a table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Xts => "xts",
            Self::Cbc => "cbc",
            Self::Ecb => "ecb",
            Self::Ctr => "ctr",
            Self::Lrw => "lrw",
            Self::Pcbc => "pcbc",
            Self::Cfb => "cfb",
            Self::Ofb => "ofb",
        }
    }

    /// The bytes of a key in this mode, of which one of the cipher has `len`.
    pub fn key_size(self, len: usize) -> usize {
        match self {
            Self::Xts => 2 * len,
            Self::Lrw => len + 16,
            _ => len,
        }
    }

    /// Whether it makes a stream of the cipher, which could have any length.
    pub fn is_stream(self) -> bool {
        matches!(self, Self::Ctr | Self::Cfb | Self::Ofb)
    }

    /// One unit.
    pub fn crypt(self, key: &Parts<'_>, encrypt: bool, iv: &[u8], data: &[u8]) -> Vec<u8> {
        let cipher = key.data;
        let block = |block: &[u8]| if encrypt { cipher.encrypt(block) } else { cipher.decrypt(block) };
        let mut last = iv.to_vec();
        if self == Self::Xts {
            last = key.tweak.expect("XTS has two keys").encrypt(iv);
        }
        let mut done = Vec::with_capacity(data.len());
        for data in data.chunks(iv.len()) {
            let result = match self {
                Self::Ecb => block(data),
                Self::Xts => {
                    let result = sum(&block(&sum(data, &last)), &last);
                    let number = u128::from_le_bytes(last.try_into().expect("a tweak"));
                    last = doubled(number).to_le_bytes().to_vec();
                    result
                }
                Self::Lrw => {
                    let tweak = product(number(key.lrw), number(&last)).to_be_bytes();
                    last = number(&last).wrapping_add(1).to_be_bytes().to_vec();
                    sum(&block(&sum(data, &tweak)), &tweak)
                }
                Self::Cbc | Self::Pcbc => {
                    let result = if encrypt { block(&sum(data, &last)) } else { sum(&block(data), &last) };
                    let secret = if encrypt { &result } else { data };
                    last = if self == Self::Cbc { secret.to_vec() } else { sum(data, &result) };
                    result
                }
                Self::Ctr => {
                    let result = sum(data, &cipher.encrypt(&last));
                    last = number(&last).wrapping_add(1).to_be_bytes()[16 - last.len()..].to_vec();
                    result
                }
                Self::Cfb => {
                    let result = sum(data, &cipher.encrypt(&last));
                    last = if encrypt { result.clone() } else { data.to_vec() };
                    result
                }
                Self::Ofb => {
                    last = cipher.encrypt(&last);
                    sum(data, &last)
                }
            };
            done.extend(result);
        }
        done
    }
}

fn sum(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut sum = a.to_vec();
    add(&mut sum, b);
    sum
}

/// The big-endian number that these up to 16 bytes are.
fn number(bytes: &[u8]) -> u128 {
    bytes.iter().fold(0, |number, byte| number << 8 | u128::from(*byte))
}

/// Times x, in the field of 2^128 that both XTS and LRW are in.
fn doubled(number: u128) -> u128 {
    (number << 1) ^ if number >> 127 == 1 { 0x87 } else { 0 }
}

/// The product in that field.
fn product(a: u128, b: u128) -> u128 {
    (0..128).rev().fold(0, |product, bit| doubled(product) ^ if b >> bit & 1 == 1 { a } else { 0 })
}
