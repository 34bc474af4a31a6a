//! Encryption: a chain within a unit, so units go side by side, a lane each.
#![allow(unsafe_code)]

use crate::aes::lanes::{Block, Lanes, Work};
use crate::aes::rounds::{self, Before, GROUP, MOST_BLOCKS};
use crate::aes::schedule::RoundKeys;
use crate::walk::Part;
use udm_block::{Span, SpanMut};

/// A part of a request.
pub(super) struct Encrypt<'a, const ROUNDS: usize> {
    pub keys: &'a RoundKeys,
    pub part: &'a Part<'a>,
    /// Where the results of the part go.
    pub dst: SpanMut<'a>,
    /// The ciphertext before the part, where it is one of a unit.
    pub before: &'a mut Block,
}

impl<L: Lanes, const ROUNDS: usize> Work<L> for Encrypt<'_, ROUNDS> {
    #[inline(always)]
    fn work(mut self, lanes: L) {
        let mut dst = std::mem::replace(&mut self.dst, SpanMut::EMPTY);
        let (unit_size, part) = (self.part.rule.unit_size, self.part);
        if part.units == 0 {
            alone::<L, ROUNDS>(lanes, self.keys, self.before, part.src, dst);
            return;
        }
        // Blocks at the same place of units of 4096 bytes share a set of the first-level cache, which has 8 to 12 lines.
        let most = (MOST_BLOCKS * 512 / unit_size).clamp(GROUP, GROUP * L::BLOCKS);
        let mut ivs = [Block::default(); MOST_BLOCKS];
        for begin in (0..part.units).step_by(most) {
            let count = most.min(part.units - begin);
            let ivs = &mut ivs[..count];
            self.part.rule.iv.fill(part.first + begin, ivs);
            let (at, len) = (begin * unit_size, count * unit_size);
            let (src, dst) = (part.src.slice(at, len), dst.slice(at, len));
            if count == 1 {
                alone::<L, ROUNDS>(lanes, self.keys, &mut ivs[0], src, dst);
            } else if count <= GROUP / 4 * L::BLOCKS {
                // A round takes as long for two registers as for one.
                self.side_by_side::<L, { GROUP / 4 }>(lanes, ivs, src, dst);
            } else if count <= GROUP / 2 * L::BLOCKS {
                self.side_by_side::<L, { GROUP / 2 }>(lanes, ivs, src, dst);
            } else {
                self.side_by_side::<L, GROUP>(lanes, ivs, src, dst);
            }
        }
    }
}

impl<const ROUNDS: usize> Encrypt<'_, ROUNDS> {
    /// As many units as there are IVs, which is at least one and at most the lanes of `N` registers. The lanes that are
    /// left over do the last unit again.
    #[inline(always)]
    fn side_by_side<L: Lanes, const N: usize>(
        &self,
        lanes: L,
        ivs: &[Block],
        src: Span<'_>,
        mut dst: SpanMut<'_>,
    ) {
        let unit_size = self.part.rule.unit_size;
        assert!(src.len() == ivs.len() * unit_size && dst.len() == src.len() && unit_size.is_multiple_of(16));
        let mut places = [0; MOST_BLOCKS];
        let mut chains = [Block::default(); MOST_BLOCKS];
        for lane in 0..MOST_BLOCKS {
            let unit = lane.min(ivs.len() - 1);
            (places[lane], chains[lane]) = (unit * unit_size, ivs[unit]);
        }
        // SAFETY: there are as many blocks as in a group of the widest registers.
        let mut chains: [L::Reg; N] = unsafe { rounds::load(lanes, chains.as_ptr().cast()) };
        for at in (0..unit_size).step_by(16) {
            let mut states = chains;
            for (places, state) in places.chunks_exact(L::BLOCKS).zip(&mut states) {
                // SAFETY: the block at `at` of a unit is within `src`, as the assertion says.
                *state = unsafe { lanes.gather(|lane| src.as_ptr().add(places[lane] + at)) };
            }
            chains = rounds::pass::<Before, L, true, ROUNDS, N>(
                lanes,
                self.keys,
                states,
                |at| chains[at],
                &mut (),
            );
            let to = dst.as_mut_ptr();
            for (places, chain) in places.chunks_exact(L::BLOCKS).zip(chains) {
                // SAFETY: the block at `at` of a unit is within `dst`, as the assertion says.
                unsafe { lanes.scatter(|lane| to.add(places[lane] + at), chain) }
            }
        }
    }
}

/// Blocks of one unit, with `before` ahead of them; it becomes the last one's ciphertext.
#[inline(always)]
fn alone<L: Lanes, const ROUNDS: usize>(
    lanes: L,
    keys: &RoundKeys,
    before: &mut Block,
    src: Span<'_>,
    mut dst: SpanMut<'_>,
) {
    let one = lanes.single();
    let mut chain = [one.same(before)];
    for at in (0..src.len().min(dst.len()) / 16 * 16).step_by(16) {
        // SAFETY: the block at `at` is within both spans, which end behind the range's.
        unsafe {
            let state = rounds::load(one, src.as_ptr().add(at));
            chain = rounds::pass::<Before, _, true, ROUNDS, 1>(one, keys, state, |at| chain[at], &mut ());
            rounds::store(one, dst.as_mut_ptr().add(at), chain);
        }
    }
    // SAFETY: the block is as long as the register.
    unsafe { rounds::store(one, before.as_mut_ptr(), chain) }
}
