//! All drivers, native and split, make the bytes of the textbook, however units, IVs and spans are cut.

use crate::contract::bytes::{Cut, Random};
use crate::contract::oracle;
use std::sync::OnceLock;
use udm_block::{SpanIterMut, SpanMut};
use udm_crypto::threads::with_parts_of;
use udm_crypto::waiting::crypt_waiting;
use udm_crypto::{
    Algorithm, Choice, Cipher, Direction, DriverInfo, Iv, IvRule, KeyError, Mode, MultiUnit, Registry,
    Request, Skcipher, Standing, WideIv,
};

/// The program's drivers, and the portable one again as one that gets single units.
fn registry() -> &'static Registry {
    static REGISTRY: OnceLock<Registry> = OnceLock::new();
    REGISTRY.get_or_init(|| {
        let mut registry = Registry::new();
        for mut driver in udm_crypto::portable::drivers() {
            driver.info =
                DriverInfo { name: "split", multi_unit: MultiUnit::Split, priority: 1, ..driver.info };
            registry.register(driver);
        }
        registry
    })
}

/// Every driver that takes the key.
fn drivers(algorithm: Algorithm, key: &[u8]) -> Vec<Skcipher> {
    let lines = registry().list();
    let able = lines
        .iter()
        .filter(|line| line.algorithm == algorithm && !matches!(line.standing, Standing::Lacking(_)));
    let drivers: Vec<_> = able
        .map(|line| line.info.name)
        // Short requests are spread too.
        .filter_map(|name| {
            match with_parts_of(1000, || Skcipher::new(registry(), Choice::Named(name), algorithm, key)) {
                Ok(skcipher) => Some(skcipher),
                Err(KeyError::Refused { driver: "aws-lc", .. }) => None,
                Err(error) => panic!("{error}"),
            }
        })
        .collect();
    assert!(drivers.len() >= 4);
    drivers
}

/// Carries out one request in place and one elsewhere, and compares with `expected`.
fn check(
    skcipher: &Skcipher,
    (direction, unit_size, iv): (Direction, usize, IvRule<'_>),
    (cut_src, cut_dst): (Cut, Cut),
    data: &[u8],
    expected: &[u8],
) {
    let (mut src, mut dst) = (data.to_vec(), vec![0xee; data.len()]);
    {
        let (mut from, mut to) = (cut_src.spans(&mut src, unit_size), cut_dst.spans(&mut dst, unit_size));
        let (from, dst) = (SpanIterMut::new(&mut from), SpanIterMut::new(&mut to));
        crypt(skcipher, &mut Request { direction, src: from.as_iter(), dst, unit_size, iv });
    }
    let about =
        format!("{skcipher:?} {direction:?} units of {unit_size}, {iv:?}, cut {cut_src:?} to {cut_dst:?}");
    assert!(dst == expected, "{about}");
    assert!(src == data, "the source was written: {about}");
    {
        let mut spans = cut_dst.spans(&mut src, unit_size);
        let mut bytes = SpanIterMut::new(&mut spans);
        let (src, dst) = bytes.in_place();
        crypt(skcipher, &mut Request { direction, src, dst, unit_size, iv });
    }
    assert!(src == expected, "in place: {about}");
}

/// Carries a request out, as a job where the driver is asynchronous.
fn crypt(skcipher: &Skcipher, request: &mut Request<'_>) {
    match skcipher.later() {
        None => skcipher.crypt(request).unwrap(),
        Some(later) => {
            let mut memory = vec![0; later.bytes_per_unit * request.units()];
            crypt_waiting(skcipher, request, SpanMut::new(&mut memory)).unwrap();
        }
    }
}

/// A rule for `units` units, half the time one that ends where it would wrap next.
fn rule<'a>(random: &mut Random, units: usize, vector: &'a [Iv]) -> IvRule<'a> {
    let mut first: Iv = random.bytes(16).try_into().unwrap();
    let steps = units as u64 - 1;
    let widest = u64::MAX / steps.max(1);
    let stride = random.pick(&[0, 1, 1, 8, 1 << 31, 1 << 32, u64::MAX]).min(widest);
    let latest = u64::MAX - steps * stride;
    let begin = random.pick(&[latest, random.0 % latest.max(1)]);
    match random.below(6) {
        0 => {
            // Half the time its sum with the last step is 2^128 - 1, else the low half carries into the upper.
            let stride = random.pick(&[1, 8, u64::MAX, random.0]);
            let last = u128::MAX - u128::from(steps) * u128::from(stride);
            IvRule::CounterLe128 { first: random.pick(&[last, last >> 1]).to_le_bytes(), stride }
        }
        1 => {
            first[..8].copy_from_slice(&begin.to_le_bytes());
            IvRule::CounterLe64 { first, stride }
        }
        2 => {
            let stride = stride.min(8);
            first[..4].copy_from_slice(&(u32::MAX - (steps * stride) as u32).to_le_bytes());
            IvRule::CounterLe32 { first, stride }
        }
        3 => {
            first[8..].copy_from_slice(&begin.to_be_bytes());
            IvRule::CounterBe64 { first, stride }
        }
        4 => IvRule::Constant(first),
        _ => IvRule::Vector(&vector[..units]),
    }
}

/// The other tests here leave out the drivers that this machine cannot run: which these are is told.
#[test]
fn drivers_that_cannot_run_here_are_told() {
    let mut lacking: Vec<_> = registry()
        .list()
        .into_iter()
        .filter_map(|line| match line.standing {
            Standing::Lacking(what) => Some((line.info.name, what)),
            _ => None,
        })
        .collect();
    lacking.sort_unstable();
    lacking.dedup();
    for (driver, what) in lacking {
        let driver = format!("driver {driver}");
        udm_testkit::skip_for_machine(&driver, format!("this processor lacks {what}"));
    }
}

/// Oracle: the textbook's loops in `oracle`.
#[test]
fn random_requests_match_the_textbook() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0x1619_2007);
    println!("SEED={seed}");
    let mut random = Random(seed);
    for round in 0..1600 {
        let algorithm = random.pick(&Algorithm::ALL);
        let sizes: Vec<_> = algorithm.key_sizes().collect();
        let size = random.pick(&sizes);
        let key = random.bytes(size);
        // Adiantum needs 16 bytes, and they are multiples of all blocks; others also take any number of their own.
        let any = 16 * (1 + random.below(256));
        let block = algorithm.cipher.block_size();
        let blocks = block * (1 + random.below(200));
        let unit_size = random.pick(&[16, 32, 512, 512, 1024, 4096, any, blocks]);
        let units = 1 + random.below((40_000 / unit_size).clamp(1, 150));
        let vector: Vec<Iv> = (0..units).map(|_| random.bytes(16).try_into().unwrap()).collect();
        let wide: Vec<WideIv> = (0..units).map(|_| random.bytes(32).try_into().unwrap()).collect();
        let iv = match random.below(7) {
            0 => IvRule::WideVector(&wide),
            _ => rule(&mut random, units, &vector),
        };
        let direction = random.pick(&[Direction::Encrypt, Direction::Decrypt]);
        let data = random.bytes(units * unit_size);
        let expected = oracle::crypt(algorithm, &key, direction, unit_size, &iv, &data);
        let cuts = Cut::all(round);
        for skcipher in drivers(algorithm, &key) {
            check(
                &skcipher,
                (direction, unit_size, iv),
                (random.pick(&cuts), random.pick(&cuts)),
                &data,
                &expected,
            );
        }
    }
}

/// Oracle: the textbook. Every cut of the source against every cut of the destination, at unit sizes on both sides of a
/// batch of 64 blocks. The modes are the same code for every block cipher, so most have a few sizes only.
#[test]
fn every_cut_of_source_and_destination_gives_the_same_bytes() {
    let mut random = Random(38);
    for algorithm in Algorithm::ALL {
        let key = random.bytes(algorithm.key_sizes().last().unwrap());
        let shapes: &[_] = match algorithm.cipher {
            Cipher::Serpent | Cipher::Camellia | Cipher::Cast6 | Cipher::Des3Ede | Cipher::Blowfish => {
                &[(48, 3), (512, 2)]
            }
            _ => &[(16, 67), (48, 5), (512, 3), (1040, 2), (4096, 2)],
        };
        for &(unit_size, units) in shapes {
            let data = random.bytes(unit_size * units);
            let iv = IvRule::CounterLe64 { first: [9; 16], stride: 8 };
            for direction in [Direction::Encrypt, Direction::Decrypt] {
                let expected = oracle::crypt(algorithm, &key, direction, unit_size, &iv, &data);
                for skcipher in drivers(algorithm, &key) {
                    for src in Cut::all(1) {
                        for dst in Cut::all(2) {
                            check(&skcipher, (direction, unit_size, iv), (src, dst), &data, &expected);
                        }
                    }
                }
            }
        }
    }
}

/// Many threads use one key at once, more than there are contexts in a library's set. Oracle: the textbook.
#[test]
fn one_key_serves_many_threads() {
    let mut random = Random(7);
    let algorithm = Algorithm::aes(Mode::Xts);
    let key = random.bytes(64);
    let data = random.bytes(16 * 512);
    let iv = IvRule::CounterLe64 { first: [0; 16], stride: 1 };
    let expected = oracle::crypt(algorithm, &key, Direction::Encrypt, 512, &iv, &data);
    for skcipher in drivers(algorithm, &key) {
        std::thread::scope(|scope| {
            for _ in 0..24 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let request = (Direction::Encrypt, 512, iv);
                        check(&skcipher, request, (Cut::Whole, Cut::Behind), &data, &expected);
                    }
                });
            }
        });
    }
}

/// Keys with equal halves, which dm-crypt takes: AWS-LC refuses them, and every other driver serves them.
#[test]
fn equal_xts_halves_are_served() {
    let algorithm = Algorithm::aes(Mode::Xts);
    for size in algorithm.key_sizes() {
        let key = vec![0x55; size];
        let iv = IvRule::Constant([1; 16]);
        let data = Random(3).bytes(1024);
        let expected = oracle::crypt(algorithm, &key, Direction::Encrypt, 512, &iv, &data);
        for skcipher in drivers(algorithm, &key) {
            assert_ne!(skcipher.driver().name, "aws-lc");
            check(&skcipher, (Direction::Encrypt, 512, iv), (Cut::Whole, Cut::Whole), &data, &expected);
        }
        let best = Skcipher::new(Registry::global(), Choice::Best, algorithm, &key).unwrap();
        assert_ne!(best.driver().name, "aws-lc");
        let refused =
            Skcipher::new(Registry::global(), Choice::Named("aws-lc"), algorithm, &key).unwrap_err();
        assert!(matches!(refused, KeyError::Refused { driver: "aws-lc", .. }));
    }
    for cipher in [Cipher::Serpent, Cipher::Twofish, Cipher::Camellia, Cipher::Cast6] {
        let algorithm = Algorithm::new(Mode::Xts, cipher).unwrap();
        Skcipher::new(Registry::global(), Choice::Best, algorithm, &[0x55; 64]).unwrap();
    }
}

/// Triple DES with equal keys, which the kernel takes from dm-crypt though it is single DES then. Oracle: the `des`
/// crate's single DES; bad twin: three different keys.
#[test]
fn equal_des_keys_are_served() {
    use aes::cipher::{BlockCipherEncrypt, KeyInit};
    let algorithm = Algorithm::new(Mode::Ecb, Cipher::Des3Ede).unwrap();
    let one = *b"\x13\x34\x57\x79\x9b\xbc\xdf\xf1";
    let data = Random(3).bytes(64);
    let mut expected = data.clone();
    let single = des::Des::new(&one.into());
    for block in expected.chunks_mut(8) {
        single.encrypt_block(block.try_into().unwrap());
    }
    let request = (Direction::Encrypt, 64, IvRule::Constant([0; 16]));
    let skcipher = |key: &[u8]| Skcipher::new(Registry::global(), Choice::Best, algorithm, key).unwrap();
    check(&skcipher(&one.repeat(3)), request, (Cut::Whole, Cut::Whole), &data, &expected);
    let mut other = one.repeat(3);
    other[12] ^= 2;
    let different = oracle::crypt(algorithm, &other, Direction::Encrypt, 64, &request.2, &data);
    check(&skcipher(&other), request, (Cut::Whole, Cut::Whole), &data, &different);
    assert_ne!(different, expected);
}
