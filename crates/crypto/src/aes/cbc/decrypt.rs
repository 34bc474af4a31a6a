//! Decryption: every block has all it needs, the ciphertext before it, so blocks go in groups as in ECB.
//!
//! Each byte of ciphertext is read once: in place it is gone afterwards, and elsewhere it may have changed.
#![allow(unsafe_code)]

use crate::aes::lanes::{Block, Lanes, Work};
use crate::aes::rounds::{self, After, GROUP, MOST_BLOCKS};
use crate::aes::schedule::RoundKeys;
use crate::walk::Part;
use udm_block::{Span, SpanMut};

/// A part of a request.
pub(super) struct Decrypt<'a, const ROUNDS: usize> {
    pub keys: &'a RoundKeys,
    pub part: &'a Part<'a>,
    /// Where the results of the part go.
    pub dst: SpanMut<'a>,
    /// The ciphertext before the part, where it is one of a unit.
    pub before: &'a mut Block,
}

impl<L: Lanes, const ROUNDS: usize> Work<L> for Decrypt<'_, ROUNDS> {
    #[inline(always)]
    fn work(mut self, lanes: L) {
        let mut dst = std::mem::replace(&mut self.dst, SpanMut::EMPTY);
        let (unit_size, part) = (self.part.rule.unit_size, self.part);
        if part.units == 0 {
            let mut chains = Chains::new(&[], unit_size, *self.before);
            self.any(lanes, &mut chains, part.src, dst);
            *self.before = chains.before;
            return;
        }
        let mut ivs = [Block::default(); MOST_BLOCKS];
        for begin in (0..part.units).step_by(MOST_BLOCKS) {
            let ivs = &mut ivs[..MOST_BLOCKS.min(part.units - begin)];
            self.part.rule.iv.fill(part.first + begin, ivs);
            let (at, len) = (begin * unit_size, ivs.len() * unit_size);
            let (src, dst) = (part.src.slice(at, len), dst.slice(at, len));
            if unit_size.is_multiple_of(GROUP * L::WIDTH) {
                self.in_groups(lanes, ivs, src, dst);
            } else {
                self.any(lanes, &mut Chains::new(ivs, unit_size, Block::default()), src, dst);
            }
        }
    }
}

impl<const ROUNDS: usize> Decrypt<'_, ROUNDS> {
    /// Units of whole groups, as many as there are IVs.
    #[inline(always)]
    fn in_groups<L: Lanes>(&self, lanes: L, ivs: &[Block], src: Span<'_>, mut dst: SpanMut<'_>) {
        let unit_size = self.part.rule.unit_size;
        assert!(src.len() == ivs.len() * unit_size && dst.len() == src.len());
        for (unit, iv) in ivs.iter().enumerate() {
            let mut before = lanes.same(iv);
            for at in (unit * unit_size..(unit + 1) * unit_size).step_by(GROUP * L::WIDTH) {
                // SAFETY: a group from `at` on ends at the unit's end or before, since units are of whole groups, and
                // all units are within both spans, as the assertion says.
                unsafe {
                    let states: [L::Reg; GROUP] = rounds::load(lanes, src.as_ptr().add(at));
                    let mut masks = states;
                    for (mask, state) in masks.iter_mut().zip(states) {
                        *mask = lanes.behind(before, state);
                        before = state;
                    }
                    let states = rounds::pass::<After, L, false, ROUNDS, GROUP>(
                        lanes,
                        self.keys,
                        states,
                        |at| masks[at],
                        &mut (),
                    );
                    rounds::store(lanes, dst.as_mut_ptr().add(at), states);
                }
            }
        }
    }

    /// Any blocks, by way of the stack: for what is not a row of units of whole groups.
    #[inline(always)]
    fn any<L: Lanes>(&self, lanes: L, chains: &mut Chains<'_>, src: Span<'_>, mut dst: SpanMut<'_>) {
        let group = GROUP * L::WIDTH;
        let mut blocks = [Block::default(); MOST_BLOCKS];
        let mut masks = [Block::default(); MOST_BLOCKS];
        for at in (0..src.len()).step_by(group) {
            let len = group.min(src.len() - at);
            let count = len / 16;
            src.slice(at, len).read(&mut blocks.as_flattened_mut()[..len]);
            chains.fill(&mut masks[..count], &blocks[..count]);
            rounds::few::<After, L, false, ROUNDS>(lanes, self.keys, &mut blocks, &masks, count);
            dst.slice(at, len).write(&blocks.as_flattened()[..len]);
        }
    }
}

/// What is before each block of units one after the other.
struct Chains<'a> {
    /// The IVs of the units that are not begun.
    ivs: std::slice::Iter<'a, Block>,
    unit_size: usize,
    /// How many blocks of the current unit are to come. Of a unit that comes in parts it does not run out.
    left: usize,
    before: Block,
}

impl<'a> Chains<'a> {
    /// Those of whole units with `ivs`, or of a part of a unit behind `before` where there are none.
    fn new(ivs: &'a [Block], unit_size: usize, before: Block) -> Self {
        let left = if ivs.is_empty() { unit_size / 16 } else { 0 };
        Self { ivs: ivs.iter(), unit_size, left, before }
    }

    /// The masks of the next blocks of ciphertext.
    fn fill(&mut self, masks: &mut [Block], blocks: &[Block]) {
        for (mask, block) in masks.iter_mut().zip(blocks) {
            if self.left == 0 {
                self.left = self.unit_size / 16;
                self.before = *self.ivs.next().expect("each unit has an IV");
            }
            *mask = std::mem::replace(&mut self.before, *block);
            self.left -= 1;
        }
    }
}
