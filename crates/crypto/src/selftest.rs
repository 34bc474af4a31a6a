//! What a driver must pass before it is used: known answers, and the same bytes as the portable driver.

use crate::algorithm::{Algorithm, Mode};
use crate::driver::{Driver, KeyedCipher};
use crate::portable;
use crate::request::{Direction, Iv, IvRule, Request};
use crate::skcipher::Skcipher;
use udm_block::{Span, SpanIter};

/// Units and their sizes in the requests of the self-test: few and many, and sizes that no power of two divides.
const SHAPES: [(usize, usize); 5] = [(1, 16), (70, 16), (11, 48), (9, 512), (1, 4096)];

/// A published block, E(plaintext) under a key: it catches a portable driver that is wrong, and with it all others.
/// The key's bytes are 0, 1, 2, ...; the plaintext's 0x00, 0x11, 0x22, ... (FIPS 197, appendix C).
const FIPS_197: [(usize, [u8; 16]); 3] = [
    (16, 0x69c4_e0d8_6a7b_0430_d8cd_b780_70b4_c55a_u128.to_be_bytes()),
    (24, 0xdda9_7ca4_864c_dfe0_6eaf_70a0_ec0d_7191_u128.to_be_bytes()),
    (32, 0x8ea2_b7ca_5167_45bf_eafc_4990_4b49_6089_u128.to_be_bytes()),
];

/// Tests `driver`.
///
/// # Errors
/// What went wrong, in words. A driver that refuses some keys passes, as long as it takes one; so does one that refuses
/// unit sizes in requests of many units.
pub fn self_test(driver: &Driver) -> Result<(), String> {
    let mut taken = 0;
    for size in driver.algorithm.key_sizes() {
        // Distinct bytes, so that the halves of an XTS key differ.
        let key: Vec<u8> = (0..size as u8).collect();
        let Ok(keyed) = (driver.key)(driver.algorithm, &key) else { continue };
        let skcipher = Skcipher::from_parts(driver.algorithm, driver.info, std::sync::Arc::default(), keyed);
        let reference = portable::key(driver.algorithm, &key)?;
        known_answer(driver.algorithm, size, &skcipher)?;
        for (units, unit_size) in SHAPES {
            for direction in [Direction::Encrypt, Direction::Decrypt] {
                for rule in 0..RULES {
                    compare(&skcipher, reference.as_ref(), direction, (units, unit_size), rule).map_err(
                        |how| format!("{size}-byte key, {direction:?}, {units} x {unit_size}: {how}"),
                    )?;
                }
            }
        }
        taken += 1;
    }
    if taken == 0 { Err("it takes no key".into()) } else { Ok(()) }
}

/// Encrypts one block as FIPS 197 does. CBC with an IV of zeros is the block cipher itself; XTS is not, and rests on
/// the comparison and on the vectors that the tests hold.
fn known_answer(algorithm: Algorithm, key_size: usize, skcipher: &Skcipher) -> Result<(), String> {
    let Some((_, expected)) = FIPS_197.into_iter().find(|(size, _)| *size == key_size) else { return Ok(()) };
    if algorithm.mode == Mode::Xts {
        return Ok(());
    }
    let mut block: [u8; 16] = std::array::from_fn(|byte| byte as u8 * 0x11);
    let spans = [Span::new(&mut block)];
    let bytes = SpanIter::new(&spans);
    let iv = IvRule::Constant(Iv::default());
    skcipher
        .crypt(&Request { direction: Direction::Encrypt, src: bytes, dst: bytes, unit_size: 16, iv })
        .map_err(|error| error.to_string())?;
    if block == expected { Ok(()) } else { Err(format!("{key_size}-byte key: the known answer differs")) }
}

/// How many rules [`rule`] has.
const RULES: usize = 6;

/// An IV rule. The counters end where they would wrap next, and the strides are those that a narrow or a signed
/// counter gets wrong.
fn rule(which: usize, units: usize, vector: &[Iv]) -> IvRule<'_> {
    let steps = units as u64 - 1;
    let first = |last: u64, stride: u64| -> Iv {
        let mut iv = [0xa5; 16];
        iv[..8].copy_from_slice(&(last - steps * stride).to_le_bytes());
        iv
    };
    match which {
        0 => IvRule::CounterLe128 { first: first(u64::MAX - 3, 1), stride: u64::MAX },
        1 => IvRule::CounterLe64 { first: first(u64::MAX, 8), stride: 8 },
        2 => IvRule::CounterLe32 { first: first(u32::MAX.into(), 1), stride: 1 },
        3 => {
            let mut iv = first(u64::MAX, 1 << 32);
            iv.reverse();
            IvRule::CounterBe64 { first: iv, stride: 1 << 32 }
        }
        4 => IvRule::Constant([0x3c; 16]),
        _ => IvRule::Vector(&vector[..units]),
    }
}

/// Carries out one request by both: in one piece and elsewhere by the portable driver; in place, cut into pieces of
/// odd sizes, by the other.
fn compare(
    skcipher: &Skcipher,
    reference: &dyn KeyedCipher,
    direction: Direction,
    (units, unit_size): (usize, usize),
    which: usize,
) -> Result<(), String> {
    let len = units * unit_size;
    let mut seed = (which << 16 | len) as u64;
    let mut random = || {
        seed = seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (seed >> 33) as u8
    };
    let vector: Vec<Iv> = (0..units).map(|_| std::array::from_fn(|_| random())).collect();
    let mut data: Vec<u8> = (0..len).map(|_| random()).collect();
    let (mut given, mut expected) = (data.clone(), vec![0; len]);
    let iv = rule(which, units, &vector);

    let (src, dst) = ([Span::new(&mut given)], [Span::new(&mut expected)]);
    let (src, dst) = (SpanIter::new(&src), SpanIter::new(&dst));
    reference
        .crypt(&Request { direction, src, dst, unit_size, iv })
        .map_err(|error| format!("the portable driver: {error}"))?;

    let cut = (unit_size + 7).min(len - 1);
    let (left, right) = data.split_at_mut(cut);
    let (middle, right) = right.split_at_mut(right.len().min(1));
    let spans = [Span::new(left), Span::new(middle), Span::new(right)];
    let bytes = SpanIter::new(&spans);
    skcipher
        .crypt(&Request { direction, src: bytes, dst: bytes, unit_size, iv })
        .map_err(|error| format!("{iv:?}: {error}"))?;
    match data.iter().zip(&expected).position(|(got, wanted)| got != wanted) {
        Some(at) => Err(format!("IV rule {which}: byte {at} differs from the portable driver's")),
        None => Ok(()),
    }
}
