//! The modes in which a block waits for the one before it (encryption in CBC; PCBC, CFB and OFB): a chain from block to
//! block of a unit. But the units do not depend on each other: so up to 64 of them go side by side, a block of each in
//! a pass.
//!
//! Decryption in CFB could do without the chain. It is a mode of old volumes alone, which this is fast enough for.

use super::batch::{BATCH, Backend, Batch, Decrypt, Encrypt};
use super::width::{Width, Word};
use super::{Crypts, Encrypts};
use crate::driver::KeyedCipher;
use crate::error::CryptError;
use crate::request::{Direction, Request};
use crate::walk::{self, Run};
use aes::cipher::array::Array;
use aes::cipher::{
    BlockCipherDecBackend, BlockCipherDecClosure, BlockCipherEncBackend, BlockCipherEncClosure, BlockSizeUser,
};
use std::marker::PhantomData;

/// What a mode does at each block. The chain begins with the IV.
pub(super) trait Link {
    /// What goes through the cipher.
    fn before<W: Word>(chain: W, given: W) -> W;
    /// The resulting block, and what the next one gets of the chain.
    fn after<W: Word>(chain: W, given: W, passed: W) -> (W, W);
}

/// A mode of chains in both directions.
pub(super) trait Chain: Send + Sync + 'static {
    /// How it encrypts.
    type Encrypt: Link;
    /// How it decrypts.
    type Decrypt: Link;
    /// Whether decryption puts the blocks through the cipher's decryption.
    const BACKWARDS: bool;
}

/// A key of such a mode.
pub(super) struct Chained<C, M> {
    cipher: C,
    mode: PhantomData<fn() -> M>,
}

/// Units side by side.
struct Abreast<'a, S: Width, L> {
    run: &'a Run<'a>,
    /// The first unit within the run, and how many.
    begin: usize,
    units: usize,
    unit_size: usize,
    /// Its blocks hold the IVs.
    batch: &'a mut Batch<S>,
    link: PhantomData<L>,
}

/// Encrypts the units of `request` in chains of `L`.
pub(super) fn encrypt<C: Encrypts, L: Link>(cipher: &C, request: &Request<'_>) -> Result<(), CryptError> {
    abreast::<_, L>(request, |units| cipher.encrypt_with_backend(units))
}

/// Gives `pass` the units of `request`, as many as go side by side at a time.
fn abreast<S: Width, L: Link>(
    request: &Request<'_>,
    pass: impl Fn(Abreast<'_, S, L>),
) -> Result<(), CryptError> {
    let mut batch = Batch::new();
    walk::runs(request, |run| {
        for begin in (0..run.units).step_by(BATCH) {
            let units = BATCH.min(run.units - begin);
            S::fill(&request.iv, run.first + begin, &mut batch.blocks()[..units]);
            let (unit_size, batch, link) = (request.unit_size, &mut batch, PhantomData);
            pass(Abreast { run, begin, units, unit_size, batch, link });
        }
        Ok(())
    })
}

#[allow(clippy::inline_always, reason = "the same as for all passes: see `batch`")]
impl<S: Width, L: Link> Abreast<'_, S, L> {
    #[inline(always)]
    fn through<B: Backend<Size = S>>(self, backend: &B) {
        let Self { run, begin, units, unit_size, batch, .. } = self;
        let mut chains = [S::Word::default(); BATCH];
        for (chain, iv) in chains[..units].iter_mut().zip(batch.blocks()) {
            *chain = Word::read(iv);
        }
        for block in (0..unit_size).step_by(S::USIZE) {
            let place = |unit| (begin + unit) * unit_size + block;
            let (bytes, given) = (&mut batch.bytes, &mut batch.masks);
            let bytes = Array::<u8, S>::slice_as_chunks_mut(bytes).0;
            for unit in 0..units {
                run.src.slice(place(unit), S::USIZE).read(&mut bytes[unit]);
                given[unit] = Word::read(&bytes[unit]);
                L::before(chains[unit], given[unit]).write(&mut bytes[unit]);
            }
            batch.pass::<false, false>(units).through(backend);
            let (bytes, given) = (&mut batch.bytes, &batch.masks);
            let bytes = Array::<u8, S>::slice_as_chunks_mut(bytes).0;
            for unit in 0..units {
                let (result, chain) = L::after(chains[unit], given[unit], Word::read(&bytes[unit]));
                result.write(&mut bytes[unit]);
                chains[unit] = chain;
                run.dst.slice(place(unit), S::USIZE).write(&bytes[unit]);
            }
        }
    }
}

impl<S: Width, L> BlockSizeUser for Abreast<'_, S, L> {
    type BlockSize = S;
}

#[allow(clippy::inline_always, reason = "the same as for all passes: see `batch`")]
impl<S: Width, L: Link> BlockCipherEncClosure for Abreast<'_, S, L> {
    #[inline(always)]
    fn call<B: BlockCipherEncBackend<BlockSize = S>>(self, backend: &B) {
        self.through(&Encrypt(backend));
    }
}

#[allow(clippy::inline_always, reason = "the same as for all passes: see `batch`")]
impl<S: Width, L: Link> BlockCipherDecClosure for Abreast<'_, S, L> {
    #[inline(always)]
    fn call<B: BlockCipherDecBackend<BlockSize = S>>(self, backend: &B) {
        self.through(&Decrypt(backend));
    }
}

impl<C, M> Chained<C, M> {
    pub fn new(cipher: C) -> Self {
        Self { cipher, mode: PhantomData }
    }
}

impl<C: Crypts, M: Chain> KeyedCipher for Chained<C, M> {
    fn crypt(&self, request: &Request<'_>) -> Result<(), CryptError> {
        match request.direction {
            Direction::Encrypt => encrypt::<C, M::Encrypt>(&self.cipher, request),
            Direction::Decrypt if M::BACKWARDS => {
                abreast::<_, M::Decrypt>(request, |units| self.cipher.decrypt_with_backend(units))
            }
            Direction::Decrypt => encrypt::<C, M::Decrypt>(&self.cipher, request),
        }
    }
}
