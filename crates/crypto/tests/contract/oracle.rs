//! The textbook's XTS, CBC and ECB, block by block and byte by byte, on nothing but a block cipher. It shares no code
//! with the drivers' loops: it is what they are judged by where no published vector reaches.

use aes::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use aes::{Aes128, Aes192, Aes256, Block};
use udm_crypto::{Algorithm, Direction, Iv, IvRule, Mode};

/// A block cipher with a key.
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
            _ => Self::Of256(Aes256::new_from_slice(key).unwrap()),
        }
    }

    fn block(&self, direction: Direction, block: [u8; 16]) -> [u8; 16] {
        let mut block = Block::from(block);
        match (self, direction) {
            (Self::Of128(aes), Direction::Encrypt) => aes.encrypt_block(&mut block),
            (Self::Of192(aes), Direction::Encrypt) => aes.encrypt_block(&mut block),
            (Self::Of256(aes), Direction::Encrypt) => aes.encrypt_block(&mut block),
            (Self::Of128(aes), Direction::Decrypt) => aes.decrypt_block(&mut block),
            (Self::Of192(aes), Direction::Decrypt) => aes.decrypt_block(&mut block),
            (Self::Of256(aes), Direction::Decrypt) => aes.decrypt_block(&mut block),
        }
        block.0
    }
}

/// `data` in units of `unit` bytes, encrypted or decrypted.
pub fn crypt(
    algorithm: Algorithm,
    key: &[u8],
    direction: Direction,
    unit: usize,
    iv: &IvRule<'_>,
    data: &[u8],
) -> Vec<u8> {
    let (first, second) = key.split_at(if algorithm.mode == Mode::Xts { key.len() / 2 } else { key.len() });
    let aes = Aes::new(first);
    let mut out = Vec::with_capacity(data.len());
    for (number, unit) in data.chunks(unit).enumerate() {
        let mut state = iv_of(iv, number);
        if algorithm.mode == Mode::Xts {
            state = Aes::new(second).block(Direction::Encrypt, state);
        }
        for block in unit.chunks(16) {
            let block: [u8; 16] = block.try_into().unwrap();
            let result = match (algorithm.mode, direction) {
                (Mode::Ecb, _) => aes.block(direction, block),
                (Mode::Xts, _) => xor(aes.block(direction, xor(block, state)), state),
                (Mode::Cbc, Direction::Encrypt) => aes.block(direction, xor(block, state)),
                (Mode::Cbc, Direction::Decrypt) => xor(aes.block(direction, block), state),
            };
            state = match (algorithm.mode, direction) {
                (Mode::Xts, _) => doubled(state),
                (_, Direction::Encrypt) => result,
                (_, Direction::Decrypt) => block,
            };
            out.extend(result);
        }
    }
    out
}

/// The IV of a unit, by adding the stride so many times over, byte by byte with a carry that ends with the counter.
pub fn iv_of(rule: &IvRule<'_>, unit: usize) -> Iv {
    let (mut iv, stride, places) = match *rule {
        IvRule::CounterLe128 { first, stride } => (first, stride, (0..16).collect::<Vec<_>>()),
        IvRule::CounterLe64 { first, stride } => (first, stride, (0..8).collect()),
        IvRule::CounterLe32 { first, stride } => (first, stride, (0..4).collect()),
        IvRule::CounterBe64 { first, stride } => (first, stride, (8..16).rev().collect()),
        IvRule::Constant(iv) => return iv,
        IvRule::Vector(ivs) => return ivs[unit],
    };
    for _ in 0..unit {
        let mut carry = 0;
        for (digit, place) in places.iter().enumerate() {
            let sum = u16::from(iv[*place])
                + u16::from(stride.to_le_bytes().get(digit).copied().unwrap_or(0))
                + carry;
            iv[*place] = sum as u8;
            carry = sum >> 8;
        }
    }
    iv
}

/// The product with x, as IEEE 1619 writes it down: byte by byte.
fn doubled(tweak: [u8; 16]) -> [u8; 16] {
    let mut product = [0; 16];
    let mut carry = 0;
    for (to, from) in product.iter_mut().zip(tweak) {
        *to = from << 1 | carry;
        carry = from >> 7;
    }
    if carry == 1 {
        product[0] ^= 0x87;
    }
    product
}

fn xor(a: [u8; 16], b: [u8; 16]) -> [u8; 16] {
    std::array::from_fn(|at| a[at] ^ b[at])
}
