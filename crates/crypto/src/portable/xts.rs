//! XTS over whole blocks, IEEE 1619: the tweak of block *j* is `E2(IV) * x^j`.

use super::batch::{Batch, BlockCipher, Masks};
use super::tweaked::Tweaks;
use super::width::{Width, Word};
use crate::request::IvRule;
use aes::cipher::consts::U16;

/// The tweaks of XTS, and the cipher that encrypts the IVs.
pub(super) struct Xts(pub Box<dyn BlockCipher<U16>>);

impl Tweaks for Xts {
    /// The tweak of the next block.
    type State = u128;

    /// Encrypts the IVs of all the units in one pass.
    fn begin(&self, iv: &IvRule<'_>, unit: usize, firsts: &mut [u128], batch: &mut Batch<U16>) {
        U16::fill(iv, unit, &mut batch.blocks()[..firsts.len()]);
        self.0.encrypt(batch.pass(firsts.len(), Masks::Unused));
        for (first, block) in firsts.iter_mut().zip(batch.blocks()) {
            *first = Word::read(block);
        }
    }

    fn next(&self, tweak: &mut u128) -> u128 {
        std::mem::replace(tweak, times_x(*tweak))
    }
}

/// The product with x in GF(2^128), modulo x^128 + x^7 + x^2 + x + 1. No branch: a tweak is secret.
pub(super) const fn times_x(tweak: u128) -> u128 {
    (tweak << 1) ^ (((tweak.cast_signed() >> 127).cast_unsigned()) & 0x87)
}
