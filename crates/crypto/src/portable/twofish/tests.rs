//! Against the paper's own values, and against the `twofish` crate.

use super::Twofish;
use aes::Block;
use twofish::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};

fn random(seed: &mut u64) -> [u8; 32] {
    std::array::from_fn(|_| {
        *seed = seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (*seed >> 56) as u8
    })
}

/// The paper's table tests (`ecb_tbl`): each ciphertext is the next plaintext and the next key's
/// first half, from zeros on; the 49th result.
#[test]
fn the_papers_iterated_test() {
    let expected = [
        (16, 0x5d9d_4eef_fa91_5157_5524_f115_815a_12e0_u128),
        (24, 0xe754_4921_2bee_f9f4_a390_bd86_0a64_0941),
        (32, 0x37fe_26ff_1cf6_6175_f5dd_f4c3_3b97_a205),
    ];
    for (size, expected) in expected {
        let (mut key, mut block) = (vec![0; size], Block::default());
        for _ in 0..49 {
            let plain = block;
            let cipher = Twofish::new(&key);
            cipher.encrypt_block(&mut block);
            key.rotate_right(16);
            key[..16].copy_from_slice(&plain);
        }
        assert_eq!(u128::from_be_bytes(block.0), expected, "{size} bytes of key");
    }
}

/// Oracle: the `twofish` crate. One block and many at once, both directions; bad twin: another key.
#[test]
fn it_does_as_the_crate_does() {
    let mut seed = 22;
    for round in 0..300 {
        let key = &random(&mut seed)[..[16, 24, 32][round % 3]];
        let (ours, theirs) = (Twofish::new(key), twofish::Twofish::new_from_slice(key).unwrap());
        let mut blocks: Vec<Block> =
            (0..7).map(|_| Block::try_from(&random(&mut seed)[..16]).unwrap()).collect();
        let plain = blocks.clone();
        let mut expected = blocks.clone();
        theirs.encrypt_blocks(&mut expected);
        ours.encrypt_blocks(&mut blocks);
        assert_eq!(blocks, expected, "key {key:02x?}");
        ours.decrypt_blocks(&mut blocks);
        assert_eq!(blocks, plain, "key {key:02x?}");
        let mut other = key.to_vec();
        other[round % key.len()] ^= 1;
        Twofish::new(&other).encrypt_blocks(&mut blocks);
        assert_ne!(blocks, expected, "every byte of the key counts");
    }
}
