//! The modes in which a block waits for the one before it (encryption in CBC; PCBC, CFB and OFB): a chain from block to
//! block of a unit. But the units do not depend on each other: so up to 64 of them go side by side, a block of each in
//! a pass.
//!
//! Decryption in CFB could do without the chain. It is a mode of old volumes alone, which this is fast enough for.

use super::batch::{BATCH, Batch, BlockCipher, Masks, Pass};
use super::width::{Width, Word};
use crate::driver::KeyedCipher;
use crate::error::CryptError;
use crate::request::{Direction, Request};
use crate::walk::{self, Run};
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
pub(super) struct Chained<S, M> {
    cipher: Box<dyn BlockCipher<S>>,
    mode: PhantomData<fn() -> M>,
}

/// Puts the units of `request` through chains of `L`, as many as go side by side at a time; `pass` is the cipher.
pub(super) fn abreast<S: Width, L: Link>(
    request: &mut Request<'_>,
    pass: impl Fn(Pass<'_, S>),
) -> Result<(), CryptError> {
    let mut batch = Batch::<S>::new();
    let mut chains = [S::Word::default(); BATCH];
    walk::runs(request, |run| {
        for begin in (0..run.units).step_by(BATCH) {
            let chains = &mut chains[..BATCH.min(run.units - begin)];
            let ivs = &mut batch.blocks()[..chains.len()];
            S::fill(run.rule.iv, run.first + begin, ivs);
            for (chain, iv) in chains.iter_mut().zip(ivs) {
                *chain = Word::read(iv);
            }
            for block in (0..run.rule.unit_size).step_by(S::USIZE) {
                let first = begin * run.rule.unit_size + block;
                link::<S, L>(run, (first, run.rule.unit_size), chains, &mut batch, &pass);
            }
        }
        Ok(())
    })
}

/// Passes one block of each unit: the first one is at byte `at`, and each next one `unit_size` bytes on.
fn link<S: Width, L: Link>(
    run: &mut Run<'_>,
    (at, unit_size): (usize, usize),
    chains: &mut [S::Word],
    batch: &mut Batch<S>,
    pass: &impl Fn(Pass<'_, S>),
) {
    let place = |unit| at + unit * unit_size;
    let (blocks, given) = batch.blocks_and_masks();
    for (unit, chain) in chains.iter().enumerate() {
        run.src.slice(place(unit), S::USIZE).read(&mut blocks[unit]);
        given[unit] = Word::read(&blocks[unit]);
        L::before(*chain, given[unit]).write(&mut blocks[unit]);
    }
    pass(batch.pass(chains.len(), Masks::Unused));
    let (blocks, given) = batch.blocks_and_masks();
    for (unit, chain) in chains.iter_mut().enumerate() {
        let (result, next) = L::after(*chain, given[unit], Word::read(&blocks[unit]));
        result.write(&mut blocks[unit]);
        *chain = next;
        run.dst.slice(place(unit), S::USIZE).write(&blocks[unit]);
    }
}

impl<S, M> Chained<S, M> {
    pub fn new(cipher: Box<dyn BlockCipher<S>>) -> Self {
        Self { cipher, mode: PhantomData }
    }
}

impl<S: Width, M: Chain> KeyedCipher for Chained<S, M> {
    fn crypt(&self, request: &mut Request<'_>) -> Result<(), CryptError> {
        match request.direction {
            Direction::Encrypt => abreast::<S, M::Encrypt>(request, |pass| self.cipher.encrypt(pass)),
            Direction::Decrypt if M::BACKWARDS => {
                abreast::<S, M::Decrypt>(request, |pass| self.cipher.decrypt(pass))
            }
            Direction::Decrypt => abreast::<S, M::Decrypt>(request, |pass| self.cipher.encrypt(pass)),
        }
    }
}
