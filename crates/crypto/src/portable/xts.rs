//! XTS over whole blocks, IEEE 1619: the tweak of block *j* is `E2(IV) * x^j`.

use super::Encrypts;
use super::batch::Batch;
use super::tweaked::Tweaks;
use super::width::{Width, Word};
use crate::request::IvRule;
use aes::cipher::consts::U16;

/// The tweaks of XTS, and the cipher that encrypts the IVs.
pub(super) struct Xts<T>(pub T);

impl<T: Encrypts<BlockSize = U16>> Tweaks for Xts<T> {
    /// The tweak of the next block.
    type State = u128;

    /// Encrypts the IVs of all the units in one pass.
    fn begin(&self, iv: &IvRule<'_>, unit: usize, firsts: &mut [u128], batch: &mut Batch<U16>) {
        U16::fill(iv, unit, &mut batch.blocks()[..firsts.len()]);
        self.0.encrypt_with_backend(batch.pass::<false, false>(firsts.len()));
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
