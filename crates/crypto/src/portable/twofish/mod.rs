//! Twofish (Schneier, Kelsey, Whiting, Wagner, Hall, Ferguson, 1998), with its S-boxes and matrix in tables that are made
//! for each key: the "full keying" of its paper's section 5. The `twofish` crate computes them at each byte, which is
//! a hundred times as slow; it is what this one is tested against.
//!
//! As in the kernel's Twofish, the tables are read at places that depend on the data: who shares the processor's cache
//! might learn of the key from the times that it takes.

mod schedule;

#[cfg(test)]
mod tests;

use aes::Block;
use aes::cipher::array::Array;
use aes::cipher::consts::{U4, U16};
use aes::cipher::{
    BlockCipherDecBackend, BlockCipherDecClosure, BlockCipherDecrypt, BlockCipherEncBackend,
    BlockCipherEncClosure, BlockCipherEncrypt, BlockSizeUser, InOut, ParBlocksSizeUser,
};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Twofish with a key.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct Twofish {
    /// For each byte of a word, its S-box and the column of the matrix that the result is multiplied with.
    tables: [[u32; 256]; 4],
    /// What is added before the rounds and behind them.
    whitening: [[u32; 4]; 2],
    /// What the rounds add.
    rounds: [[u32; 2]; 16],
}

/// The words of a block.
type Words = [u32; 4];

impl Twofish {
    /// The function `g` of the paper.
    const fn g(&self, word: u32) -> u32 {
        let [a, b, c, d] = word.to_le_bytes();
        let [first, second, third, fourth] = &self.tables;
        first[a as usize] ^ second[b as usize] ^ third[c as usize] ^ fourth[d as usize]
    }

    /// The function `F` of the paper, on the half of a block that a round leaves alone.
    const fn f(&self, left: u32, right: u32, key: [u32; 2]) -> [u32; 2] {
        let (left, right) = (self.g(left), self.g(right.rotate_left(8)));
        let sum = left.wrapping_add(right);
        [sum.wrapping_add(key[0]), sum.wrapping_add(right).wrapping_add(key[1])]
    }

    fn encrypt<const N: usize>(&self, blocks: &mut [Words; N]) {
        let [before, after] = self.whitening;
        for block in &mut *blocks {
            *block = xor(*block, before);
        }
        for key in self.rounds {
            for block in &mut *blocks {
                let [a, b, c, d] = *block;
                let add = self.f(a, b, key);
                *block = [(c ^ add[0]).rotate_right(1), d.rotate_left(1) ^ add[1], a, b];
            }
        }
        for block in blocks {
            let [a, b, c, d] = *block;
            *block = xor([c, d, a, b], after);
        }
    }

    fn decrypt<const N: usize>(&self, blocks: &mut [Words; N]) {
        let [before, after] = self.whitening;
        for block in &mut *blocks {
            let [a, b, c, d] = xor(*block, after);
            *block = [c, d, a, b];
        }
        for key in self.rounds.into_iter().rev() {
            for block in &mut *blocks {
                let [c, d, a, b] = *block;
                let add = self.f(a, b, key);
                *block = [a, b, c.rotate_left(1) ^ add[0], (d ^ add[1]).rotate_right(1)];
            }
        }
        for block in blocks {
            *block = xor(*block, before);
        }
    }
}

const fn xor(words: Words, key: Words) -> Words {
    [words[0] ^ key[0], words[1] ^ key[1], words[2] ^ key[2], words[3] ^ key[3]]
}

/// The words of a block.
fn read(block: &Block) -> Words {
    let (words, _) = block.0.as_chunks();
    std::array::from_fn(|at| u32::from_le_bytes(words[at]))
}

/// The block of its words.
fn written(words: Words) -> Block {
    let mut block = Block::default();
    for (bytes, word) in block.0.as_chunks_mut().0.iter_mut().zip(words) {
        *bytes = word.to_le_bytes();
    }
    block
}

impl BlockSizeUser for Twofish {
    type BlockSize = U16;
}

/// Blocks that go through the rounds at once: a round waits for its tables, and the others' reads fill the time.
impl ParBlocksSizeUser for Twofish {
    type ParBlocksSize = U4;
}

macro_rules! direction {
    ($cipher:ident, $with:ident, $closure:ident, $backend:ident, $one:ident, $many:ident, $pass:ident) => {
        impl $cipher for Twofish {
            fn $with(&self, f: impl $closure<BlockSize = U16>) {
                f.call(self);
            }
        }

        impl $backend for Twofish {
            #[inline]
            fn $one(&self, mut block: InOut<'_, '_, Block>) {
                let mut words = [read(block.get_in())];
                self.$pass(&mut words);
                *block.get_out() = written(words[0]);
            }

            #[inline]
            fn $many(&self, mut blocks: InOut<'_, '_, Array<Block, U4>>) {
                let mut words = blocks.get_in().0.each_ref().map(read);
                self.$pass(&mut words);
                blocks.get_out().0 = words.map(written);
            }
        }
    };
}

direction!(
    BlockCipherEncrypt,
    encrypt_with_backend,
    BlockCipherEncClosure,
    BlockCipherEncBackend,
    encrypt_block,
    encrypt_par_blocks,
    encrypt
);
direction!(
    BlockCipherDecrypt,
    decrypt_with_backend,
    BlockCipherDecClosure,
    BlockCipherDecBackend,
    decrypt_block,
    decrypt_par_blocks,
    decrypt
);
