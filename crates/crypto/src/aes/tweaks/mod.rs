//! The ways to make the masks of XTS.
//!
//! A mask is the tweak of a block with the last round key in it. What a way may use depends on the processor: it must not
//! need the ports that execute AES rounds.
#![allow(unsafe_code)]

mod bytes;
mod general;
mod shifts;

use super::block::{Block, RoundKey};
use super::lanes::{Lanes, Work};
pub(super) use bytes::Bytes;
pub(super) use general::{General, Tweak, words};
pub(super) use shifts::Shifts;

/// A way to make the masks of XTS for registers `L`.
///
/// A value of a type with it is the evidence that this machine has the way's instructions, as with [`Lanes`].
pub(super) trait Tweaks<L: Lanes>: Copy + Send + Sync + 'static {
    /// What the tweaks of a group are kept as.
    type Tweak: Copy;

    /// Evidence of the instructions, where this machine has them.
    ///
    /// # Errors
    /// What it lacks.
    fn detect(lanes: L) -> Result<Self, &'static str>;

    /// Does `work` in a function that is compiled for the instructions of `lanes` and of this way. Everything in it must
    /// be inlined there.
    fn run<W: Work<L>>(self, lanes: L, work: W);

    /// The tweak of a block, ready for the masks of the blocks from there on to be made, with `key` in them.
    fn tweak(self, lanes: L, first: &Block, key: &RoundKey) -> Self::Tweak;

    /// Writes the masks of register `at` of a group. To be called for all registers of a group in order.
    ///
    /// # Safety
    /// As many bytes must be writable at `to` as a register has.
    unsafe fn masks(self, lanes: L, tweak: &mut Self::Tweak, at: usize, to: *mut u8);

    /// Goes on from a group whose masks are made to the next one.
    fn group_on(self, lanes: L, tweak: &mut Self::Tweak);
}
