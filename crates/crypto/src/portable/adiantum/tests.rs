//! Against the `poly1305` crate and the `adiantum` crate.

use super::hash::Hash;
use super::poly::Poly;
use poly1305::Poly1305;
use poly1305::universal_hash::{KeyInit, UniversalHash};

/// Oracle: the `poly1305` crate, with a key whose second half is zeros. Blocks of ones and near the prime make sums that
/// only the last reduction brings below it. Bad twin: one bit of the message.
#[test]
fn poly_does_as_the_crate_does() {
    let mut seed = 1305u64;
    let mut random = || {
        seed = seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        match seed >> 60 {
            0..4 => 0xff,
            4..6 => 0,
            6 => 0xfb,
            _ => (seed >> 40) as u8,
        }
    };
    for round in 0..5000 {
        let mut key = [0; 32];
        key[..16].fill_with(&mut random);
        if round % 10 == 0 {
            // Times one: the sum of the blocks itself.
            key[..16].copy_from_slice(&1u128.to_le_bytes());
        }
        let mut blocks = vec![[0; 16]; round % 9];
        blocks.as_flattened_mut().fill_with(&mut random);
        let mut crates = Poly1305::new((&key).into());
        crates.update(poly1305::Block::cast_slice_from_core(&blocks));
        let expected = u128::from_le_bytes(crates.finalize().0);
        let poly = Poly::new(*key.first_chunk().unwrap());
        assert_eq!(poly.hash(&blocks), expected, "round {round}: {key:02x?} {blocks:02x?}");
        if let (Some(block), true) = (blocks.first_mut(), key[..16] != [0; 16]) {
            block[round % 16] ^= 1 << (round % 8);
            assert_ne!(poly.hash(&blocks), expected, "round {round}");
        }
    }
}

/// The hash of nothing is that of its IV alone, and every byte of a long message counts.
#[test]
fn every_byte_of_a_message_counts() {
    let keys: Vec<u8> = (0..Hash::KEY_SIZE).map(|at| (at * 7 + 1) as u8).collect();
    let hash = Hash::new(&keys);
    assert_eq!(hash.message(&[]), 0);
    let mut message = vec![0x5a; 4080];
    let whole = hash.message(&message);
    for at in 0..message.len() {
        message[at] ^= 0x10;
        assert_ne!(hash.message(&message), whole, "byte {at}");
        message[at] ^= 0x10;
    }
}
