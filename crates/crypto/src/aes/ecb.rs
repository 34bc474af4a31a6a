//! ECB, NIST SP 800-38A: each block alone. It makes the IVs of `essiv` and `eboiv`.
#![allow(unsafe_code)]

use super::lanes::{Block, Lanes, Work};
use super::rounds::{self, Bare, GROUP, MOST_BLOCKS};
use super::schedule::{RoundKeys, Schedule};
use crate::driver::KeyedCipher;
use crate::error::CryptError;
use crate::request::{Direction, Request};
use crate::walk;
use udm_block::{Span, SpanMut};

/// An ECB key of `ROUNDS` rounds.
pub(super) struct Ecb<L, const ROUNDS: usize> {
    lanes: L,
    schedule: Schedule,
}

/// Blocks one after the other in memory.
struct Blocks<'a, const ENCRYPT: bool, const ROUNDS: usize> {
    keys: &'a RoundKeys,
    src: Span<'a>,
    dst: SpanMut<'a>,
}

impl<L: Lanes, const ROUNDS: usize> Ecb<L, ROUNDS> {
    pub fn new(lanes: L, key: &[u8]) -> Box<Self> {
        // not on the I/O path: once a key.
        let mut ecb = Box::new(Self { lanes, schedule: Schedule::default() });
        ecb.schedule.expand(lanes.single(), key);
        ecb
    }

    /// A unit is no unit here: only the blocks count.
    fn request<const ENCRYPT: bool>(&self, request: &mut Request<'_>) -> Result<(), CryptError> {
        let keys = self.schedule.keys::<ENCRYPT>();
        walk::parts(request, 16, |part, dst| {
            self.lanes.run(Blocks::<ENCRYPT, ROUNDS> { keys, src: part.src, dst });
            Ok(())
        })
    }
}

impl<L: Lanes, const ENCRYPT: bool, const ROUNDS: usize> Work<L> for Blocks<'_, ENCRYPT, ROUNDS> {
    #[inline(always)]
    fn work(mut self, lanes: L) {
        let group = GROUP * L::WIDTH;
        let whole = self.src.len().min(self.dst.len()) / group * group;
        for at in (0..whole).step_by(group) {
            // SAFETY: a group from `at` on ends at `whole`, which is within both spans.
            unsafe {
                let states = rounds::load(lanes, self.src.as_ptr().add(at));
                let states = rounds::pass::<Bare, L, ENCRYPT, ROUNDS, GROUP>(
                    lanes,
                    self.keys,
                    states,
                    |at| states[at],
                    &mut (),
                );
                rounds::store(lanes, self.dst.as_mut_ptr().add(at), states);
            }
        }
        let rest = self.src.len() - whole;
        if rest > 0 {
            let (src, dst) = (self.src.slice(whole, rest), self.dst.slice(whole, rest));
            let masks = &[Block::default(); MOST_BLOCKS];
            rounds::by_copy::<Bare, L, ENCRYPT, ROUNDS>(lanes, self.keys, masks, src, dst);
        }
    }
}

impl<L: Lanes, const ROUNDS: usize> KeyedCipher for Ecb<L, ROUNDS> {
    fn crypt(&self, request: &mut Request<'_>) -> Result<(), CryptError> {
        match request.direction {
            Direction::Encrypt => self.request::<true>(request),
            Direction::Decrypt => self.request::<false>(request),
        }
    }
}
