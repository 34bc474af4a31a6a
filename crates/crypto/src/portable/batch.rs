//! Blocks on their way through the cipher together.
//!
//! A cipher's crate chooses its instructions at each call, and has a number of blocks of its own that it does at once:
//! the `aes` crate 4 to 64, of which a single one costs nearly as much as all, most others one. So all work is put in
//! as passes over up to 64 blocks, and a pass runs inside the crate's own choice of instructions: for that, all of it
//! must be inlined into the function of the crate that has the processor's features switched on.
#![allow(
    clippy::inline_always,
    reason = "code that is not inlined there has no such features, and is far slower"
)]

use super::width::{Width, Word};
use aes::cipher::array::{Array, ArraySize};
use aes::cipher::typenum::Unsigned;
use aes::cipher::{
    BlockCipherDecBackend, BlockCipherDecClosure, BlockCipherEncBackend, BlockCipherEncClosure, BlockSizeUser,
};

/// Blocks in a batch: as many as the widest instructions of the `aes` crate do at once.
pub(super) const BATCH: usize = 64;

/// Up to [`BATCH`] blocks and as many masks.
pub(super) struct Batch<S: Width> {
    /// The blocks; where they are narrow, in the first half.
    pub bytes: [u8; BATCH * 16],
    /// What is added (XOR) to the blocks before or after the cipher.
    pub masks: [S::Word; BATCH],
}

/// A pass of the first `blocks` blocks of a batch through a cipher, with the masks added before it, after it, both
/// (XTS), or not at all. Bytes behind those blocks are lost.
pub(super) struct Pass<'a, S: Width, const BEFORE: bool, const AFTER: bool> {
    batch: &'a mut Batch<S>,
    blocks: usize,
}

impl<S: Width> Batch<S> {
    /// Bytes of blocks in a batch.
    pub const BYTES: usize = BATCH * S::USIZE;

    /// An empty batch.
    pub fn new() -> Self {
        Self { bytes: [0; BATCH * 16], masks: [S::Word::default(); BATCH] }
    }

    /// A pass of the first `blocks` blocks.
    pub fn pass<const BEFORE: bool, const AFTER: bool>(
        &mut self,
        blocks: usize,
    ) -> Pass<'_, S, BEFORE, AFTER> {
        Pass { batch: self, blocks }
    }

    /// The blocks as arrays.
    pub fn blocks(&mut self) -> &mut [Array<u8, S>] {
        &mut Array::slice_as_chunks_mut(&mut self.bytes).0[..BATCH]
    }
}

/// One direction of a backend. A trait and not a closure, since a closure cannot ask to be inlined.
pub(super) trait Backend {
    /// The size of a block.
    type Size: Width;
    /// How many blocks it does at once.
    type Width: ArraySize;
    /// Passes that many blocks.
    fn many(&self, blocks: &mut Array<Array<u8, Self::Size>, Self::Width>);
    /// Passes one block.
    fn one(&self, block: &mut Array<u8, Self::Size>);
}

/// The encryption of a backend.
pub(super) struct Encrypt<'a, B>(pub &'a B);
/// The decryption of a backend.
pub(super) struct Decrypt<'a, B>(pub &'a B);

impl<B: BlockCipherEncBackend<BlockSize: Width>> Backend for Encrypt<'_, B> {
    type Size = B::BlockSize;
    type Width = B::ParBlocksSize;
    #[inline(always)]
    fn many(&self, blocks: &mut Array<Array<u8, B::BlockSize>, B::ParBlocksSize>) {
        self.0.encrypt_par_blocks_inplace(blocks);
    }
    #[inline(always)]
    fn one(&self, block: &mut Array<u8, B::BlockSize>) {
        self.0.encrypt_block_inplace(block);
    }
}

impl<B: BlockCipherDecBackend<BlockSize: Width>> Backend for Decrypt<'_, B> {
    type Size = B::BlockSize;
    type Width = B::ParBlocksSize;
    #[inline(always)]
    fn many(&self, blocks: &mut Array<Array<u8, B::BlockSize>, B::ParBlocksSize>) {
        self.0.decrypt_par_blocks_inplace(blocks);
    }
    #[inline(always)]
    fn one(&self, block: &mut Array<u8, B::BlockSize>) {
        self.0.decrypt_block_inplace(block);
    }
}

impl<S: Width, const BEFORE: bool, const AFTER: bool> Pass<'_, S, BEFORE, AFTER> {
    /// Runs it.
    #[inline(always)]
    pub fn through<B: Backend<Size = S>>(self, backend: &B) {
        let width = B::Width::USIZE;
        let (blocks, _) = Array::slice_as_chunks_mut(&mut self.batch.bytes);
        let masks = &self.batch.masks;
        // A rest is rounded up to a full group with whatever lies behind it, unless it is so small that block by block
        // is faster: a block alone takes about a sixteenth of the widest group's time.
        let rest = self.blocks % width;
        let groups = self.blocks / width + usize::from(rest > 0 && rest * 16 >= width);
        let grouped = (groups * width).min(BATCH / width * width);
        for (group, masks) in
            Array::slice_as_chunks_mut(&mut blocks[..grouped]).0.iter_mut().zip(masks.chunks_exact(width))
        {
            mask_if::<S, BEFORE>(group, masks);
            backend.many(group);
            mask_if::<S, AFTER>(group, masks);
        }
        for at in grouped..self.blocks {
            mask_if::<S, BEFORE>(&mut blocks[at..=at], &masks[at..]);
            backend.one(&mut blocks[at]);
            mask_if::<S, AFTER>(&mut blocks[at..=at], &masks[at..]);
        }
    }
}

/// XORs masks into blocks, where `WANTED`.
#[inline(always)]
fn mask_if<S: Width, const WANTED: bool>(blocks: &mut [Array<u8, S>], masks: &[S::Word]) {
    if WANTED {
        for (block, mask) in blocks.iter_mut().zip(masks) {
            (S::Word::read(block) ^ *mask).write(block);
        }
    }
}

impl<S: Width, const BEFORE: bool, const AFTER: bool> BlockSizeUser for Pass<'_, S, BEFORE, AFTER> {
    type BlockSize = S;
}

impl<S: Width, const BEFORE: bool, const AFTER: bool> BlockCipherEncClosure for Pass<'_, S, BEFORE, AFTER> {
    #[inline(always)]
    fn call<B: BlockCipherEncBackend<BlockSize = S>>(self, backend: &B) {
        self.through(&Encrypt(backend));
    }
}

impl<S: Width, const BEFORE: bool, const AFTER: bool> BlockCipherDecClosure for Pass<'_, S, BEFORE, AFTER> {
    #[inline(always)]
    fn call<B: BlockCipherDecBackend<BlockSize = S>>(self, backend: &B) {
        self.through(&Decrypt(backend));
    }
}
