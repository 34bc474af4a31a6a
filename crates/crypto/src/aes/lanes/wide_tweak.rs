//! Tweaks of XTS in the widest registers, whose blocks are done too soon for one tweak after the other.
//!
//! Only the rounds' own two pipes do carryless products, and other instructions of bytes share one of them. Shifts and
//! sums of whole words have the other two, so all that is done for each register is made of these.
//!
//! For a tweak `T` of the halves `low` and `high`, `T x^k` for `k` up to 31 is the sum of:
//! - both halves shifted by `k`, with what the low half loses in the high one,
//! - what the high half loses times the polynomial's `x^7 + x^2 + x + 1`, in the low one.
//!
//! The latter is nearly a part of `high (x^7 + x^2 + x + 1)`, which is one product for all `k`: its bits from 64 - `k` on.
//! But these also have what the lower bits carry over: 7 bits, which depend on the 7 bits of `high` below those that
//! are lost. All of them are made at once, a byte for each block of the group, and subtracted.
#![allow(unsafe_code)]

use super::{Lanes, Zmm, operation};
use crate::aes::rounds::GROUP;
use std::arch::x86_64::*;

/// What the tweaks of 32 blocks come of, in every lane.
#[derive(Clone, Copy)]
pub(in crate::aes) struct Tweak {
    /// That of the first of them.
    first: __m512i,
    /// What is shifted to the left: the tweak, with the product's upper half in its low one.
    left: __m512i,
    /// What is shifted in from the right: the product's lower half, and the tweak's.
    right: __m512i,
    /// What is carried over: byte *j* of lane *i* is for lane *i* of register *j*.
    over: __m512i,
}

impl Tweak {
    /// Of a tweak in every lane.
    #[inline(always)]
    pub(super) fn new(lanes: Zmm, tweak: __m512i) -> Self {
        operation!({
            let swapped = _mm512_shuffle_epi32::<SWAP>(tweak);
            let product = _mm512_clmulepi64_epi128::<0x01>(tweak, _mm512_set1_epi64(0x87));
            let upper = _mm512_maskz_shuffle_epi32::<SWAP>(0x3333, product);
            let below = _mm512_multishift_epi64_epi8(words(&BELOW), swapped);
            Self {
                first: tweak,
                left: lanes.xor(tweak, upper),
                right: _mm512_mask_mov_epi64(product, 0xaa, swapped),
                over: _mm512_gf2p8affine_epi64_epi8::<0>(below, _mm512_set1_epi64(CARRIED_OVER)),
            }
        })
    }

    /// The tweaks of register `at` of the group, with `key` added.
    #[inline(always)]
    pub(super) fn masks(&self, lanes: Zmm, at: usize, key: __m512i) -> __m512i {
        operation!({
            let left = _mm512_sllv_epi64(self.left, words(&LEFT[at]));
            let right = _mm512_srlv_epi64(self.right, words(&RIGHT[at]));
            let over = _mm512_srl_epi64(self.over, _mm_cvtsi64_si128(8 * at as i64));
            // The table of `a ^ (b & c)`.
            _mm512_ternarylogic_epi64::<0x78>(lanes.xor3(left, right, key), over, words(&LOW_BYTE))
        })
    }

    /// Times x^32, by 32-bit words: all move up by one, and the last comes back times the polynomial.
    #[inline(always)]
    pub(super) fn group_on(self, lanes: Zmm) -> Self {
        operation!({
            let turned = _mm512_shuffle_epi32::<UP>(self.first);
            let last = _mm512_maskz_shuffle_epi32::<UP>(0x1111, self.first);
            let sum = lanes.xor3(turned, _mm512_slli_epi64::<1>(last), _mm512_slli_epi64::<2>(last));
            Self::new(lanes, lanes.xor(sum, _mm512_slli_epi64::<7>(last)))
        })
    }
}

/// A register's worth of 64-bit words, of which a lane has two.
#[repr(align(64))]
struct Words([u64; 8]);

/// The order of 32-bit words that swaps a lane's halves, and the one that moves all up by one.
const SWAP: i32 = 0b01_00_11_10;
const UP: i32 = 0b10_01_00_11;

/// By how many bits lane *i* of register *j* is shifted: 4 *j* + *i*.
static LEFT: [Words; GROUP] = shifts(false);

/// The rest of 64; by 64 bits anything becomes 0.
static RIGHT: [Words; GROUP] = shifts(true);

/// The low half's lowest byte.
static LOW_BYTE: Words = Words([0xff, 0, 0xff, 0, 0xff, 0, 0xff, 0]);

/// For byte *j* of lane *i*, where in the high half the 7 bits are below those that are lost.
static BELOW: Words = below();

/// The matrix for the product's bits 7 to 13 of a byte's bits 0 to 6: bit *i* is the sum of *i*, *i* + 5 and *i* + 6.
/// Its rows are for bits 0 to 7, from the highest byte on.
const CARRIED_OVER: i64 = 0x6142_0408_1020_4000;

const fn shifts(rest: bool) -> [Words; GROUP] {
    let mut shifts = [const { Words([0; 8]) }; GROUP];
    let mut at = 0;
    while at < GROUP * 8 {
        let by = at as u64 / 2;
        shifts[at / 8].0[at % 8] = if rest { 64 - by } else { by };
        at += 1;
    }
    shifts
}

const fn below() -> Words {
    let mut words = [0; 8];
    let mut block = 0;
    while block < GROUP * 4 {
        let (lane, reg) = (block % 4, block / 4);
        words[lane * 2] |= (57 - block as u64) << (8 * reg);
        block += 1;
    }
    Words(words)
}

#[inline(always)]
fn words(words: &Words) -> __m512i {
    // SAFETY: they are as long as a register, which any of their values fits; the machine has it where a `Zmm` is.
    unsafe { _mm512_loadu_si512(words.0.as_ptr().cast()) }
}
