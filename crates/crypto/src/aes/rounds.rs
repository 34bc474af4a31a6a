//! Registers on their way through the cipher together.
//!
//! A round takes four cycles and each cycle begins one or two, so eight registers at a time keep the units busy. What
//! else is done with registers is put between rounds.
#![allow(unsafe_code)]

use super::lanes::{Block, Lanes, MOST_LANES};
use super::schedule::{RoundKey, RoundKeys};
use udm_block::{Span, SpanMut};

/// Registers that go through the cipher together.
pub(super) const GROUP: usize = 8;

/// Blocks of a group in the widest registers, which a group in any others divides.
pub(super) const MOST_BLOCKS: usize = GROUP * MOST_LANES;

/// As many blocks.
pub(super) type Blocks = [Block; MOST_BLOCKS];

/// Whether and where masks are added (XOR) to the states.
pub(super) trait Masked {
    /// Before the first round, whose key is added as well.
    const BEFORE: bool;

    /// The key of the last round.
    fn last<L: Lanes>(lanes: L, key: L::Reg, mask: impl FnOnce() -> L::Reg) -> L::Reg;
}

/// Nowhere: ECB.
pub(super) struct Bare;
/// Before the first round: encryption in CBC.
pub(super) struct Before;
/// After the last: decryption in CBC.
pub(super) struct After;
/// Both: XTS, whose masks have the last round key in them, and whose first round key has it to take it out again.
pub(super) struct Around;

impl Masked for Bare {
    const BEFORE: bool = false;

    #[inline(always)]
    fn last<L: Lanes>(_: L, key: L::Reg, _: impl FnOnce() -> L::Reg) -> L::Reg {
        key
    }
}

impl Masked for Before {
    const BEFORE: bool = true;

    #[inline(always)]
    fn last<L: Lanes>(_: L, key: L::Reg, _: impl FnOnce() -> L::Reg) -> L::Reg {
        key
    }
}

impl Masked for After {
    const BEFORE: bool = false;

    #[inline(always)]
    fn last<L: Lanes>(lanes: L, key: L::Reg, mask: impl FnOnce() -> L::Reg) -> L::Reg {
        lanes.xor(key, mask())
    }
}

impl Masked for Around {
    const BEFORE: bool = true;

    #[inline(always)]
    fn last<L: Lanes>(_: L, _: L::Reg, mask: impl FnOnce() -> L::Reg) -> L::Reg {
        mask()
    }
}

/// What is done beside a pass, in [`GROUP`] steps. The processor looks ahead only so far: what later groups need is ready
/// in time if it stands between the rounds of this one.
pub(super) trait Beside<L: Lanes> {
    /// Does step `at`. To be inlined always.
    fn step(&mut self, lanes: L, at: usize);
}

impl<L: Lanes> Beside<L> for () {
    #[inline(always)]
    fn step(&mut self, _: L, _: usize) {}
}

/// Passes `states` through `ROUNDS` rounds.
#[inline(always)]
pub(super) fn pass<M: Masked, L: Lanes, const ENCRYPT: bool, const ROUNDS: usize, const N: usize>(
    lanes: L,
    keys: &RoundKeys,
    mut states: [L::Reg; N],
    mask: impl Fn(usize) -> L::Reg,
    beside: &mut impl Beside<L>,
) -> [L::Reg; N] {
    let key = lanes.key(&keys[0]);
    for (at, state) in states.iter_mut().enumerate() {
        *state = if M::BEFORE { lanes.xor3(*state, key, mask(at)) } else { lanes.xor(*state, key) };
    }
    // Written out, since a step's number must be a constant for its registers to be registers.
    macro_rules! rounds_and_steps {
        ($($at:literal)*) => {$(
            round::<L, ENCRYPT, N>(lanes, &keys[$at + 1], &mut states);
            beside.step(lanes, $at);
        )*};
    }
    rounds_and_steps!(0 1 2 3 4 5 6 7);
    for key in &keys[GROUP + 1..ROUNDS] {
        round::<L, ENCRYPT, N>(lanes, key, &mut states);
    }
    let key = lanes.key(&keys[ROUNDS]);
    for (at, state) in states.iter_mut().enumerate() {
        *state = lanes.last::<ENCRYPT>(*state, M::last(lanes, key, || mask(at)));
    }
    states
}

/// A middle round.
#[inline(always)]
fn round<L: Lanes, const ENCRYPT: bool, const N: usize>(lanes: L, key: &RoundKey, states: &mut [L::Reg; N]) {
    let key = lanes.key(key);
    if let Ok(group) = states.as_mut_slice().try_into() {
        lanes.group_round::<ENCRYPT>(group, key);
    } else {
        for state in states {
            *state = lanes.round::<ENCRYPT>(*state, key);
        }
    }
}

/// A group's masks from `from` on, each to be loaded where it is added: all of them loaded first cost XTS 1 %.
///
/// # Safety
/// They must be readable there, until the last is loaded.
#[inline(always)]
pub(super) unsafe fn masks_at<L: Lanes>(lanes: L, from: *const u8) -> impl Fn(usize) -> L::Reg {
    move |at| {
        assert!(at < GROUP, "a group has {GROUP} registers");
        // SAFETY: by this function's contract.
        unsafe { lanes.load(from.add(at * L::WIDTH)) }
    }
}

/// `N` registers from `from` on.
///
/// # Safety
/// They must be readable there; others may be changing them.
#[inline(always)]
pub(super) unsafe fn load<L: Lanes, const N: usize>(lanes: L, from: *const u8) -> [L::Reg; N] {
    // SAFETY: by this function's contract; this is the first of the registers.
    let mut regs = [unsafe { lanes.load(from) }; N];
    for (at, reg) in regs.iter_mut().enumerate().skip(1) {
        // SAFETY: by this function's contract; `at` is below `N`.
        *reg = unsafe { lanes.load(from.add(at * L::WIDTH)) };
    }
    regs
}

/// Writes `regs` from `to` on.
///
/// # Safety
/// They must be writable there.
#[inline(always)]
pub(super) unsafe fn store<L: Lanes, const N: usize>(lanes: L, to: *mut u8, regs: [L::Reg; N]) {
    for (at, reg) in regs.into_iter().enumerate() {
        // SAFETY: by this function's contract; `at` is below `N`.
        unsafe { lanes.store(to.add(at * L::WIDTH), reg) }
    }
}

/// Passes the first `count` of `blocks`, in place; what lies behind them is lost.
#[inline(always)]
pub(super) fn few<M: Masked, L: Lanes, const ENCRYPT: bool, const ROUNDS: usize>(
    lanes: L,
    keys: &RoundKeys,
    blocks: &mut Blocks,
    masks: &Blocks,
    count: usize,
) {
    let (mut at, end) = (0, count.min(MOST_BLOCKS));
    while at < end {
        let (state, mask) = (blocks[at..].as_mut_ptr().cast::<u8>(), masks[at..].as_ptr().cast::<u8>());
        // One register alone is done in half the time of eight. What is rounded up stays within the arrays, since
        // the blocks of a register and of a group divide their length.
        if end - at <= L::BLOCKS {
            // SAFETY: `at` is a multiple of a group's blocks, so a register's worth is left in both arrays.
            unsafe {
                let states = pass::<M, L, ENCRYPT, ROUNDS, 1>(
                    lanes,
                    keys,
                    load(lanes, state),
                    masks_at(lanes, mask),
                    &mut (),
                );
                store(lanes, state, states);
            }
        } else {
            // SAFETY: `at` is a multiple of a group's blocks, so a group is left in both arrays.
            unsafe {
                let states = pass::<M, L, ENCRYPT, ROUNDS, GROUP>(
                    lanes,
                    keys,
                    load(lanes, state),
                    masks_at(lanes, mask),
                    &mut (),
                );
                store(lanes, state, states);
            }
        }
        at += GROUP * L::BLOCKS;
    }
}

/// Passes the blocks of `src`, at most [`MOST_BLOCKS`], to `dst` by way of the stack.
#[inline(always)]
pub(super) fn by_copy<M: Masked, L: Lanes, const ENCRYPT: bool, const ROUNDS: usize>(
    lanes: L,
    keys: &RoundKeys,
    masks: &Blocks,
    src: Span<'_>,
    mut dst: SpanMut<'_>,
) {
    let mut blocks = [Block::default(); MOST_BLOCKS];
    src.read(&mut blocks.as_flattened_mut()[..src.len()]);
    few::<M, L, ENCRYPT, ROUNDS>(lanes, keys, &mut blocks, masks, src.len() / 16);
    dst.write(&blocks.as_flattened()[..src.len()]);
}
