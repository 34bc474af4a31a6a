//! Hashes, and the two that dm-crypt has of its own: MD5 without its end, and CRC-32 without its inversions.

use sha2::Digest;

/// The digest of a hash by the kernel's name.
pub fn digest(hash: &str, data: &[u8]) -> Vec<u8> {
    match hash {
        "md5" => md5::Md5::digest(data).to_vec(),
        "sha1" => sha1::Sha1::digest(data).to_vec(),
        "sha224" => sha2::Sha224::digest(data).to_vec(),
        "sha384" => sha2::Sha384::digest(data).to_vec(),
        "rmd160" => ripemd::Ripemd160::digest(data).to_vec(),
        "sha3-224" => sha3::Sha3_224::digest(data).to_vec(),
        "sha3-384" => sha3::Sha3_384::digest(data).to_vec(),
        "blake2s-256" => blake2::Blake2s256::digest(data).to_vec(),
        "sha256" => sha2::Sha256::digest(data).to_vec(),
        "sha3-256" => sha3::Sha3_256::digest(data).to_vec(),
        "blake2b-256" => blake2::Blake2b256::digest(data).to_vec(),
        "wp256" => whirlpool::Whirlpool::digest(data)[..32].to_vec(),
        other => panic!("no hash {other}"),
    }
}

/// MD5's state after a message of whole blocks: RFC 1321, 3.4, with its table from the sine that defines it.
pub fn md5_state(message: &[u8]) -> [u8; 16] {
    const SHIFTS: [[u32; 4]; 4] = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];
    assert!(message.len().is_multiple_of(64));
    let mut state = [0x6745_2301_u32, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
    for block in message.chunks(64) {
        let word = |at: usize| u32::from_le_bytes(block[at * 4..][..4].try_into().unwrap());
        let [mut a, mut b, mut c, mut d] = state;
        for step in 0..64 {
            let (mixed, at) = match step / 16 {
                0 => (b & c | !b & d, step),
                1 => (d & b | !d & c, 5 * step + 1),
                2 => (b ^ c ^ d, 3 * step + 5),
                _ => (c ^ (b | !d), 7 * step),
            };
            let sine = (((step + 1) as f64).sin().abs() * 4_294_967_296.0) as u32;
            let sum = a.wrapping_add(mixed).wrapping_add(word(at % 16)).wrapping_add(sine);
            (a, d, c) = (d, c, b);
            b = b.wrapping_add(sum.rotate_left(SHIFTS[step / 16][step % 4]));
        }
        for (word, more) in state.iter_mut().zip([a, b, c, d]) {
            *word = word.wrapping_add(more);
        }
    }
    state.map(u32::to_le_bytes).concat().try_into().unwrap()
}

/// CRC-32 (polynomial 04C11DB7, reflected) bit by bit, from 0 and not inverted.
pub fn crc32(data: &[u8]) -> u32 {
    let bits = data.iter().flat_map(|byte| (0..8).map(move |bit| u32::from(byte >> bit & 1)));
    bits.fold(0, |crc, bit| {
        let carry = (crc ^ bit) & 1 == 1;
        crc >> 1 ^ if carry { 0x04c1_1db7_u32.reverse_bits() } else { 0 }
    })
}

/// Oracles: the `md-5` crate, whose end is the block of padding and length that RFC 1321, 3.1 and 3.2, say; and the check
/// value of CRC-32, whose inversion at the beginning is the same as other first four bytes.
#[test]
fn the_models_digests_are_right() {
    let message: Vec<u8> = (0..=255).cycle().take(640).collect();
    let mut padded = message.clone();
    padded.push(0x80);
    padded.resize(640 + 56, 0);
    padded.extend((640_u64 * 8).to_le_bytes());
    assert_eq!(md5_state(&padded).to_vec(), digest("md5", &message));
    let mut check = *b"123456789";
    check[..4].iter_mut().for_each(|byte| *byte = !*byte);
    assert_eq!(!crc32(&check), 0xcbf4_3926);
}
