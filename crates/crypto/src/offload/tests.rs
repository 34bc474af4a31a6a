//! Each fault of the engine: what its caller sees, that it strikes, and that the self-test finds those that it should.
//! Oracle: the portable driver.

use std::sync::Mutex;

use udm_block::{SpanIterMut, SpanMut};

use super::{Counts, Faults, counts};
use crate::algorithm::{Algorithm, Mode};
use crate::error::{CryptError, KeyError};
use crate::portable;
use crate::registry::{Choice, Registry};
use crate::request::{Direction, IvRule, Request};
use crate::skcipher::Skcipher;
use crate::waiting::crypt_waiting;

const UNIT: usize = 512;
const UNITS: usize = 8;

/// The counts are of the process.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A key in an engine with `faults`, of a registry that was tested before.
fn engine(faults: Faults) -> Skcipher {
    Registry::global().list();
    let new = || Skcipher::new(Registry::global(), Choice::Named("offload-sim"), algorithm(), &[3; 32]);
    faults.with(new).unwrap()
}

fn algorithm() -> Algorithm {
    Algorithm::aes(Mode::Cbc)
}

/// Encrypts `data` in place.
fn encrypt(
    data: &mut [u8],
    number: u64,
    by: impl FnOnce(&mut Request<'_>) -> Result<(), CryptError>,
) -> Result<(), CryptError> {
    let mut first = [0; 16];
    first[..8].copy_from_slice(&(number * 1000).to_le_bytes());
    let mut spans = [SpanMut::new(data)];
    let mut bytes = SpanIterMut::new(&mut spans);
    let (src, dst) = bytes.in_place();
    let iv = IvRule::CounterLe64 { first, stride: 1 };
    by(&mut Request { direction: Direction::Encrypt, src, dst, unit_size: UNIT, iv })
}

/// How requests ended that an engine with `faults` got, eight at a time: well, with an error, with wrong data.
fn run(faults: Faults) -> ([u64; 3], Counts) {
    let _alone = ONE_AT_A_TIME.lock().unwrap();
    println!("{faults:?}");
    let (skcipher, before) = (engine(faults), counts());
    let ends = Mutex::new([0; 3]);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (skcipher, ends) = (&skcipher, &ends);
            scope.spawn(move || {
                for number in (0..100).map(|number| thread * 100 + number) {
                    let (mut got, mut wanted) = ([5; UNITS * UNIT], [5; UNITS * UNIT]);
                    let mut memory = [0; super::DESCRIPTOR * UNITS];
                    let result = encrypt(&mut got, number, |request| {
                        crypt_waiting(skcipher, request, SpanMut::new(&mut memory))
                    });
                    let good = portable::key(algorithm(), &[3; 32]).unwrap();
                    encrypt(&mut wanted, number, |request| good.crypt(request)).unwrap();
                    let end = match result {
                        Ok(()) if got == wanted => 0,
                        Err(CryptError::Failed) => 1,
                        Ok(()) => 2,
                        Err(error) => panic!("{error}"),
                    };
                    ends.lock().unwrap()[end] += 1;
                }
            });
        }
    });
    let (after, ends) = (counts(), ends.into_inner().unwrap());
    println!("well, failed, wrong: {ends:?}");
    let since = Counts {
        single: after.single - before.single,
        several: after.several - before.several,
        late: after.late - before.late,
        overtook: after.overtook - before.overtook,
        failed: after.failed - before.failed,
        lost: after.lost - before.lost,
        redone: after.redone - before.redone,
    };
    (ends, since)
}

const NONE: Faults = Faults { seed: 0x0ff1_0ad5, ..Faults::NONE };

#[test]
fn an_engine_without_faults_serves_all_in_order() {
    let (ends, counts) = run(NONE);
    assert_eq!((ends, counts.several, counts.overtook), ([800, 0, 0], 800, 0));
}

#[test]
fn an_engine_that_is_late_or_reorders_serves_all() {
    let (ends, counts) = run(Faults { latency_us_max: 500, ..NONE });
    assert_eq!((ends, counts.overtook), ([800, 0, 0], 0));
    let (ends, counts) = run(Faults { reorders: true, latency_us_max: 500, ..NONE });
    assert_eq!(ends, [800, 0, 0]);
    assert!(counts.overtook > 50, "{counts:?}");
}

#[test]
fn an_engine_that_fails_says_so() {
    let (ends, counts) = run(Faults { fails_per_mille: 100, ..NONE });
    assert_eq!((ends[1], ends[2]), (counts.failed, 0));
    assert!((20..200).contains(&ends[1]), "{ends:?}");
}

#[test]
fn an_engine_that_loses_its_memory_begins_again_or_says_so() {
    let (ends, counts) = run(Faults { loses_per_mille: 200, ..NONE });
    assert_eq!((ends[1], ends[2]), (counts.lost, 0), "how many failed, and had wrong data");
    assert!(counts.lost > 20 && counts.redone > 20, "{counts:?}");
}

#[test]
fn an_engine_that_refuses_is_split() {
    let (ends, counts) = run(Faults { refuses: Some(UNIT), ..NONE });
    assert_eq!((ends, counts.several), ([800, 0, 0], 0));
}

#[test]
fn all_faults_at_once_give_right_bytes_or_an_error() {
    let (ends, _) = run(Faults {
        refuses: Some(UNIT),
        fails_per_mille: 5,
        reorders: true,
        latency_us_max: 300,
        loses_per_mille: 50,
        ..NONE
    });
    assert!(ends[0] > 0 && ends[1] > 0 && ends[2] == 0, "{ends:?}");
}

/// The bad twin of all of the above: the comparison finds a wrong bit.
#[test]
fn an_engine_that_lies_is_found_by_the_comparison() {
    let (ends, _) = run(Faults { lies_per_mille: 50, ..NONE });
    assert!(ends[1] == 0 && ends[2] > 10, "{ends:?}");
}

/// What is tested with faults is not used, unless they are such that the contract allows.
#[test]
fn the_self_test_finds_engines_that_fail_and_lie() {
    let _alone = ONE_AT_A_TIME.lock().unwrap();
    let tested = |faults: Faults| {
        let registry = Registry::new();
        let choice = Choice::Named("offload-sim");
        faults.with(|| Skcipher::new(&registry, choice, algorithm(), &[3; 32]).map(drop))
    };
    for faults in [
        Faults { fails_per_mille: 100, ..NONE },
        Faults { lies_per_mille: 100, ..NONE },
        Faults { loses_per_mille: 900, ..NONE },
    ] {
        let refused = tested(faults).unwrap_err();
        assert!(matches!(refused, KeyError::NotUsed { driver: "offload-sim", .. }), "{refused}");
    }
    for faults in
        [NONE, Faults { refuses: Some(UNIT), ..NONE }, Faults { reorders: true, latency_us_max: 50, ..NONE }]
    {
        tested(faults).unwrap();
    }
}
