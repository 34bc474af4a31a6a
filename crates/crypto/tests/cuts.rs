//! Requests over memory that is cut into several runs, few and small, so that Miri can follow every address.
//!
//! `contract` has the same for all drivers and sizes. Here are the walk, the splitter and the portable ciphers alone.

use udm_block::{SpanIterMut, SpanMut};
use udm_crypto::waiting::crypt_waiting;
use udm_crypto::{
    Algorithm, Choice, Cipher, Direction, Driver, DriverInfo, Iv, IvRule, Mode, MultiUnit, Registry, Request,
    Skcipher, offload, portable,
};

const UNIT: usize = if cfg!(miri) { 32 } else { 64 };
const UNITS: usize = 3;
const LEN: usize = UNITS * UNIT;

/// Where the runs end: in one piece, at the borders of units, within a unit, within a block, and after single bytes.
const CUTS: &[&[usize]] = &[&[], &[UNIT, 2 * UNIT], &[16, UNIT + 32], &[7, UNIT + 1], &[1, 2, 3, 3, LEN - 1]];

/// All of them, or those that leave no block whole.
fn cuts() -> impl Iterator<Item = &'static [usize]> {
    CUTS[if cfg!(miri) { 3 } else { 0 }..].iter().copied()
}

fn cut<'a>(mut memory: &'a mut [u8], ends: &[usize]) -> Vec<SpanMut<'a>> {
    let (mut runs, mut done) = (Vec::new(), 0);
    for &end in ends {
        let (run, rest) = memory.split_at_mut(end - done);
        runs.push(SpanMut::new(run));
        (memory, done) = (rest, end);
    }
    runs.push(SpanMut::new(memory));
    runs
}

/// A key of the one of `drivers` that is for `algorithm`.
fn key(drivers: impl Iterator<Item = Driver>, algorithm: Algorithm, multi_unit: MultiUnit) -> Skcipher {
    let key: Vec<u8> = (0..).take(algorithm.key_sizes().last().unwrap()).collect();
    let mut registry = Registry::default();
    for mut driver in drivers.filter(|driver| driver.algorithm == algorithm) {
        driver.info = DriverInfo { name: "cuts", multi_unit, ..driver.info };
        registry.register(driver);
    }
    Skcipher::new(&registry, Choice::Named("cuts"), algorithm, &key).unwrap()
}

/// The portable driver, as it is and as one that takes a unit at a time.
fn both(algorithm: Algorithm) -> [Skcipher; 2] {
    [MultiUnit::Native, MultiUnit::Split].map(|multi_unit| key(portable::drivers(), algorithm, multi_unit))
}

fn crypt(skcipher: &Skcipher, direction: Direction, data: &[u8], from: &[usize], to: &[usize]) -> Vec<u8> {
    let iv = IvRule::CounterLe64 { first: Iv::default(), stride: 1 };
    let (mut src, mut dst) = (data.to_vec(), vec![0xee; LEN]);
    let (mut from, mut into) = (cut(&mut src, from), cut(&mut dst, to));
    let (from, into) = (SpanIterMut::new(&mut from), SpanIterMut::new(&mut into));
    let mut request = Request { direction, src: from.as_iter(), dst: into, unit_size: UNIT, iv };
    skcipher.crypt(&mut request).unwrap();
    assert_eq!(src, data, "the source was written");
    dst
}

fn crypt_in_place(skcipher: &Skcipher, direction: Direction, data: &[u8], ends: &[usize]) -> Vec<u8> {
    let iv = IvRule::CounterLe64 { first: Iv::default(), stride: 1 };
    let mut bytes = data.to_vec();
    let mut runs = cut(&mut bytes, ends);
    let mut runs = SpanIterMut::new(&mut runs);
    let (src, dst) = runs.in_place();
    let mut request = Request { direction, src, dst, unit_size: UNIT, iv };
    match skcipher.later() {
        None => skcipher.crypt(&mut request).unwrap(),
        Some(later) => {
            let mut memory = vec![0; later.bytes_per_unit * UNITS];
            crypt_waiting(skcipher, &mut request, SpanMut::new(&mut memory)).unwrap();
        }
    }
    bytes
}

/// Oracle: the request in one piece, which `contract` holds against the textbook.
#[test]
fn cuts_change_no_byte() {
    let all = [
        (Cipher::CipherNull, Mode::Ecb),
        (Cipher::ChaCha20, Mode::Stream),
        (Cipher::Camellia, Mode::Cbc),
        (Cipher::Camellia, Mode::Xts),
    ];
    // Miri takes a minute or more for each of the others. They move data by the same walk.
    for (cipher, mode) in all.into_iter().take(if cfg!(miri) { 1 } else { 4 }) {
        let algorithm = Algorithm { cipher, mode };
        let data: Vec<u8> = (0..LEN).map(|at| at as u8).collect();
        let ciphers = both(algorithm);
        let secret = crypt(&ciphers[0], Direction::Encrypt, &data, &[], &[]);
        for (cipher, ends) in ciphers.iter().flat_map(|cipher| cuts().map(move |ends| (cipher, ends))) {
            let about = format!("{algorithm:?}, cut at {ends:?}");
            assert_eq!(crypt_in_place(cipher, Direction::Encrypt, &data, ends), secret, "{about}");
            assert_eq!(crypt_in_place(cipher, Direction::Decrypt, &secret, ends), data, "{about}");
            assert_eq!(crypt(cipher, Direction::Encrypt, &data, ends, CUTS[3]), secret, "{about}");
            assert_eq!(crypt(cipher, Direction::Decrypt, &secret, CUTS[2], ends), data, "{about}");
        }
    }
}

/// A job that another thread works on, in memory that its sender has cut, with descriptors in memory of the sender's.
#[test]
fn cuts_change_no_byte_of_a_job() {
    let algorithm = Algorithm { cipher: Cipher::ChaCha20, mode: Mode::Stream };
    let data: Vec<u8> = (0..LEN).map(|at| at as u8).collect();
    let engine = key(offload::drivers(), algorithm, MultiUnit::Native);
    let [portable, _] = both(algorithm);
    let secret = crypt(&portable, Direction::Encrypt, &data, &[], &[]);
    for ends in cuts() {
        assert_eq!(crypt_in_place(&engine, Direction::Encrypt, &data, ends), secret, "cut at {ends:?}");
        assert_eq!(crypt_in_place(&engine, Direction::Decrypt, &secret, ends), data, "cut at {ends:?}");
    }
}
