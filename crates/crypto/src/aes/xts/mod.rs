//! XTS over whole blocks, IEEE 1619: block *j* of a unit is `E(block ^ T) ^ T` with `T = E2(IV) x^j`.
//!
//! The IVs of many units are encrypted at once, and well before their tweaks are used. What is added to the blocks are
//! *masks*: tweaks that have the last round key in them, so that they serve as that key. Before the first round they
//! are added together with a key that takes the last one out of them again.

mod ahead;
mod rows;

use super::block::Block;
use super::lanes::Lanes;
use super::schedule::Schedule;
use crate::driver::KeyedCipher;
use crate::error::CryptError;
use crate::request::{Direction, Request};
use crate::walk;
use rows::Units;

/// An XTS key of `ROUNDS` rounds.
pub(super) struct Xts<L, const ROUNDS: usize> {
    lanes: L,
    /// Its first round keys have the last ones in them.
    data: Schedule,
    tweaks: Schedule,
}

impl<L: Lanes, const ROUNDS: usize> Xts<L, ROUNDS> {
    /// Takes the data's key and the tweaks' behind it. They may be equal, as in dm-crypt.
    // not on the I/O path: once, when it is made
    pub fn new(lanes: L, key: &[u8]) -> Box<Self> {
        let (data, tweaks) = key.split_at(key.len() / 2);
        let mut xts = Box::new(Self { lanes, data: Schedule::default(), tweaks: Schedule::default() });
        xts.data.expand(lanes.single(), data);
        xts.data.add_last_to_first(ROUNDS);
        xts.tweaks.expand(lanes.single(), tweaks);
        xts
    }

    fn request<const ENCRYPT: bool>(&self, request: &mut Request<'_>) -> Result<(), CryptError> {
        let mut next = Block::default();
        walk::parts(request, 16, |part, dst| {
            self.lanes.run(Units::<ENCRYPT, ROUNDS> {
                data: self.data.keys::<ENCRYPT>(),
                tweaks: self.tweaks.keys::<true>(),
                part,
                dst,
                next: &mut next,
            });
            Ok(())
        })
    }
}

impl<L: Lanes, const ROUNDS: usize> KeyedCipher for Xts<L, ROUNDS> {
    fn crypt(&self, request: &mut Request<'_>) -> Result<(), CryptError> {
        match request.direction {
            Direction::Encrypt => self.request::<true>(request),
            Direction::Decrypt => self.request::<false>(request),
        }
    }
}
