//! The units of a request, a row of whole ones or a part of one at a time.
#![allow(unsafe_code)]

use super::ahead::{Ahead, Firsts, Room};
use crate::aes::block::{Block, Blocks, GROUP, MOST_BLOCKS, RoundKey};
use crate::aes::lanes::{Lanes, Work};
use crate::aes::rounds::{self, Around, Bare};
use crate::aes::schedule::RoundKeys;
use crate::aes::tweaks::{Tweak, Tweaks, words};
use crate::request::IvRule;
use crate::walk::Part;
use udm_block::{Span, SpanMut};

/// A part of a request, for both keys.
pub(super) struct Units<'a, T, const ENCRYPT: bool, const ROUNDS: usize> {
    pub way: T,
    pub data: &'a RoundKeys,
    pub tweaks: &'a RoundKeys,
    pub part: &'a Part<'a>,
    /// Where the results of the part go.
    pub dst: SpanMut<'a>,
    /// The next tweak of a unit that comes in parts.
    pub next: &'a mut Block,
}

impl<L: Lanes, T: Tweaks<L>, const ENCRYPT: bool, const ROUNDS: usize> Work<L>
    for Units<'_, T, ENCRYPT, ROUNDS>
{
    #[inline(always)]
    fn work(mut self, lanes: L) {
        let mut dst = std::mem::replace(&mut self.dst, SpanMut::EMPTY);
        let (unit_size, part) = (self.part.rule.unit_size, self.part);
        if part.units > 0 && unit_size.is_multiple_of(GROUP * L::WIDTH) {
            self.in_groups(lanes, part.src, dst);
            return;
        }
        let mut firsts = [Block::default(); MOST_BLOCKS];
        if part.units == 0 {
            if part.at == 0 {
                self.first_tweaks(lanes, 0, &mut firsts);
                *self.next = firsts[0];
            }
            let mut masks = Masks::new(std::slice::from_ref(self.next), part.src.len(), &self.data[ROUNDS]);
            self.one_by_one(lanes, &mut masks, part.src, dst);
            *self.next = masks.tweak.block();
            return;
        }
        for begin in (0..part.units).step_by(MOST_BLOCKS) {
            let count = self.first_tweaks(lanes, begin, &mut firsts);
            let (at, len) = (begin * unit_size, count * unit_size);
            let (src, dst) = (part.src.slice(at, len), dst.slice(at, len));
            self.one_by_one(
                lanes,
                &mut Masks::new(&firsts[..count], unit_size, &self.data[ROUNDS]),
                src,
                dst,
            );
        }
    }
}

impl<T, const ENCRYPT: bool, const ROUNDS: usize> Units<'_, T, ENCRYPT, ROUNDS> {
    /// The first tweaks of the part's units from `begin` on, as many as there are and have room. Says how many.
    #[inline(always)]
    fn first_tweaks<L: Lanes>(&self, lanes: L, begin: usize, firsts: &mut Blocks) -> usize {
        let count = (self.part.units.max(1) - begin).min(MOST_BLOCKS);
        self.ivs(lanes, begin, firsts, count);
        self.encrypt_ivs(lanes, firsts, count);
        count
    }

    /// Units of whole groups. The pipeline is not drained at their borders: a group is like any other.
    #[inline(always)]
    fn in_groups<L: Lanes>(&self, lanes: L, src: Span<'_>, mut dst: SpanMut<'_>)
    where
        T: Tweaks<L>,
    {
        let group_size = GROUP * L::WIDTH;
        let groups = self.part.rule.unit_size / group_size;
        let whole = self.part.units * groups;
        assert!(src.len() == whole * group_size && dst.len() == src.len());
        let mut firsts = Firsts([[Block::default(); MOST_BLOCKS]; 2]);
        self.first_tweaks(lanes, 0, &mut firsts.0[0]);
        let mut room = Room::new();
        let mut ahead = Ahead::new(lanes, self.way, &self.data[ROUNDS], groups, &firsts, &mut room);
        let batch = MOST_BLOCKS * groups;
        for begin in (0..whole).step_by(batch) {
            let (number, next) = (begin / batch, (begin / batch + 1) * MOST_BLOCKS);
            for (from, to) in [(begin, begin + GROUP), (begin + GROUP, begin + batch)] {
                if next < self.part.units {
                    let count = MOST_BLOCKS.min(self.part.units - next);
                    let firsts = &mut firsts.0[(number + 1) % 2];
                    // Between the two the IVs come to rest in the cache, and later nothing waits for the tweaks.
                    if from == begin {
                        self.ivs(lanes, next, firsts, count);
                    } else {
                        self.encrypt_ivs(lanes, firsts, count);
                    }
                }
                for group in from..to.min(whole) {
                    let at = group * group_size;
                    let masks = ahead.masks(lanes, group, &firsts);
                    // SAFETY: the group ends where the spans do or before, as the assertion says, and its masks are of
                    // the widest group's length.
                    unsafe {
                        let states = rounds::load(lanes, src.as_ptr().add(at));
                        let states = rounds::pass::<Around, L, ENCRYPT, ROUNDS, GROUP>(
                            lanes,
                            self.data,
                            states,
                            rounds::masks_at(lanes, masks),
                            &mut ahead,
                        );
                        rounds::store(lanes, dst.as_mut_ptr().add(at), states);
                    }
                }
            }
        }
    }

    /// The IVs of the part's units from `begin` on.
    #[inline(always)]
    fn ivs<L: Lanes>(&self, lanes: L, begin: usize, ivs: &mut Blocks, count: usize) {
        let unit = self.part.first + begin;
        match *self.part.rule.iv {
            // A call and a loop would drain the pipeline.
            IvRule::CounterLe64 { first, stride } => {
                let [low, high] = words(&first);
                lanes.count(ivs, low.wrapping_add(stride.wrapping_mul(unit as u64)), stride, high);
            }
            other => other.fill(unit, &mut ivs[..count]),
        }
    }

    #[inline(always)]
    fn encrypt_ivs<L: Lanes>(&self, lanes: L, ivs: &mut Blocks, count: usize) {
        let masks = &[Block::default(); MOST_BLOCKS];
        rounds::few::<Bare, L, true, ROUNDS>(lanes, self.tweaks, ivs, masks, count);
    }

    /// Any blocks, with masks that are made one by one: for what is not a row of units of whole groups.
    #[inline(always)]
    fn one_by_one<L: Lanes>(&self, lanes: L, masks: &mut Masks<'_>, src: Span<'_>, mut dst: SpanMut<'_>) {
        let group = GROUP * L::WIDTH;
        let mut blocks = [Block::default(); MOST_BLOCKS];
        for at in (0..src.len()).step_by(group) {
            let len = group.min(src.len() - at);
            masks.fill(&mut blocks[..len / 16]);
            let (src, mut dst) = (src.slice(at, len), dst.slice(at, len));
            if len < group {
                rounds::by_copy::<Around, L, ENCRYPT, ROUNDS>(lanes, self.data, &blocks, src, dst);
                return;
            }
            // SAFETY: both spans are as long as a group, and the masks at least.
            unsafe {
                let states = rounds::pass::<Around, L, ENCRYPT, ROUNDS, GROUP>(
                    lanes,
                    self.data,
                    rounds::load(lanes, src.as_ptr()),
                    rounds::masks_at(lanes, blocks.as_ptr().cast()),
                    &mut (),
                );
                rounds::store(lanes, dst.as_mut_ptr(), states);
            }
        }
    }
}

/// The masks of units one after the other, block by block.
struct Masks<'a> {
    /// The first tweaks of the units that are not begun.
    firsts: std::slice::Iter<'a, Block>,
    unit_size: usize,
    /// How many blocks of the current unit are to come, and the next one's tweak.
    left: usize,
    tweak: Tweak,
    key: &'a Block,
}

impl<'a> Masks<'a> {
    fn new(firsts: &'a [Block], unit_size: usize, key: &'a RoundKey) -> Self {
        let key = &key.0[0];
        Self { firsts: firsts.iter(), unit_size, left: 0, tweak: Tweak::new(&Block::default(), key), key }
    }

    /// The next masks, as many as `masks` holds.
    fn fill(&mut self, masks: &mut [Block]) {
        for mask in masks {
            if self.left == 0 {
                self.left = self.unit_size / 16;
                self.tweak = Tweak::new(self.firsts.next().expect("each unit has a first tweak"), self.key);
            }
            *mask = self.tweak.mask();
            self.left -= 1;
        }
    }
}
