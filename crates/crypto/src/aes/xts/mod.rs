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
use super::tweaks::Tweaks;
use crate::driver::KeyedCipher;
use crate::error::CryptError;
use crate::request::{Direction, Request};
use crate::walk;
use rows::Units;

/// An XTS key of `ROUNDS` rounds, whose masks are made by the way `T`.
pub(super) struct Xts<L, T, const ROUNDS: usize> {
    lanes: L,
    way: T,
    /// Its first round keys have the last ones in them.
    data: Schedule,
    tweaks: Schedule,
}

impl<L: Lanes, T: Tweaks<L>, const ROUNDS: usize> Xts<L, T, ROUNDS> {
    /// Takes the data's key and the tweaks' behind it. They may be equal, as in dm-crypt.
    // not on the I/O path: once, when it is made
    pub fn new(lanes: L, way: T, key: &[u8]) -> Box<Self> {
        let (data, tweaks) = key.split_at(key.len() / 2);
        let mut xts = Box::new(Self { lanes, way, data: Schedule::default(), tweaks: Schedule::default() });
        xts.data.expand(lanes.single(), data);
        xts.data.add_last_to_first(ROUNDS);
        xts.tweaks.expand(lanes.single(), tweaks);
        xts
    }

    fn request<const ENCRYPT: bool>(&self, request: &mut Request<'_>) -> Result<(), CryptError> {
        let mut next = Block::default();
        walk::parts(request, 16, |part, dst| {
            let units = Units::<T, ENCRYPT, ROUNDS> {
                way: self.way,
                data: self.data.keys::<ENCRYPT>(),
                tweaks: self.tweaks.keys::<true>(),
                part,
                dst,
                next: &mut next,
            };
            self.way.run(self.lanes, units);
            Ok(())
        })
    }
}

impl<L: Lanes, T: Tweaks<L>, const ROUNDS: usize> KeyedCipher for Xts<L, T, ROUNDS> {
    fn crypt(&self, request: &mut Request<'_>) -> Result<(), CryptError> {
        match request.direction {
            Direction::Encrypt => self.request::<true>(request),
            Direction::Decrypt => self.request::<false>(request),
        }
    }
}
