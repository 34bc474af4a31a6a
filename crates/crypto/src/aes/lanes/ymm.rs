//! Two blocks a register: VAES on 256 bits, for machines without AVX-512.
#![allow(unsafe_code)]

use super::{Lanes, Work, Xmm, group_round, operation, require};
use crate::aes::block::{Block, RoundKey};
use std::arch::x86_64::*;

/// Evidence of VAES and AVX2, and of all that [`Xmm`] is evidence of.
#[derive(Clone, Copy)]
pub(in crate::aes) struct Ymm(());

impl Lanes for Ymm {
    type Reg = __m256i;
    const BLOCKS: usize = 2;

    fn detect() -> Result<Self, &'static str> {
        Xmm::detect()?;
        require!("avx2" "AVX2", "vaes" "VAES");
        Ok(Self(()))
    }

    #[inline(always)]
    fn single(self) -> Xmm {
        // SAFETY: `detect` made this after it had found the features of `Xmm`.
        unsafe { Xmm::assume() }
    }

    fn run<W: Work<Self>>(self, work: W) {
        #[target_feature(enable = "aes,avx2,vaes")]
        fn inside<W: Work<Ymm>>(lanes: Ymm, work: W) {
            work.work(lanes);
        }
        operation!(inside(self, work));
    }

    #[inline(always)]
    unsafe fn load(self, from: *const u8) -> __m256i {
        // SAFETY: by this function's contract; the load has no alignment to keep.
        unsafe { _mm256_loadu_si256(from.cast()) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut u8, reg: __m256i) {
        // SAFETY: by this function's contract; the store has no alignment to keep.
        unsafe { _mm256_storeu_si256(to.cast(), reg) }
    }

    #[inline(always)]
    unsafe fn gather(self, lane: impl Fn(usize) -> *const u8) -> __m256i {
        // SAFETY: by this function's contract.
        let [low, high] = unsafe { [self.single().load(lane(0)), self.single().load(lane(1))] };
        operation!(_mm256_set_m128i(high, low))
    }

    #[inline(always)]
    unsafe fn scatter(self, lane: impl Fn(usize) -> *mut u8, reg: __m256i) {
        let (low, high) = operation!((_mm256_castsi256_si128(reg), _mm256_extracti128_si256::<1>(reg)));
        // SAFETY: by this function's contract.
        unsafe {
            self.single().store(lane(0), low);
            self.single().store(lane(1), high);
        }
    }

    #[inline(always)]
    fn same(self, block: &Block) -> __m256i {
        operation!(_mm256_broadcastsi128_si256(self.single().same(block)))
    }

    #[inline(always)]
    fn key(self, key: &RoundKey) -> __m256i {
        // SAFETY: a round key is as long as the widest register.
        unsafe { self.load(key.0.as_ptr().cast()) }
    }

    group_round!(ymm_reg, __m256i, "avx,vaes");

    #[inline(always)]
    fn xor(self, a: __m256i, b: __m256i) -> __m256i {
        operation!(_mm256_xor_si256(a, b))
    }

    #[inline(always)]
    fn xor3(self, a: __m256i, b: __m256i, c: __m256i) -> __m256i {
        self.xor(self.xor(a, b), c)
    }

    #[inline(always)]
    fn round<const ENCRYPT: bool>(self, state: __m256i, key: __m256i) -> __m256i {
        operation!(if ENCRYPT { _mm256_aesenc_epi128(state, key) } else { _mm256_aesdec_epi128(state, key) })
    }

    #[inline(always)]
    fn last<const ENCRYPT: bool>(self, state: __m256i, key: __m256i) -> __m256i {
        operation!(if ENCRYPT {
            _mm256_aesenclast_epi128(state, key)
        } else {
            _mm256_aesdeclast_epi128(state, key)
        })
    }

    #[inline(always)]
    fn behind(self, before: __m256i, now: __m256i) -> __m256i {
        operation!(_mm256_permute2x128_si256::<0x21>(before, now))
    }
}
