//! Tweaks of XTS in the widest registers by shifts of bits, for processors whose rounds share no port with these.
//!
//! On Zen 5 only the rounds' own two ports do carry-less products, and other instructions of bytes share one of them.
//! Shifts and XORs of whole words have the other two, and so all is made of these, and of few.
//!
//! For a tweak `T` of the halves `low` and `high`, `T x^k` for `k` up to 32 is the sum of:
//! - both halves shifted by `k`, with what the low half loses in the high one,
//! - what the high half loses times the polynomial's `x^7 + x^2 + x + 1`, in the low one.
//!
//! The latter is nearly a part of `high (x^7 + x^2 + x + 1)`, which is one product for all `k`: its bits from 64 - `k` on.
//! But the last 7 of these also have what the bits below carry over, the *window* of the 7 bits of `high` below those that
//! are lost. It is made in place for all windows 8 bits apart at once, and subtracted in the window that counts.
#![allow(unsafe_code)]

use super::Tweaks;
use crate::aes::block::{Block, GROUP, RoundKey};
use crate::aes::lanes::{Lanes, Words, Work, Zmm, operation};
use std::arch::asm;
use std::arch::x86_64::*;

/// The way, which needs no more than [`Zmm`] is evidence of.
#[derive(Clone, Copy)]
pub(in crate::aes) struct Shifts;

impl Tweaks<Zmm> for Shifts {
    type Tweak = Tweak;

    fn detect(_: Zmm) -> Result<Self, &'static str> {
        Ok(Self)
    }

    fn run<W: Work<Zmm>>(self, lanes: Zmm, work: W) {
        lanes.run(work);
    }

    #[inline(always)]
    fn tweak(self, lanes: Zmm, first: &Block, key: &RoundKey) -> Tweak {
        Tweak::new(lanes, first, lanes.key(key))
    }

    #[inline(always)]
    unsafe fn masks(self, lanes: Zmm, tweak: &mut Tweak, at: usize, to: *mut u8) {
        let masks = tweak.masks(lanes, at);
        // SAFETY: by this function's contract.
        unsafe { lanes.store(to, masks) }
    }

    #[inline(always)]
    fn group_on(self, lanes: Zmm, tweak: &mut Tweak) {
        *tweak = tweak.group_on(lanes);
    }
}

/// What the tweaks of 32 blocks come of. Register *j* of the group is the first one times x^(4 *j*).
#[derive(Clone, Copy)]
pub(in crate::aes) struct Tweak {
    /// Those of the first register's blocks.
    first: __m512i,
    /// What is shifted in from the right, without its last 7 bits: the products, of which 64 bits are left, and the low
    /// halves. For the registers with even and odd numbers, with what is carried over subtracted in the last window.
    right: [__m512i; 2],
    /// What is carried over, in the windows of the registers with even and odd numbers.
    carried: [__m512i; 2],
    /// What the masks have in them.
    key: __m512i,
}

impl Tweak {
    /// Of a unit's first tweak.
    #[inline(always)]
    fn new(lanes: Zmm, tweak: &Block, key: __m512i) -> Self {
        let tweak = in_every_lane(tweak);
        operation!({
            // Lane i times x^i. What the high half loses is so short that nothing is carried over.
            let lost = _mm512_srlv_epi64(swapped(tweak), lanes.words(&REST_OF_LANE));
            let sum = lanes.xor(_mm512_sllv_epi64(tweak, lanes.words(&LANE)), lost);
            let folded = lanes.xor3(
                _mm512_slli_epi64::<1>(lost),
                _mm512_slli_epi64::<2>(lost),
                _mm512_slli_epi64::<7>(lost),
            );
            Self::of(lanes, add_masked(lanes, sum, folded, &LOW), key)
        })
    }

    /// Of the tweaks of a group's first register.
    #[inline(always)]
    fn of(lanes: Zmm, first: __m512i, key: __m512i) -> Self {
        operation!({
            let swapped = swapped(first);
            let by_5 = _mm512_srli_epi64::<5>(swapped);
            let by_6 = _mm512_srli_epi64::<6>(swapped);
            let right =
                add_masked(lanes, _mm512_srli_epi64::<7>(swapped), lanes.xor3(swapped, by_5, by_6), &LOW);
            // Bit i of a window is the sum of i, i + 5 and i + 6, of those that it has.
            let others = add_masked(lanes, by_5, by_6, &FROM_6);
            Self {
                first,
                right: [right; 2],
                carried: [
                    add_masked(lanes, swapped, others, &SUMS[0]),
                    add_masked(lanes, swapped, others, &SUMS[1]),
                ],
                key,
            }
        })
    }

    /// The masks of register `at` of the group. To be called for all registers in order.
    #[inline(always)]
    fn masks(&mut self, lanes: Zmm, at: usize) -> __m512i {
        if at == 0 {
            return lanes.xor(self.first, self.key);
        }
        let [left, right] = self.times(lanes, at);
        lanes.xor3(left, right, self.key)
    }

    /// Goes on to the next group.
    #[inline(always)]
    fn group_on(mut self, lanes: Zmm) -> Self {
        let [left, right] = self.times(lanes, GROUP);
        Self::of(lanes, lanes.xor(left, right), self.key)
    }

    /// What the first tweaks times x^(4 `at`) are the sum of; `at` is 1 to 8.
    #[inline(always)]
    fn times(&mut self, lanes: Zmm, at: usize) -> [__m512i; 2] {
        operation!({
            let by = |bits: usize| _mm_cvtsi64_si128(bits as i64);
            let right = &mut self.right[at % 2];
            *right = add_masked(lanes, *right, self.carried[at % 2], &WINDOWS[at - 1]);
            [_mm512_sll_epi64(self.first, by(4 * at)), _mm512_srl_epi64(*right, by(57 - 4 * at))]
        })
    }
}

/// The order of 32-bit words that swaps a lane's halves.
const SWAP: i32 = 0b01_00_11_10;

/// The lanes' low halves.
static LOW: Words = Words([u64::MAX, 0, u64::MAX, 0, u64::MAX, 0, u64::MAX, 0]);

/// The number of each lane, and the rest of 64; by 64 bits anything becomes 0.
static LANE: Words = Words([0, 0, 1, 1, 2, 2, 3, 3]);
static REST_OF_LANE: Words = Words([64, 64, 63, 63, 62, 62, 61, 61]);

/// Of the windows that end 57 bits below the top or a multiple of 8 more, and of those 4 bits further down, the bits
/// that are the sum of others: of those 5 bits above, and the first of them of those 6 bits above as well.
static SUMS: [Words; 2] = [Words([0x0606_0606_0606_0606; 8]), Words([0x6060_6060_6060_6060; 8])];
static FROM_6: Words = Words([0x2222_2222_2222_2222; 8]);

/// The windows of the registers from the second on, and of the next group's first, in the low halves. Each with the
/// one 8 bits above, where there is one: what was subtracted there comes back.
static WINDOWS: [Words; GROUP] = windows();

const fn windows() -> [Words; GROUP] {
    let mut windows = [const { Words([0; 8]) }; GROUP];
    let mut at = 0;
    while at < GROUP * 4 {
        let register = at / 4;
        let above = if register < 2 { 0 } else { 0x7f << (61 - 4 * register) };
        windows[register].0[at % 4 * 2] = 0x7f << (53 - 4 * register) | above;
        at += 1;
    }
    windows
}

/// A block in every lane, half by half: to load a half into many places is no work for the pipes, and a block is.
#[inline(always)]
fn in_every_lane(block: &Block) -> __m512i {
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn inside(block: &Block) -> __m512i {
        let mut lanes: __m512i;
        // SAFETY: it reads the block and sets the register.
        unsafe {
            asm!(
                "vpbroadcastq {lanes}, qword ptr [{block}]",
                "vpbroadcastq {lanes}{{{high}}}, qword ptr [{block} + 8]",
                lanes = out(zmm_reg) lanes,
                block = in(reg) block,
                high = in(kreg) 0xaau8,
                options(pure, readonly, nostack, preserves_flags),
            );
        }
        lanes
    }
    operation!(inside(block))
}

/// Each lane with its halves swapped.
#[inline(always)]
fn swapped(reg: __m512i) -> __m512i {
    operation!(_mm512_shuffle_epi32::<SWAP>(reg))
}

/// `a ^ (b & mask)`.
#[inline(always)]
fn add_masked(lanes: Zmm, a: __m512i, b: __m512i, mask: &Words) -> __m512i {
    // The operation's table.
    operation!(_mm512_ternarylogic_epi64::<0x78>(a, b, lanes.words(mask)))
}
