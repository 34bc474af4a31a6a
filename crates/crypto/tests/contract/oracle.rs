//! The textbook's modes, block by block and byte by byte, on nothing but the plain use of a library's cipher. It shares
//! no code with the drivers' loops: it is what they are judged by where no published vector reaches. Twofish is the
//! `twofish` crate's, Adiantum the `adiantum` crate's.

use aes::cipher::array::{Array, ArraySize};
use aes::cipher::{
    BlockCipherDecrypt, BlockCipherEncrypt, KeyInit, KeyIvInit, StreamCipher, StreamCipherSeek,
};
use chacha20::{ChaCha12, ChaCha20, R12, R20, hchacha};
use udm_crypto::{Algorithm, Cipher, Direction, Iv, IvRule, Mode};

/// A block cipher with a key: changes one block.
type BlockFn = Box<dyn Fn(Direction, &mut [u8])>;

/// What becomes of one unit, of its IV and its bytes.
type UnitFn<'a> = Box<dyn Fn(&[u8], &[u8]) -> Vec<u8> + 'a>;

/// The block cipher `cipher` with `key`.
fn block_cipher(cipher: Cipher, key: &[u8]) -> BlockFn {
    fn of<C: BlockCipherEncrypt + BlockCipherDecrypt + KeyInit + 'static>(key: &[u8]) -> BlockFn {
        fn array<N: ArraySize>(block: &mut [u8]) -> &mut Array<u8, N> {
            Array::slice_as_mut_array(block).unwrap()
        }
        let cipher = C::new_from_slice(key).unwrap();
        Box::new(move |direction, block| match direction {
            Direction::Encrypt => cipher.encrypt_block(array(block)),
            Direction::Decrypt => cipher.decrypt_block(array(block)),
        })
    }
    match (cipher, key.len()) {
        (Cipher::Aes, 16) => of::<aes::Aes128>(key),
        (Cipher::Aes, 24) => of::<aes::Aes192>(key),
        (Cipher::Aes, _) => of::<aes::Aes256>(key),
        (Cipher::Serpent, 16..) => of::<serpent::Serpent>(key),
        // "Short keys are padded with a one, and zeros", to 256 bits.
        (Cipher::Serpent, len) => {
            let mut padded = [key, &[1]].concat();
            padded.resize(32, 0);
            assert_eq!(padded[len], 1);
            of::<serpent::Serpent>(&padded)
        }
        (Cipher::Twofish, _) => of::<twofish::Twofish>(key),
        (Cipher::Camellia, 16) => of::<camellia::Camellia128>(key),
        (Cipher::Camellia, 24) => of::<camellia::Camellia192>(key),
        (Cipher::Camellia, _) => of::<camellia::Camellia256>(key),
        (Cipher::Cast6, _) => of::<cast6::Cast6>(key),
        (Cipher::Cast5, _) => of::<cast5::Cast5>(key),
        (Cipher::Des3Ede, _) => of::<des::TdesEde3>(key),
        (Cipher::Blowfish, _) => of::<blowfish::Blowfish>(key),
        (Cipher::CipherNull, _) => Box::new(|_, _| ()),
        _ => unreachable!("{cipher:?} is no block cipher"),
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
    let unit_fn: UnitFn<'_> = match (algorithm.mode, algorithm.cipher) {
        (Mode::Stream, cipher) => Box::new(move |iv, unit| stream(cipher, key, iv, unit)),
        (Mode::Adiantum, cipher) => Box::new(move |iv, unit| adiantum(cipher, key, direction, iv, unit)),
        (mode, cipher) => {
            let (first, second) = match mode {
                Mode::Xts => key.split_at(key.len() / 2),
                Mode::Lrw => key.split_at(key.len() - 16),
                _ => (key, key),
            };
            let block = block_cipher(cipher, first);
            let tweaks = block_cipher(cipher, if mode == Mode::Xts { second } else { first });
            let size = cipher.block_size();
            Box::new(move |iv, unit| blocks(mode, direction, size, &block, (&tweaks, second), iv, unit))
        }
    };
    let ivs = (0..).map(|number| long_iv_of(iv, number, algorithm.iv_size()));
    data.chunks(unit).zip(ivs).flat_map(|(unit, iv)| unit_fn(&iv, unit)).collect()
}

/// One unit in a mode of blocks.
fn blocks(
    mode: Mode,
    direction: Direction,
    size: usize,
    block: &BlockFn,
    (tweaks, second): (&BlockFn, &[u8]),
    iv: &[u8],
    unit: &[u8],
) -> Vec<u8> {
    let encrypting = direction == Direction::Encrypt;
    let mut state = iv.to_vec();
    if mode == Mode::Xts {
        tweaks(Direction::Encrypt, &mut state);
    }
    let passed = |direction, given: Vec<u8>| {
        let mut given = given;
        block(direction, &mut given);
        given
    };
    let mut out = Vec::new();
    for given in unit.chunks(size) {
        let result = match mode {
            Mode::Ecb => passed(direction, given.to_vec()),
            Mode::Xts => xor(&passed(direction, xor(given, &state)), &state),
            Mode::Lrw => {
                let tweak = product(second, &state);
                xor(&passed(direction, xor(given, &tweak)), &tweak)
            }
            Mode::Cbc | Mode::Pcbc if encrypting => passed(direction, xor(given, &state)),
            Mode::Cbc | Mode::Pcbc => xor(&passed(direction, given.to_vec()), &state),
            Mode::Ctr | Mode::Cfb | Mode::Ofb => xor(given, &passed(Direction::Encrypt, state.clone())),
            Mode::Adiantum | Mode::Stream => unreachable!(),
        };
        let secret = if encrypting { &result[..] } else { given };
        state = match mode {
            Mode::Ecb => state,
            Mode::Xts => doubled(&state),
            Mode::Ctr | Mode::Lrw => incremented(state),
            Mode::Cbc | Mode::Cfb => secret.to_vec(),
            Mode::Pcbc | Mode::Ofb => xor(given, &result),
            Mode::Adiantum | Mode::Stream => unreachable!(),
        };
        out.extend(result);
    }
    out
}

/// One unit of a stream cipher, whose counter of 32 bits is put in by hand at each block.
fn stream(cipher: Cipher, key: &[u8], iv: &[u8], unit: &[u8]) -> Vec<u8> {
    let key: [u8; 32] = key.try_into().unwrap();
    let half: Option<[u8; 16]> = iv[..16].try_into().ok();
    // The state's last row: counter and nonce.
    let (key, row) = match cipher {
        Cipher::ChaCha20 => (key, iv.to_vec()),
        Cipher::XChaCha12 => (hchacha::<R12>(&key.into(), &half.unwrap().into()).0, rotated(&iv[16..])),
        _ => (hchacha::<R20>(&key.into(), &half.unwrap().into()).0, rotated(&iv[16..])),
    };
    let nonce: [u8; 12] = row[4..].try_into().unwrap();
    let mut counter = u32::from_le_bytes(row[..4].try_into().unwrap());
    let mut out = unit.to_vec();
    for block in out.chunks_mut(64) {
        // The crate gives no block at its counter's end.
        if counter == u32::MAX {
            last_block(cipher, &key, &nonce, block);
        } else if cipher == Cipher::XChaCha12 {
            let mut stream = ChaCha12::new(&key.into(), &nonce.into());
            stream.seek(u64::from(counter) * 64);
            stream.apply_keystream(block);
        } else {
            let mut stream = ChaCha20::new(&key.into(), &nonce.into());
            stream.seek(u64::from(counter) * 64);
            stream.apply_keystream(block);
        }
        counter = counter.wrapping_add(1);
    }
    out
}

/// The block of counter 2^32 - 1, from the rounds as RFC 8439 writes them down.
fn last_block(cipher: Cipher, key: &[u8], nonce: &[u8], block: &mut [u8]) {
    let words = |bytes: &[u8]| -> Vec<u32> {
        bytes.chunks(4).map(|word| u32::from_le_bytes(word.try_into().unwrap())).collect()
    };
    let begin = [words(b"expand 32-byte k"), words(key), vec![u32::MAX], words(nonce)].concat();
    let mut state = begin.clone();
    let mut quarter = |[a, b, c, d]: [usize; 4]| {
        for (sum, with, turned, by) in [(a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)] {
            state[sum] = state[sum].wrapping_add(state[with]);
            state[turned] = (state[turned] ^ state[sum]).rotate_left(by);
        }
    };
    for _ in 0..if cipher == Cipher::XChaCha12 { 6 } else { 10 } {
        for at in 0..4 {
            quarter([at, at + 4, at + 8, at + 12]);
        }
        for at in 0..4 {
            quarter([at, 4 + (at + 1) % 4, 8 + (at + 2) % 4, 12 + (at + 3) % 4]);
        }
    }
    let key_stream = state.iter().zip(begin).flat_map(|(a, b)| a.wrapping_add(b).to_le_bytes());
    block.iter_mut().zip(key_stream).for_each(|(byte, stream)| *byte ^= stream);
}

/// The second half of an `XChaCha` IV with its place before its nonce, as they stand in the state.
fn rotated(row: &[u8]) -> Vec<u8> {
    [&row[8..], &row[..8]].concat()
}

/// One unit of Adiantum, by the `adiantum` crate.
fn adiantum(cipher: Cipher, key: &[u8], direction: Direction, iv: &[u8], unit: &[u8]) -> Vec<u8> {
    let mut unit = unit.to_vec();
    macro_rules! pass {
        ($stream:ty) => {{
            let cipher = adiantum::Cipher::<$stream, aes::Aes256>::new_from_slice(key).unwrap();
            match direction {
                Direction::Encrypt => cipher.encrypt(&mut unit, iv),
                Direction::Decrypt => cipher.decrypt(&mut unit, iv),
            }
        }};
    }
    if cipher == Cipher::XChaCha12Aes {
        pass!(chacha20::XChaCha12);
    } else {
        pass!(chacha20::XChaCha20);
    }
    unit
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
        IvRule::WideVector(ivs) => return ivs[unit][..16].try_into().unwrap(),
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

/// The IV of a unit in a cipher that has IVs of `size` bytes.
pub fn long_iv_of(rule: &IvRule<'_>, unit: usize, size: usize) -> Vec<u8> {
    let mut iv = match rule {
        IvRule::WideVector(ivs) => ivs[unit].to_vec(),
        _ => iv_of(rule, unit).to_vec(),
    };
    if matches!(rule, IvRule::CounterBe64 { .. }) {
        iv.reverse();
        iv.resize(size, 0);
        iv.reverse();
    } else {
        iv.resize(size, 0);
    }
    iv
}

/// The product with x, as IEEE 1619 writes it down: byte by byte.
fn doubled(tweak: &[u8]) -> Vec<u8> {
    let mut product = Vec::new();
    let mut carry = 0;
    for from in tweak {
        product.push(from << 1 | carry);
        carry = from >> 7;
    }
    if carry == 1 {
        product[0] ^= 0x87;
    }
    product
}

/// The product in GF(2^128) of big-endian numbers, bit by bit from the highest.
fn product(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut sum = vec![0; 16];
    for bit in 0..128 {
        sum.reverse();
        sum = doubled(&sum);
        sum.reverse();
        if b[bit / 8] >> (7 - bit % 8) & 1 == 1 {
            sum = xor(&sum, a);
        }
    }
    sum
}

/// The next big-endian number of as many bytes; behind the last comes 0.
fn incremented(mut number: Vec<u8>) -> Vec<u8> {
    for byte in number.iter_mut().rev() {
        *byte = byte.wrapping_add(1);
        if *byte != 0 {
            break;
        }
    }
    number
}

fn xor(a: &[u8], b: &[u8]) -> Vec<u8> {
    a.iter().zip(b).map(|(a, b)| a ^ b).collect()
}
