//! Tweaks of XTS in general registers, which take no turn from the rounds: for the narrower vector registers, whose
//! blocks take so long that there is time for one tweak after the other.
#![allow(unsafe_code)]

use super::Block;
use std::arch::x86_64::_addcarry_u64;

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

    /// Writes the next `N` masks.
    ///
    /// # Safety
    /// As many blocks must be writable at `to`.
    #[inline(always)]
    pub unsafe fn masks<const N: usize>(&mut self, to: *mut u8) {
        for at in 0..N {
            // SAFETY: by this function's contract; a block has no alignment to keep.
            unsafe { to.cast::<Block>().add(at).write(self.mask()) }
        }
    }

    /// The tweak as a block.
    pub fn block(self) -> Block {
        (u128::from(self.low) | u128::from(self.high) << 64).to_le_bytes()
    }
}
