//! CBC, NIST SP 800-38A: a block's ciphertext is `E(plaintext ^ the ciphertext before it)`, the first one's is the IV.

mod decrypt;
mod encrypt;

use super::block::Block;
use super::lanes::Lanes;
use super::schedule::Schedule;
use crate::driver::KeyedCipher;
use crate::error::CryptError;
use crate::request::{Direction, Request};
use crate::walk;

/// A CBC key of `ROUNDS` rounds.
pub(super) struct Cbc<L, const ROUNDS: usize> {
    lanes: L,
    schedule: Schedule,
}

impl<L: Lanes, const ROUNDS: usize> Cbc<L, ROUNDS> {
    // not on the I/O path: once, when it is made
    pub fn new(lanes: L, key: &[u8]) -> Box<Self> {
        let mut cbc = Box::new(Self { lanes, schedule: Schedule::default() });
        cbc.schedule.expand(lanes.single(), key);
        cbc
    }
}

impl<L: Lanes, const ROUNDS: usize> KeyedCipher for Cbc<L, ROUNDS> {
    fn crypt(&self, request: &mut Request<'_>) -> Result<(), CryptError> {
        // The last block of ciphertext, where the next part is of the same unit.
        let mut before = Block::default();
        walk::parts(request, 16, |part, dst| {
            if part.units == 0 && part.at == 0 {
                before = part.rule.iv.iv(part.first);
            }
            let before = &mut before;
            match part.rule.direction {
                Direction::Encrypt => {
                    let keys = self.schedule.keys::<true>();
                    self.lanes.run(encrypt::Encrypt::<ROUNDS> { keys, part, dst, before });
                }
                Direction::Decrypt => {
                    let keys = self.schedule.keys::<false>();
                    self.lanes.run(decrypt::Decrypt::<ROUNDS> { keys, part, dst, before });
                }
            }
            Ok(())
        })
    }
}
