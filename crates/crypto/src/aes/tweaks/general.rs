//! Tweaks of XTS in general registers, which take no turn from the rounds: for the narrower vector registers, whose
//! blocks take so long that there is time for one tweak after the other.
#![allow(unsafe_code)]

use super::Tweaks;
use crate::aes::block::{Block, RoundKey};
use crate::aes::lanes::{Lanes, Work};
use std::arch::x86_64::_addcarry_u64;

/// The way of any registers, which needs no instruction of its own.
#[derive(Clone, Copy)]
pub(in crate::aes) struct General;

impl<L: Lanes> Tweaks<L> for General {
    type Tweak = Tweak;

    fn detect(_: L) -> Result<Self, &'static str> {
        Ok(Self)
    }

    fn run<W: Work<L>>(self, lanes: L, work: W) {
        lanes.run(work);
    }

    #[inline(always)]
    fn tweak(self, _: L, first: &Block, key: &RoundKey) -> Tweak {
        Tweak::new(first, &key.0[0])
    }

    #[inline(always)]
    unsafe fn masks(self, _: L, tweak: &mut Tweak, _at: usize, to: *mut u8) {
        for lane in 0..L::BLOCKS {
            // SAFETY: by this function's contract, since a register has so many blocks; a block has no alignment to keep.
            unsafe { to.cast::<Block>().add(lane).write(tweak.mask()) }
        }
    }

    #[inline(always)]
    fn group_on(self, _: L, _tweak: &mut Tweak) {}
}

/// A tweak, and the key that its mask has in it.
#[derive(Clone, Copy)]
pub(in crate::aes) struct Tweak {
    low: u64,
    high: u64,
    key: [u64; 2],
}

/// A block's halves as numbers, the low one first.
#[inline(always)]
pub(in crate::aes) fn words(block: &Block) -> [u64; 2] {
    let number = u128::from_le_bytes(*block);
    [number as u64, (number >> 64) as u64]
}

impl Tweak {
    #[inline(always)]
    pub fn new(block: &Block, key: &Block) -> Self {
        let [[low, high], key] = [block, key].map(words);
        Self { low, high, key }
    }

    /// The next mask: the tweak with the key added; the tweak becomes that of the next block.
    #[inline(always)]
    pub fn mask(&mut self) -> Block {
        let mask = u128::from(self.low ^ self.key[0]) | u128::from(self.high ^ self.key[1]) << 64;
        // Times x, with no branch: a tweak is secret.
        let folded = (self.high.cast_signed() >> 63).cast_unsigned() & 0x87;
        let carry = _addcarry_u64(0, self.low, self.low, &mut self.low);
        _addcarry_u64(carry, self.high, self.high, &mut self.high);
        self.low ^= folded;
        mask.to_le_bytes()
    }

    /// The tweak as a block.
    pub fn block(self) -> Block {
        (u128::from(self.low) | u128::from(self.high) << 64).to_le_bytes()
    }
}
