//! Four blocks a register: VAES on the 512 bits of AVX-512.
#![allow(unsafe_code)]

use super::{Lanes, Work, Xmm, Ymm, group_round, operation, require};
use crate::aes::block::{Block, Blocks, RoundKey};
use std::arch::x86_64::*;

/// Evidence of AVX-512F, and of all that [`Ymm`] is evidence of.
#[derive(Clone, Copy)]
pub(in crate::aes) struct Zmm(());

/// A register's worth of constant 64-bit words, of which a lane has two.
#[repr(align(64))]
pub(in crate::aes) struct Words(pub [u64; 8]);

impl Zmm {
    /// A constant in a register.
    #[inline(always)]
    pub(in crate::aes) fn words(self, words: &Words) -> __m512i {
        // SAFETY: they are as long as a register.
        unsafe { self.load(words.0.as_ptr().cast()) }
    }
}

impl Lanes for Zmm {
    type Reg = __m512i;
    const BLOCKS: usize = 4;

    fn detect() -> Result<Self, &'static str> {
        Ymm::detect()?;
        require!("avx512f" "AVX-512F");
        Ok(Self(()))
    }

    #[inline(always)]
    fn single(self) -> Xmm {
        // SAFETY: `detect` made this after it had found the features of `Ymm`, and those of `Xmm` before.
        unsafe { Xmm::assume() }
    }

    fn run<W: Work<Self>>(self, work: W) {
        #[target_feature(enable = "aes,vaes,avx512f")]
        fn inside<W: Work<Zmm>>(lanes: Zmm, work: W) {
            work.work(lanes);
        }
        operation!(inside(self, work));
    }

    #[inline(always)]
    unsafe fn load(self, from: *const u8) -> __m512i {
        // SAFETY: by this function's contract; the load has no alignment to keep.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut u8, reg: __m512i) {
        // SAFETY: by this function's contract; the store has no alignment to keep.
        unsafe { _mm512_storeu_si512(to.cast(), reg) }
    }

    #[inline(always)]
    unsafe fn gather(self, lane: impl Fn(usize) -> *const u8) -> __m512i {
        let one = self.single();
        // SAFETY: by this function's contract.
        let [a, b, c, d] =
            unsafe { [one.load(lane(0)), one.load(lane(1)), one.load(lane(2)), one.load(lane(3))] };
        operation!({
            let low = _mm512_inserti32x4::<1>(_mm512_castsi128_si512(a), b);
            _mm512_inserti32x4::<3>(_mm512_inserti32x4::<2>(low, c), d)
        })
    }

    #[inline(always)]
    unsafe fn scatter(self, lane: impl Fn(usize) -> *mut u8, reg: __m512i) {
        let one = self.single();
        let (a, b) = operation!((_mm512_castsi512_si128(reg), _mm512_extracti32x4_epi32::<1>(reg)));
        let (c, d) = operation!((_mm512_extracti32x4_epi32::<2>(reg), _mm512_extracti32x4_epi32::<3>(reg)));
        // SAFETY: by this function's contract.
        unsafe {
            one.store(lane(0), a);
            one.store(lane(1), b);
            one.store(lane(2), c);
            one.store(lane(3), d);
        }
    }

    #[inline(always)]
    fn same(self, block: &Block) -> __m512i {
        operation!(_mm512_broadcast_i32x4(self.single().same(block)))
    }

    #[inline(always)]
    fn key(self, key: &RoundKey) -> __m512i {
        // SAFETY: a round key is as long as the widest register.
        unsafe { self.load(key.0.as_ptr().cast()) }
    }

    group_round!(zmm_reg, __m512i, "avx512f,vaes");

    #[inline(always)]
    fn xor(self, a: __m512i, b: __m512i) -> __m512i {
        operation!(_mm512_xor_si512(a, b))
    }

    #[inline(always)]
    fn xor3(self, a: __m512i, b: __m512i, c: __m512i) -> __m512i {
        // The table of `a ^ b ^ c`.
        operation!(_mm512_ternarylogic_epi64::<0x96>(a, b, c))
    }

    #[inline(always)]
    fn round<const ENCRYPT: bool>(self, state: __m512i, key: __m512i) -> __m512i {
        operation!(if ENCRYPT { _mm512_aesenc_epi128(state, key) } else { _mm512_aesdec_epi128(state, key) })
    }

    #[inline(always)]
    fn last<const ENCRYPT: bool>(self, state: __m512i, key: __m512i) -> __m512i {
        operation!(if ENCRYPT {
            _mm512_aesenclast_epi128(state, key)
        } else {
            _mm512_aesdeclast_epi128(state, key)
        })
    }

    #[inline(always)]
    fn count(self, blocks: &mut Blocks, first: u64, stride: u64, high: u64) {
        let [first, stride, high] = [first, stride, high].map(u64::cast_signed);
        let lane = |at: i64| first.wrapping_add(stride.wrapping_mul(at));
        // Whole registers are written: they are read as such at once.
        operation!({
            let step = _mm512_maskz_set1_epi64(0x55, stride.wrapping_mul(4));
            let mut count = _mm512_set_epi64(high, lane(3), high, lane(2), high, lane(1), high, first);
            for four in blocks.chunks_exact_mut(4) {
                self.store(four.as_mut_ptr().cast(), count);
                count = _mm512_add_epi64(count, step);
            }
        });
    }

    #[inline(always)]
    fn behind(self, before: __m512i, now: __m512i) -> __m512i {
        operation!(_mm512_alignr_epi64::<6>(now, before))
    }
}
