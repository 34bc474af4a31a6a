//! Requests over memory that is cut into several runs, few and small, so that Miri can follow every address.
//!
//! `contract` has the same for all drivers and sizes. Here are the walk, the splitter and the portable ciphers alone.

use udm_block::{SpanIterMut, SpanMut};
use udm_crypto::{
    Algorithm, Choice, Cipher, Direction, DriverInfo, Iv, IvRule, Mode, MultiUnit, Registry, Request,
    Skcipher,
};

const UNIT: usize = 64;
const UNITS: usize = 3;
const LEN: usize = UNITS * UNIT;

/// Where the runs end: in one piece, at the borders of units, within a unit, within a block, and after single bytes.
const CUTS: &[&[usize]] = &[&[], &[UNIT, 2 * UNIT], &[16, UNIT + 32], &[7, UNIT + 1], &[1, 2, 3, 3, LEN - 1]];

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

/// The portable driver, as it is and as one that takes a unit at a time.
fn both(algorithm: Algorithm) -> [Skcipher; 2] {
    let key: Vec<u8> = (0..).take(algorithm.key_sizes().last().unwrap()).collect();
    [MultiUnit::Native, MultiUnit::Split].map(|multi_unit| {
        let mut registry = Registry::default();
        for mut driver in udm_crypto::portable::drivers().filter(|driver| driver.algorithm == algorithm) {
            driver.info = DriverInfo { name: "cuts", multi_unit, ..driver.info };
            registry.register(driver);
        }
        Skcipher::new(&registry, Choice::Best, algorithm, &key).unwrap()
    })
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
    skcipher.crypt(&mut Request { direction, src, dst, unit_size: UNIT, iv }).unwrap();
    bytes
}

/// Oracle: the request in one piece, which `contract` holds against the textbook.
#[test]
fn cuts_change_no_byte() {
    // Of the ciphers with blocks of 16 bytes, this is the one that Miri runs fastest.
    let cipher = Cipher::Camellia;
    let modes = [Mode::Xts, Mode::Cbc].map(|mode| Algorithm { cipher, mode });
    for algorithm in modes.into_iter().chain([Algorithm { cipher: Cipher::CipherNull, mode: Mode::Ecb }]) {
        let data: Vec<u8> = (0..LEN).map(|at| at as u8).collect();
        let ciphers = both(algorithm);
        let secret = crypt(&ciphers[0], Direction::Encrypt, &data, &[], &[]);
        for (cipher, ends) in ciphers.iter().flat_map(|cipher| CUTS.iter().map(move |ends| (cipher, ends))) {
            let about = format!("{algorithm:?}, cut at {ends:?}");
            assert_eq!(crypt_in_place(cipher, Direction::Encrypt, &data, ends), secret, "{about}");
            assert_eq!(crypt_in_place(cipher, Direction::Decrypt, &secret, ends), data, "{about}");
            assert_eq!(crypt(cipher, Direction::Encrypt, &data, ends, CUTS[3]), secret, "{about}");
            assert_eq!(crypt(cipher, Direction::Decrypt, &secret, CUTS[2], ends), data, "{about}");
        }
    }
}
