//! What a driver must pass before it is used: known answers, and the same bytes as the portable driver unit by unit.

mod known;

use crate::algorithm::Algorithm;
use crate::driver::{Driver, KeyedCipher};
use crate::portable;
use crate::request::{Direction, Iv, IvRule, Request};
use crate::skcipher::Skcipher;
use crate::split::split;
use crate::waiting::crypt_waiting;
use known::KnownAnswer;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use udm_block::{Span, SpanIter, SpanIterMut, SpanMut};

/// Units and their sizes in the requests of the self-test: few and many, and sizes that no power of two divides.
const SHAPES: &[(usize, usize)] =
    if cfg!(miri) { &[(3, 32)] } else { &[(1, 16), (70, 16), (11, 48), (9, 512), (1, 4096)] };

/// A request that is worth some threads, for an asynchronous driver.
const LONG: (usize, usize) = if cfg!(miri) { (7, 16) } else { (71, 512) };

/// Tests `driver`.
///
/// # Errors
/// What went wrong, in words. A driver that refuses some keys passes, as long as it takes one; so does one that refuses
/// unit sizes in requests of many units.
pub fn self_test(driver: &Driver) -> Result<(), String> {
    let (mut taken, mut refusal) = (0, None);
    for answer in known::answers(driver.algorithm) {
        let Ok(keyed) = (driver.key)(driver.algorithm, &answer.key) else { continue };
        check(&skcipher(driver, keyed), &answer)?;
    }
    for size in key_sizes(driver.algorithm) {
        // Distinct bytes, so that the halves of an XTS key differ.
        let key: Vec<u8> = (0..size as u8).collect();
        let keyed = match (driver.key)(driver.algorithm, &key) {
            Ok(keyed) => keyed,
            Err(why) => {
                refusal = Some(why);
                continue;
            }
        };
        let skcipher = skcipher(driver, keyed);
        let reference = portable::key(driver.algorithm, &key)?;
        for &shape in SHAPES {
            for direction in [Direction::Encrypt, Direction::Decrypt] {
                for rule in 0..RULES {
                    compare(&skcipher, reference.as_ref(), direction, shape, rule).map_err(|how| {
                        format!("{size}-byte key, {direction:?}, {} x {}: {how}", shape.0, shape.1)
                    })?;
                }
            }
        }
        if skcipher.later().is_some() {
            compare(&skcipher, reference.as_ref(), Direction::Decrypt, LONG, LONG.0 % RULES)
                .map_err(|how| format!("{size}-byte key, {} x {}: {how}", LONG.0, LONG.1))?;
        }
        taken += 1;
    }
    if taken == 0 {
        return Err(refusal.map_or("it takes no key".into(), |why| format!("it takes no key: {why}")));
    }
    Ok(())
}

/// A handle on what `driver` made of a key. A refusal is said when a user's key meets it, not here.
fn skcipher(driver: &Driver, keyed: Box<dyn KeyedCipher>) -> Skcipher {
    let refusal_said = Arc::new(AtomicBool::new(true));
    Skcipher::from_parts(driver.algorithm, driver.info, refusal_said, keyed)
}

/// The key sizes to be tested: where there are many, the least and the greatest.
fn key_sizes(algorithm: Algorithm) -> Vec<usize> {
    let sizes: Vec<_> = algorithm.key_sizes().collect();
    match sizes[..] {
        [least, .., greatest] if sizes.len() > MOST_SIZES => vec![least, greatest],
        _ => sizes,
    }
}

/// How many key sizes are tested at most.
const MOST_SIZES: usize = if cfg!(miri) { 1 } else { 5 };

/// Encrypts what is known, and decrypts it again.
fn check(skcipher: &Skcipher, answer: &KnownAnswer) -> Result<(), String> {
    let mut data = answer.plain.clone();
    for (direction, expected) in [(Direction::Encrypt, &answer.secret), (Direction::Decrypt, &answer.plain)] {
        let unit_size = data.len();
        let mut spans = [SpanMut::new(&mut data)];
        let mut bytes = SpanIterMut::new(&mut spans);
        let (src, dst) = bytes.in_place();
        skcipher
            .crypt(&mut Request { direction, src, dst, unit_size, iv: answer.iv })
            .map_err(|error| error.to_string())?;
        if data != *expected {
            return Err(format!("{}-byte key, {direction:?}: the known answer differs", answer.key.len()));
        }
    }
    Ok(())
}

/// How many rules [`rule`] has. (Miri takes seconds for what takes the others microseconds.)
const RULES: usize = if cfg!(miri) { 1 } else { 6 };

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

/// Carries out one request by both: unit by unit and elsewhere by the portable driver; as one, in place, and cut into
/// pieces of odd sizes, by the other; and as a job, where that one is asynchronous.
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
    let (given, mut expected) = (data.clone(), vec![0; len]);
    let iv = rule(which, units, &vector);

    let (src, mut dst) = ([Span::new(&given)], [SpanMut::new(&mut expected)]);
    let (src, dst) = (SpanIter::new(&src), SpanIterMut::new(&mut dst));
    split(&mut Request { direction, src, dst, unit_size, iv }, |unit| reference.crypt(unit))
        .map_err(|error| format!("the portable driver: {error}"))?;

    let cut = (unit_size + 7).min(len - 1);
    let (left, right) = data.split_at_mut(cut);
    let (middle, right) = right.split_at_mut(right.len().min(1));
    let mut spans = [left, middle, right].map(SpanMut::new);
    let mut bytes = SpanIterMut::new(&mut spans);
    let (src, dst) = bytes.in_place();
    skcipher
        .crypt(&mut Request { direction, src, dst, unit_size, iv })
        .map_err(|error| format!("{iv:?}: {error}"))?;
    same(&data, &expected, which)?;
    // One rule is enough for the other way in, which costs two changes of threads.
    match skcipher.later() {
        Some(later) if which == units % RULES => {
            let (src, mut dst) = ([Span::new(&given)], [SpanMut::new(&mut data)]);
            let (src, dst) = (SpanIter::new(&src), SpanIterMut::new(&mut dst));
            let mut memory = vec![0; later.bytes_per_unit * units];
            let mut request = Request { direction, src, dst, unit_size, iv };
            crypt_waiting(skcipher, &mut request, SpanMut::new(&mut memory))
                .map_err(|error| format!("{iv:?}, as a job: {error}"))?;
            same(&data, &expected, which).map_err(|how| format!("as a job: {how}"))
        }
        _ => Ok(()),
    }
}

fn same(data: &[u8], expected: &[u8], which: usize) -> Result<(), String> {
    match data.iter().zip(expected).position(|(got, wanted)| got != wanted) {
        Some(at) => Err(format!("IV rule {which}: byte {at} differs from the portable driver's")),
        None => Ok(()),
    }
}
