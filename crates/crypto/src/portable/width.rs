//! Blocks of 8 and of 16 bytes, and the numbers that are as wide.

use crate::request::IvRule;
use aes::cipher::array::{Array, ArraySize};
use aes::cipher::consts::{U8, U16};
use std::ops::BitXor;

/// The size of a block.
pub(super) trait Width: ArraySize {
    /// A number as wide as a block.
    type Word: Word;

    /// The IVs of the units from `unit` on, as many as there are blocks, each as long as a block.
    fn fill(rule: &IvRule<'_>, unit: usize, blocks: &mut [Array<u8, Self>]);
}

/// A number as wide as a block, whose lowest byte is the block's first.
pub(super) trait Word: Copy + Default + BitXor<Output = Self> {
    /// The number of a block's bytes.
    fn read(block: &[u8]) -> Self;
    /// Puts its bytes into a block.
    fn write(self, block: &mut [u8]);
    /// The sum with one, modulo its width, of the number that has the same bytes in big-endian order.
    fn big_endian_next(self) -> Self;
}

macro_rules! width {
    ($size:ty, $word:ty) => {
        impl Width for $size {
            type Word = $word;

            fn fill(rule: &IvRule<'_>, unit: usize, blocks: &mut [Array<u8, Self>]) {
                rule.fill(unit, Array::cast_slice_to_core_mut(blocks));
            }
        }

        impl Word for $word {
            fn read(block: &[u8]) -> Self {
                Self::from_le_bytes(block.try_into().expect("a block is as wide as its word"))
            }

            fn write(self, block: &mut [u8]) {
                block.copy_from_slice(&self.to_le_bytes());
            }

            fn big_endian_next(self) -> Self {
                self.swap_bytes().wrapping_add(1).swap_bytes()
            }
        }
    };
}

width!(U8, u64);
width!(U16, u128);
