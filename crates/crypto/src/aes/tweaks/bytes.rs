//! Tweaks of XTS in the widest registers by shifts of bytes and carry-less products, for processors whose shifts of bits
//! share the port of the rounds.
//!
//! On Intel's processors port 0 executes the rounds of 512-bit registers, a round a cycle, and all shifts of bits. Shifts
//! of bytes and carry-less products have port 5, which the rounds leave alone.
//!
//! `T x^k` is `T` shifted up by `k` bits, and what falls out times the polynomial's `x^7 + x^2 + x + 1`. For `k = 8 m` both
//! parts are shifts of bytes. Register *j* of a group is the first one times x^(4 *j*), so there are two *bases*, 4 bits
//! apart: registers 0 and 1, of which the others with even and odd numbers are made.
#![allow(unsafe_code)]

use super::Tweaks;
use crate::aes::block::{Block, GROUP, RoundKey};
use crate::aes::lanes::{Lanes, Words, Work, Zmm, operation, require};
use std::arch::x86_64::*;

/// Evidence of VPCLMULQDQ and AVX-512BW.
#[derive(Clone, Copy)]
pub(in crate::aes) struct Bytes(());

/// What the tweaks of a group come of.
#[derive(Clone, Copy)]
pub(in crate::aes) struct Tweak {
    /// The tweaks of registers 0 and 1.
    bases: [__m512i; 2],
    /// What the masks have in them.
    key: __m512i,
}

impl Tweaks<Zmm> for Bytes {
    type Tweak = Tweak;

    fn detect(_: Zmm) -> Result<Self, &'static str> {
        require!("vpclmulqdq" "VPCLMULQDQ", "avx512bw" "AVX-512BW");
        Ok(Self(()))
    }

    fn run<W: Work<Zmm>>(self, lanes: Zmm, work: W) {
        #[target_feature(enable = "aes,vaes,avx512f,avx512bw,vpclmulqdq")]
        fn inside<W: Work<Zmm>>(lanes: Zmm, work: W) {
            work.work(lanes);
        }
        operation!(inside(lanes, work));
    }

    #[inline(always)]
    fn tweak(self, lanes: Zmm, first: &Block, key: &RoundKey) -> Tweak {
        let first = lanes.same(first);
        Tweak {
            bases: [times(lanes, first, &POWERS[0]), times(lanes, first, &POWERS[1])],
            key: lanes.key(key),
        }
    }

    #[inline(always)]
    unsafe fn masks(self, lanes: Zmm, tweak: &mut Tweak, at: usize, to: *mut u8) {
        let base = tweak.bases[at % 2];
        let masks = if at < 2 {
            lanes.xor(base, tweak.key)
        } else {
            let [kept, folded] = by_bytes(lanes, base, at / 2);
            lanes.xor3(kept, folded, tweak.key)
        };
        // SAFETY: by this function's contract.
        unsafe { lanes.store(to, masks) }
    }

    #[inline(always)]
    fn group_on(self, lanes: Zmm, tweak: &mut Tweak) {
        for base in &mut tweak.bases {
            let [kept, folded] = by_bytes(lanes, *base, GROUP / 2);
            *base = lanes.xor(kept, folded);
        }
    }
}

/// `tweak` times the power of x in each lane of `powers`.
#[inline(always)]
fn times(lanes: Zmm, tweak: __m512i, powers: &Words) -> __m512i {
    operation!({
        let powers = lanes.words(powers);
        let low = _mm512_clmulepi64_epi128::<0x00>(tweak, powers);
        let high = _mm512_clmulepi64_epi128::<0x01>(tweak, powers);
        // The high half's product is 64 bits further up, where its own high half is out of the tweak.
        let folded = _mm512_clmulepi64_epi128::<0x01>(high, lanes.words(&FOLD));
        lanes.xor3(low, folded, _mm512_bslli_epi128::<8>(high))
    })
}

/// What `tweak` times x^(8 `bytes`) is the sum of; `bytes` is 1 to 4.
#[inline(always)]
fn by_bytes(lanes: Zmm, tweak: __m512i, bytes: usize) -> [__m512i; 2] {
    operation!({
        let [kept, lost] = match bytes {
            1 => [_mm512_bslli_epi128::<1>(tweak), _mm512_bsrli_epi128::<15>(tweak)],
            2 => [_mm512_bslli_epi128::<2>(tweak), _mm512_bsrli_epi128::<14>(tweak)],
            3 => [_mm512_bslli_epi128::<3>(tweak), _mm512_bsrli_epi128::<13>(tweak)],
            _ => [_mm512_bslli_epi128::<4>(tweak), _mm512_bsrli_epi128::<12>(tweak)],
        };
        [kept, _mm512_clmulepi64_epi128::<0x00>(lost, lanes.words(&FOLD))]
    })
}

/// The powers of x of each lane, in registers 0 and 1.
static POWERS: [Words; 2] = [
    Words([1 << 0, 0, 1 << 1, 0, 1 << 2, 0, 1 << 3, 0]),
    Words([1 << 4, 0, 1 << 5, 0, 1 << 6, 0, 1 << 7, 0]),
];

/// What x^128 is.
static FOLD: Words = Words([0x87, 0, 0x87, 0, 0x87, 0, 0x87, 0]);
