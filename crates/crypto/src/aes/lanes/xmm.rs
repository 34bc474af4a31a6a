//! One block a register: AES-NI, with the three-operand forms of AVX.
#![allow(unsafe_code)]

use super::{Lanes, Work, group_round, operation, require};
use crate::aes::block::{Block, RoundKey};
use std::arch::x86_64::*;

/// Evidence of AES-NI and AVX.
#[derive(Clone, Copy)]
pub(in crate::aes) struct Xmm(());

impl Xmm {
    /// Evidence that comes with that of wider registers.
    ///
    /// # Safety
    /// The machine must have `aes` and `avx`.
    pub(super) unsafe fn assume() -> Self {
        Self(())
    }

    /// Each byte of `word` through the S-box.
    pub(in crate::aes) fn substitute(self, word: u32) -> u32 {
        operation!(_mm_cvtsi128_si32(_mm_aeskeygenassist_si128::<0>(_mm_set1_epi32(word as i32)))) as u32
    }

    /// A round key of encryption as the equivalent inverse cipher takes it.
    pub(in crate::aes) fn inverse_mix(self, key: &Block) -> Block {
        let mut inverse = Block::default();
        let reg = operation!(_mm_aesimc_si128(self.same(key)));
        // SAFETY: the block is as long as the register.
        unsafe { self.store(inverse.as_mut_ptr(), reg) }
        inverse
    }
}

impl Lanes for Xmm {
    type Reg = __m128i;
    const BLOCKS: usize = 1;

    fn detect() -> Result<Self, &'static str> {
        require!("aes" "AES-NI", "avx" "AVX");
        Ok(Self(()))
    }

    #[inline(always)]
    fn single(self) -> Self {
        self
    }

    fn run<W: Work<Self>>(self, work: W) {
        #[target_feature(enable = "aes,avx")]
        fn inside<W: Work<Xmm>>(lanes: Xmm, work: W) {
            work.work(lanes);
        }
        operation!(inside(self, work));
    }

    #[inline(always)]
    unsafe fn load(self, from: *const u8) -> __m128i {
        // SAFETY: by this function's contract; the load has no alignment to keep.
        unsafe { _mm_loadu_si128(from.cast()) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut u8, reg: __m128i) {
        // SAFETY: by this function's contract; the store has no alignment to keep.
        unsafe { _mm_storeu_si128(to.cast(), reg) }
    }

    #[inline(always)]
    unsafe fn gather(self, lane: impl Fn(usize) -> *const u8) -> __m128i {
        // SAFETY: by this function's contract.
        unsafe { self.load(lane(0)) }
    }

    #[inline(always)]
    unsafe fn scatter(self, lane: impl Fn(usize) -> *mut u8, reg: __m128i) {
        // SAFETY: by this function's contract.
        unsafe { self.store(lane(0), reg) }
    }

    #[inline(always)]
    fn same(self, block: &Block) -> __m128i {
        // SAFETY: the block is as long as the register.
        unsafe { self.load(block.as_ptr()) }
    }

    #[inline(always)]
    fn key(self, key: &RoundKey) -> __m128i {
        // SAFETY: a round key is as long as the widest register.
        unsafe { self.load(key.0.as_ptr().cast()) }
    }

    group_round!(xmm_reg, __m128i, "avx,aes");

    #[inline(always)]
    fn xor(self, a: __m128i, b: __m128i) -> __m128i {
        operation!(_mm_xor_si128(a, b))
    }

    #[inline(always)]
    fn xor3(self, a: __m128i, b: __m128i, c: __m128i) -> __m128i {
        self.xor(self.xor(a, b), c)
    }

    #[inline(always)]
    fn round<const ENCRYPT: bool>(self, state: __m128i, key: __m128i) -> __m128i {
        operation!(if ENCRYPT { _mm_aesenc_si128(state, key) } else { _mm_aesdec_si128(state, key) })
    }

    #[inline(always)]
    fn last<const ENCRYPT: bool>(self, state: __m128i, key: __m128i) -> __m128i {
        operation!(if ENCRYPT { _mm_aesenclast_si128(state, key) } else { _mm_aesdeclast_si128(state, key) })
    }

    #[inline(always)]
    fn behind(self, before: __m128i, _now: __m128i) -> __m128i {
        before
    }
}
