//! CTR, NIST SP 800-38A: block *j* of a unit is added to `E(IV + j)`, the IV being a big-endian number that wraps.

use super::batch::{BATCH, Batch, BlockCipher, Masks};
use super::width::{Width, Word};
use crate::driver::KeyedCipher;
use crate::error::CryptError;
use crate::request::Request;
use crate::walk::{self, Rule, Run};
use aes::cipher::array::Array;

/// A CTR key.
pub(super) struct Ctr<S>(pub Box<dyn BlockCipher<S>>);

/// Counters of units one after the other, block by block.
struct Counters<'a, S: Width> {
    rule: Rule<'a>,
    /// The next unit.
    unit: usize,
    /// How many blocks of the current unit are to come, and the counter of the next.
    left: usize,
    next: S::Word,
}

impl<S: Width> Counters<'_, S> {
    /// Makes the counters of the next blocks.
    fn fill(&mut self, blocks: &mut [Array<u8, S>]) {
        for block in blocks {
            if self.left == 0 {
                S::fill(self.rule.iv, self.unit, std::slice::from_mut(block));
                self.next = S::Word::read(block);
                self.left = self.rule.unit_size / S::USIZE;
                self.unit += 1;
            }
            self.next.write(block);
            self.next = self.next.big_endian_next();
            self.left -= 1;
        }
    }
}

impl<S: Width> Ctr<S> {
    /// Passes the units of `run`.
    fn run(&self, run: &mut Run<'_>, batch: &mut Batch<S>) {
        let size = S::USIZE;
        let next = S::Word::default();
        let mut counters = Counters::<S> { rule: run.rule, unit: run.first, left: 0, next };
        for at in (0..run.src.len()).step_by(BATCH * size) {
            let len = (run.src.len() - at).min(BATCH * size);
            run.src.slice(at, len).read(&mut batch.bytes[..len]);
            for (mask, block) in batch.masks.iter_mut().zip(batch.bytes[..len].chunks_exact(size)) {
                *mask = Word::read(block);
            }
            counters.fill(&mut batch.blocks()[..len / size]);
            self.0.encrypt(batch.pass(len / size, Masks::After));
            run.dst.slice(at, len).write(&batch.bytes[..len]);
        }
    }
}

impl<S: Width> KeyedCipher for Ctr<S> {
    /// Both directions are one.
    fn crypt(&self, request: &mut Request<'_>) -> Result<(), CryptError> {
        let mut batch = Batch::new();
        walk::runs(request, |run| {
            self.run(run, &mut batch);
            Ok(())
        })
    }
}
