//! What a request may say, and what its IV rule gives.

use crate::contract::bytes::Random;
use crate::contract::oracle;
use udm_block::{Span, SpanIter, SpanIterMut, SpanMut};
use udm_crypto::{
    Algorithm, Choice, CryptError, Direction, Iv, IvRule, MAX_UNIT_SIZE, Mode, Registry, Request, Skcipher,
};

/// Whether a request of these sizes is carried out; where not, that it wrote nothing. Oracle: `Request`'s contract.
fn taken(mode: Mode, (src, dst, unit_size): (usize, usize, usize), iv: IvRule<'_>) -> bool {
    let key = [[1; 16], [2; 16]].concat();
    let skcipher = Skcipher::new(Registry::global(), Choice::Best, Algorithm::aes(mode), &key).unwrap();
    let (from, mut to) = (vec![3; src], vec![0xee; dst]);
    let (src, mut dst) = ([Span::new(&from)], [SpanMut::new(&mut to)]);
    let (src, dst) = (SpanIter::new(&src), SpanIterMut::new(&mut dst));
    match skcipher.crypt(&mut Request { direction: Direction::Encrypt, src, dst, unit_size, iv }) {
        Ok(()) => true,
        Err(error) => {
            assert_eq!(error, CryptError::InvalidRequest);
            assert!(to.iter().all(|byte| *byte == 0xee), "a refused request wrote something");
            false
        }
    }
}

#[test]
fn sizes_are_checked() {
    let null = IvRule::Constant([0; 16]);
    for mode in [Mode::Xts, Mode::Cbc, Mode::Ecb] {
        let valid = [
            (16, 16, 16),
            (48, 48, 48),
            (1024, 1024, 512),
            (8192, 8192, MAX_UNIT_SIZE),
            (4096, 4096, 4080 / 255),
        ];
        for sizes in valid {
            assert!(taken(mode, sizes, null), "{mode:?} {sizes:?}");
        }
        let invalid = [
            (0, 0, 512),
            (512, 512, 0),
            (0, 0, 0),
            (512, 1024, 512),
            (1024, 512, 512),
            (513, 513, 512),
            (520, 520, 520),
            (8, 8, 8),
            (24, 24, 24),
            (1536, 1536, 1024),
            (256, 256, 512),
            (8192, 8192, 8192),
            (MAX_UNIT_SIZE + 16, MAX_UNIT_SIZE + 16, MAX_UNIT_SIZE + 16),
        ];
        for sizes in invalid {
            assert!(!taken(mode, sizes, null), "{mode:?} {sizes:?}");
        }
    }
}

/// Each counter with the last first IV that it does not wrap from, and its bad twin, one later.
#[test]
fn a_counter_that_would_wrap_is_refused() {
    let le64 = |number: u64| -> Iv {
        std::array::from_fn(|at| number.to_le_bytes().get(at).copied().unwrap_or(0xaa))
    };
    let le32 = |number: u32| -> Iv {
        std::array::from_fn(|at| number.to_le_bytes().get(at).copied().unwrap_or(0xff))
    };
    let be64 = |number: u64| -> Iv {
        let mut iv = [0xff; 16];
        iv[8..].copy_from_slice(&number.to_be_bytes());
        iv
    };
    // Four units: three steps.
    let sizes = (64, 64, 16);
    for stride in [1, 8, u64::from(u32::MAX), u64::MAX / 3] {
        let last = u64::MAX - 3 * stride;
        let wide = u128::MAX - 3 * u128::from(stride);
        let mut pairs = vec![
            (
                IvRule::CounterLe128 { first: wide.to_le_bytes(), stride },
                wide.checked_add(1).map(|wide| IvRule::CounterLe128 { first: wide.to_le_bytes(), stride }),
            ),
            (
                IvRule::CounterLe64 { first: le64(last), stride },
                last.checked_add(1).map(|last| IvRule::CounterLe64 { first: le64(last), stride }),
            ),
            (
                IvRule::CounterBe64 { first: be64(last), stride },
                last.checked_add(1).map(|last| IvRule::CounterBe64 { first: be64(last), stride }),
            ),
        ];
        if stride <= 8 {
            let last = u32::MAX - 3 * stride as u32;
            let later = Some(IvRule::CounterLe32 { first: le32(last + 1), stride });
            pairs.push((IvRule::CounterLe32 { first: le32(last), stride }, later));
        }
        for (good, bad) in pairs {
            assert!(taken(Mode::Xts, sizes, good), "{good:?}");
            assert_eq!(good.units_until_wrap(), 4, "{good:?}");
            if let Some(bad) = bad {
                assert!(!taken(Mode::Xts, sizes, bad), "{bad:?}");
                assert_eq!(bad.units_until_wrap(), 3, "{bad:?}");
            }
        }
    }
    assert!(!taken(Mode::Xts, sizes, IvRule::CounterLe64 { first: [0; 16], stride: u64::MAX }));
    assert!(!taken(Mode::Xts, sizes, IvRule::CounterLe32 { first: [0; 16], stride: 1 << 32 }));
    assert!(taken(Mode::Xts, (16, 16, 16), IvRule::CounterLe32 { first: [0xff; 16], stride: 1 << 32 }));
    assert_eq!(IvRule::CounterLe64 { first: [0xff; 16], stride: 0 }.units_until_wrap(), usize::MAX);
}

#[test]
fn a_vector_has_one_iv_a_unit() {
    let ivs = [[0; 16], [1; 16], [2; 16]];
    assert!(taken(Mode::Cbc, (48, 48, 16), IvRule::Vector(&ivs)));
    assert!(!taken(Mode::Cbc, (48, 48, 16), IvRule::Vector(&ivs[..2])));
    assert!(!taken(Mode::Cbc, (32, 32, 16), IvRule::Vector(&ivs)));
    assert_eq!(IvRule::Vector(&ivs).units_until_wrap(), 3);
}

/// Oracle: addition byte by byte. Counters leave the bytes alone that are not theirs.
#[test]
fn ivs_are_those_of_byte_by_byte_addition() {
    let mut random = Random(128);
    for _ in 0..50 {
        let mut first: Iv = random.bytes(16).try_into().unwrap();
        // So that neither end wraps within the units below, with room for carries in between.
        (first[3], first[7], first[15], first[8]) = (0x10, 0x10, 0x10, 0x10);
        let stride = random.next() >> 24;
        let rules = [
            IvRule::CounterLe128 { first, stride: random.next() },
            IvRule::CounterLe64 { first, stride },
            IvRule::CounterLe32 { first, stride: stride & 0xff_ffff },
            IvRule::CounterBe64 { first, stride },
            IvRule::Constant(first),
        ];
        for rule in rules {
            let mut ivs = [Iv::default(); 40];
            rule.fill(60, &mut ivs);
            for (unit, iv) in (60..).zip(ivs) {
                assert_eq!(iv, oracle::iv_of(&rule, unit), "{rule:?} unit {unit}");
                assert_eq!(iv, rule.iv(unit));
            }
        }
    }
}
