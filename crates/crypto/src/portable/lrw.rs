//! LRW, IEEE P1619 draft: the tweak of block *i* is `K2 * i` in GF(2^128), where *i* counts blocks and the IV is the
//! first of them, big-endian.
//!
//! From block to block some of the lowest bits of *i* flip, all those from bit 0 on up to one. The product with each such
//! number is in a table, so that the next tweak is one addition away; the first one of a unit is a sum over all bits.

use super::batch::Batch;
use super::tweaked::Tweaks;
use super::xts::times_x;
use crate::request::IvRule;
use aes::cipher::consts::U16;
use zeroize::Zeroizing;

/// The tweaks of LRW.
pub(super) struct Lrw {
    /// `K2 * x^n`
    powers: Zeroizing<[u128; 128]>,
    /// `K2 * (x^n + ... + x + 1)`
    runs: Zeroizing<[u128; 128]>,
}

/// A place in a unit.
#[derive(Clone, Copy, Default)]
pub(super) struct Place {
    block: u128,
    tweak: u128,
}

impl Lrw {
    /// Takes the key of the tweaks.
    pub fn new(key: [u8; 16]) -> Self {
        let mut lrw = Self { powers: Zeroizing::new([0; 128]), runs: Zeroizing::new([0; 128]) };
        let (mut power, mut run) = (u128::from_be_bytes(key), 0);
        for n in 0..128 {
            run ^= power;
            (lrw.powers[n], lrw.runs[n]) = (power, run);
            power = times_x(power);
        }
        lrw
    }

    /// `K2 * block`. No branch on the key; the block's number is known.
    fn product(&self, block: u128) -> u128 {
        let masked = |(n, power): (usize, &u128)| power & ((block >> n) & 1).wrapping_neg();
        self.powers.iter().enumerate().map(masked).fold(0, |sum, product| sum ^ product)
    }
}

impl Tweaks for Lrw {
    type State = Place;

    fn begin(&self, iv: &IvRule<'_>, unit: usize, places: &mut [Place], _: &mut Batch<U16>) {
        for (place, unit) in places.iter_mut().zip(unit..) {
            let block = u128::from_be_bytes(iv.iv(unit));
            *place = Place { block, tweak: self.product(block) };
        }
    }

    fn next(&self, place: &mut Place) -> u128 {
        let tweak = place.tweak;
        // Behind the last block comes block 0, all of whose bits flip.
        place.tweak ^= self.runs[(place.block.trailing_ones() as usize).min(127)];
        place.block = place.block.wrapping_add(1);
        tweak.swap_bytes()
    }
}
