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
    BlockCipherDecBackend, BlockCipherDecClosure, BlockCipherDecrypt, BlockCipherEncBackend,
    BlockCipherEncClosure, BlockCipherEncrypt, BlockSizeUser,
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

/// When a pass adds (XOR) the masks to its blocks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Masks {
    /// Never.
    Unused,
    /// After the cipher (CBC's decryption, CTR).
    After,
    /// Before the cipher and after it (XTS, LRW).
    Around,
}

/// A pass of the first `blocks` blocks of a batch through a cipher. Bytes behind those blocks are lost.
pub(super) struct Pass<'a, S: Width> {
    batch: &'a mut Batch<S>,
    blocks: usize,
    masks: Masks,
}

impl<S: Width> Batch<S> {
    /// Bytes of blocks in a batch.
    pub const BYTES: usize = BATCH * S::USIZE;

    /// An empty batch.
    pub fn new() -> Self {
        Self { bytes: [0; BATCH * 16], masks: [S::Word::default(); BATCH] }
    }

    /// A pass of the first `blocks` blocks.
    pub fn pass(&mut self, blocks: usize, masks: Masks) -> Pass<'_, S> {
        Pass { batch: self, blocks, masks }
    }

    /// The blocks as arrays, and the masks.
    pub fn blocks_and_masks(&mut self) -> (&mut [Array<u8, S>], &mut [S::Word]) {
        (&mut Array::slice_as_chunks_mut(&mut self.bytes).0[..BATCH], &mut self.masks)
    }

    /// The blocks as arrays.
    pub fn blocks(&mut self) -> &mut [Array<u8, S>] {
        self.blocks_and_masks().0
    }
}

/// A block cipher with its key. The modes reach it behind a pointer, so that a cipher is compiled once for each direction,
/// and a mode once for each size of block; a call passes up to [`BATCH`] blocks.
pub(super) trait BlockCipher<S: Width>: Send + Sync {
    /// Encrypts the blocks of a pass.
    fn encrypt(&self, pass: Pass<'_, S>);
    /// Decrypts the blocks of a pass.
    fn decrypt(&self, pass: Pass<'_, S>);
}

impl<S: Width, C> BlockCipher<S> for C
where
    C: BlockCipherEncrypt<BlockSize = S> + BlockCipherDecrypt + Send + Sync,
{
    fn encrypt(&self, pass: Pass<'_, S>) {
        self.encrypt_with_backend(pass);
    }

    fn decrypt(&self, pass: Pass<'_, S>) {
        self.decrypt_with_backend(pass);
    }
}

/// One direction of a backend. A trait and not a closure, since a closure cannot ask to be inlined.
trait Backend {
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
struct Encrypt<'a, B>(&'a B);
/// The decryption of a backend.
struct Decrypt<'a, B>(&'a B);

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

impl<S: Width> Pass<'_, S> {
    /// Runs it.
    #[inline(always)]
    fn through<B: Backend<Size = S>>(self, backend: &B) {
        let width = B::Width::USIZE;
        let (blocks, _) = Array::slice_as_chunks_mut(&mut self.batch.bytes);
        let masks = &self.batch.masks;
        let (before, after) = (self.masks == Masks::Around, self.masks != Masks::Unused);
        // A rest is rounded up to a full group with whatever lies behind it, unless it is so small that block by block
        // is faster: a block alone takes about a sixteenth of the widest group's time.
        let rest = self.blocks % width;
        let groups = self.blocks / width + usize::from(rest > 0 && rest * 16 >= width);
        let grouped = (groups * width).min(BATCH / width * width);
        for (group, masks) in
            Array::slice_as_chunks_mut(&mut blocks[..grouped]).0.iter_mut().zip(masks.chunks_exact(width))
        {
            mask_if::<S>(before, group, masks);
            backend.many(group);
            mask_if::<S>(after, group, masks);
        }
        for at in grouped..self.blocks {
            mask_if::<S>(before, &mut blocks[at..=at], &masks[at..]);
            backend.one(&mut blocks[at]);
            mask_if::<S>(after, &mut blocks[at..=at], &masks[at..]);
        }
    }
}

/// XORs masks into blocks, where they are `wanted`.
#[inline(always)]
fn mask_if<S: Width>(wanted: bool, blocks: &mut [Array<u8, S>], masks: &[S::Word]) {
    if wanted {
        for (block, mask) in blocks.iter_mut().zip(masks) {
            (S::Word::read(block) ^ *mask).write(block);
        }
    }
}

impl<S: Width> BlockSizeUser for Pass<'_, S> {
    type BlockSize = S;
}

impl<S: Width> BlockCipherEncClosure for Pass<'_, S> {
    #[inline(always)]
    fn call<B: BlockCipherEncBackend<BlockSize = S>>(self, backend: &B) {
        self.through(&Encrypt(backend));
    }
}

impl<S: Width> BlockCipherDecClosure for Pass<'_, S> {
    #[inline(always)]
    fn call<B: BlockCipherDecBackend<BlockSize = S>>(self, backend: &B) {
        self.through(&Decrypt(backend));
    }
}
