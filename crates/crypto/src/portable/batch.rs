//! Blocks on their way through the cipher together.
//!
//! The `aes` crate chooses its instructions at each call, spreads the round keys over registers, and has a number of
//! blocks of its own that it does at once (4 to 64). A single block costs nearly as much as that many. So all work is
//! put in as passes over up to 64 blocks, and a pass runs inside the crate's own choice of instructions: for that, all
//! of it must be inlined into the function of the crate that has the processor's features switched on.
#![allow(
    clippy::inline_always,
    reason = "code that is not inlined there has no such features, and is far slower"
)]

use aes::Block;
use aes::cipher::array::{Array, ArraySize};
use aes::cipher::consts::U16;
use aes::cipher::typenum::Unsigned;
use aes::cipher::{
    BlockCipherDecBackend, BlockCipherDecClosure, BlockCipherEncBackend, BlockCipherEncClosure, BlockSizeUser,
};

/// Bytes in a block.
pub(super) const BLOCK: usize = 16;

/// Blocks in a batch: as many as the widest instructions of the `aes` crate do at once.
pub(super) const BATCH: usize = 64;

/// Up to [`BATCH`] blocks and as many masks.
pub(super) struct Batch {
    /// The blocks.
    pub bytes: [u8; BATCH * BLOCK],
    /// What is added (XOR) to the blocks before or after the cipher; a mask's first byte is its lowest.
    pub masks: [u128; BATCH],
}

/// A pass of the first `blocks` blocks of a batch through a cipher, with the masks added before it, after it, both
/// (XTS), or not at all. Bytes behind those blocks are lost.
pub(super) struct Pass<'a, const BEFORE: bool, const AFTER: bool> {
    batch: &'a mut Batch,
    blocks: usize,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self { bytes: [0; BATCH * BLOCK], masks: [0; BATCH] }
    }

    /// A pass of the first `blocks` blocks.
    pub fn pass<const BEFORE: bool, const AFTER: bool>(&mut self, blocks: usize) -> Pass<'_, BEFORE, AFTER> {
        Pass { batch: self, blocks }
    }

    /// The blocks as arrays.
    pub fn blocks(&mut self) -> &mut [[u8; BLOCK]] {
        self.bytes.as_chunks_mut().0
    }
}

/// One direction of a backend of the `aes` crate. A trait and not a closure, since a closure cannot ask to be inlined.
pub(super) trait Backend {
    /// How many blocks it does at once.
    type Width: ArraySize;
    /// Passes that many blocks.
    fn many(&self, blocks: &mut Array<Block, Self::Width>);
    /// Passes one block.
    fn one(&self, block: &mut Block);
}

/// The encryption of a backend.
pub(super) struct Encrypt<'a, B>(pub &'a B);
/// The decryption of a backend.
pub(super) struct Decrypt<'a, B>(pub &'a B);

impl<B: BlockCipherEncBackend<BlockSize = U16>> Backend for Encrypt<'_, B> {
    type Width = B::ParBlocksSize;
    #[inline(always)]
    fn many(&self, blocks: &mut Array<Block, B::ParBlocksSize>) {
        self.0.encrypt_par_blocks_inplace(blocks);
    }
    #[inline(always)]
    fn one(&self, block: &mut Block) {
        self.0.encrypt_block_inplace(block);
    }
}

impl<B: BlockCipherDecBackend<BlockSize = U16>> Backend for Decrypt<'_, B> {
    type Width = B::ParBlocksSize;
    #[inline(always)]
    fn many(&self, blocks: &mut Array<Block, B::ParBlocksSize>) {
        self.0.decrypt_par_blocks_inplace(blocks);
    }
    #[inline(always)]
    fn one(&self, block: &mut Block) {
        self.0.decrypt_block_inplace(block);
    }
}

impl<const BEFORE: bool, const AFTER: bool> Pass<'_, BEFORE, AFTER> {
    /// Runs it.
    #[inline(always)]
    pub fn through<B: Backend>(self, backend: &B) {
        let width = B::Width::USIZE;
        let (blocks, _) = Block::slice_as_chunks_mut(&mut self.batch.bytes);
        let masks = &self.batch.masks;
        // A rest is rounded up to a full group with whatever lies behind it, unless it is so small that block by block
        // is faster: a block alone takes about a sixteenth of the widest group's time.
        let rest = self.blocks % width;
        let groups = self.blocks / width + usize::from(rest > 0 && rest * 16 >= width);
        let grouped = (groups * width).min(BATCH / width * width);
        for (group, masks) in
            Array::slice_as_chunks_mut(&mut blocks[..grouped]).0.iter_mut().zip(masks.chunks_exact(width))
        {
            mask_if::<BEFORE>(group, masks);
            backend.many(group);
            mask_if::<AFTER>(group, masks);
        }
        for at in grouped..self.blocks {
            mask_if::<BEFORE>(&mut blocks[at..=at], &masks[at..]);
            backend.one(&mut blocks[at]);
            mask_if::<AFTER>(&mut blocks[at..=at], &masks[at..]);
        }
    }
}

/// XORs masks into blocks, where `WANTED`.
#[inline(always)]
fn mask_if<const WANTED: bool>(blocks: &mut [Block], masks: &[u128]) {
    if WANTED {
        for (block, mask) in blocks.iter_mut().zip(masks) {
            block.0 = (u128::from_le_bytes(block.0) ^ mask).to_le_bytes();
        }
    }
}

impl<const BEFORE: bool, const AFTER: bool> BlockSizeUser for Pass<'_, BEFORE, AFTER> {
    type BlockSize = U16;
}

impl<const BEFORE: bool, const AFTER: bool> BlockCipherEncClosure for Pass<'_, BEFORE, AFTER> {
    #[inline(always)]
    fn call<B: BlockCipherEncBackend<BlockSize = U16>>(self, backend: &B) {
        self.through(&Encrypt(backend));
    }
}

impl<const BEFORE: bool, const AFTER: bool> BlockCipherDecClosure for Pass<'_, BEFORE, AFTER> {
    #[inline(always)]
    fn call<B: BlockCipherDecBackend<BlockSize = U16>>(self, backend: &B) {
        self.through(&Decrypt(backend));
    }
}
