//! `Poly1305` (RFC 8439, section 2.5) of a few whole blocks, with nothing added at the end.
//!
//! The `poly1305` crate is made for long messages: preparing its vectors, and wiping them, takes 0.4 us, and Adiantum
//! has four messages of 2 to 8 blocks a unit. Here a block takes three multiplications and nothing is prepared. The crate
//! is what this is tested against.

use zeroize::{Zeroize, ZeroizeOnDrop};

/// A key: the number that each block is multiplied with.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct Poly {
    low: u64,
    high: u64,
}

/// A number below 2^131, in words of 64 bits.
#[derive(Clone, Copy, Default)]
struct Sum {
    low: u64,
    high: u64,
    top: u64,
}

impl Poly {
    /// Takes a key, of which it leaves out the bits that RFC 8439 says.
    pub fn new(key: [u8; 16]) -> Self {
        let clamped = u128::from_le_bytes(key) & 0x0fff_fffc_0fff_fffc_0fff_fffc_0fff_ffff;
        Self { low: clamped as u64, high: (clamped >> 64) as u64 }
    }

    /// The hash of `blocks`.
    pub fn hash(&self, blocks: &[[u8; 16]]) -> u128 {
        let mut sum = Sum::default();
        for block in blocks {
            sum = self.product(sum.plus(u128::from_le_bytes(*block), 1));
        }
        sum.reduced()
    }

    /// The product, modulo 2^130 - 5 but for a multiple of it.
    fn product(&self, sum: Sum) -> Sum {
        let wide = |a: u64, b: u64| u128::from(a) * u128::from(b);
        // What passes 2^128 comes back at the bottom times 5/4; the key's high word is a multiple of 4.
        let wrapped = self.high + (self.high >> 2);
        let low = wide(sum.low, self.low) + wide(sum.high, wrapped);
        let middle =
            wide(sum.low, self.high) + wide(sum.high, self.low) + wide(sum.top, wrapped) + (low >> 64);
        let top = sum.top * self.low + (middle >> 64) as u64;
        // And what passes 2^130, times 5.
        let above = (top >> 2) + (top & !3);
        let words = u128::from(low as u64) | u128::from(middle as u64) << 64;
        Sum { low: 0, high: 0, top: top & 3 }.plus(words, 0).plus(above.into(), 0)
    }
}

impl Sum {
    /// The sum with `words` and `top` times 2^128.
    fn plus(self, words: u128, top: u64) -> Self {
        let (sum, carry) = (u128::from(self.low) | u128::from(self.high) << 64).overflowing_add(words);
        Self { low: sum as u64, high: (sum >> 64) as u64, top: self.top + top + u64::from(carry) }
    }

    /// Its lower 128 bits, after it is reduced modulo 2^130 - 5. No branch: the number is secret.
    fn reduced(self) -> u128 {
        let words = |sum: Self| u128::from(sum.low) | u128::from(sum.high) << 64;
        let less = self.plus(5, 0);
        // Adding 5 passes 2^130 where the number is not below 2^130 - 5.
        let passes = u128::from(less.top >> 2).min(1).wrapping_neg();
        words(less) & passes | words(self) & !passes
    }
}
