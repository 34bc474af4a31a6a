//! Masks that are made before they are needed: beside the rounds of one group, those of the group after the next.
#![allow(unsafe_code)]

use crate::aes::block::{Block, Blocks, GROUP, MOST_BLOCKS};
use std::mem::MaybeUninit;

use crate::aes::block::RoundKey;
use crate::aes::lanes::Lanes;
use crate::aes::rounds::Beside;
use crate::aes::tweaks::Tweaks;

/// The masks of a group, once they are made.
#[repr(align(64))]
pub(super) struct Slot(MaybeUninit<Blocks>);

/// How many slots there are; of a power of two the rest is an AND.
const SLOTS: usize = 4;

/// By how many groups the masks are ahead. Of one group, those that are written in halves would be read before the halves
/// are in the cache, which takes until the group before is through.
const AHEAD: usize = 2;

/// The masks of a row of units, each of which has so many groups.
pub(super) struct Ahead<'a, L: Lanes, T: Tweaks<L>> {
    way: T,
    key: &'a RoundKey,
    groups: usize,
    tweak: T::Tweak,
    /// How many groups of its unit are to come, and the unit behind it.
    left: usize,
    unit: usize,
    /// Where the masks in the making go.
    slot: usize,
    room: &'a mut Room,
}

/// Where masks wait. It is no part of what is changed beside the rounds: the compiler keeps that in registers.
pub(super) struct Room([Slot; SLOTS]);

impl Room {
    pub(super) fn new() -> Self {
        Self([const { Slot(MaybeUninit::uninit()) }; SLOTS])
    }
}

/// The first tweaks of these units and the next.
pub(super) struct Firsts(pub [Blocks; 2]);

impl Firsts {
    /// That of `unit`, if it is one of those that are held now.
    #[inline(always)]
    pub fn of(&self, unit: usize) -> &Block {
        &self.0[unit / MOST_BLOCKS % 2][unit % MOST_BLOCKS]
    }
}

impl<'a, L: Lanes, T: Tweaks<L>> Ahead<'a, L, T> {
    /// The masks of units of `groups` groups each, with `key` in them.
    #[inline(always)]
    pub fn new(
        lanes: L,
        way: T,
        key: &'a RoundKey,
        groups: usize,
        firsts: &Firsts,
        room: &'a mut Room,
    ) -> Self {
        let tweak = way.tweak(lanes, firsts.of(0), key);
        let mut ahead = Self { way, key, groups, tweak, left: 0, unit: 0, slot: 0, room };
        for slot in 0..AHEAD {
            ahead.begin(lanes, slot, firsts);
            for at in 0..GROUP {
                ahead.make(lanes, at);
            }
        }
        ahead
    }

    /// The masks of group `group` of the row. Those of the group [`AHEAD`] of it are to be made beside it.
    #[inline(always)]
    pub fn masks(&mut self, lanes: L, group: usize, firsts: &Firsts) -> *const u8 {
        self.begin(lanes, (group + AHEAD) % SLOTS, firsts);
        self.room.0[group % SLOTS].0.as_ptr().cast()
    }

    /// Begins the next group, in `slot`. Behind the last unit nobody looks at what comes of it.
    #[inline(always)]
    fn begin(&mut self, lanes: L, slot: usize, firsts: &Firsts) {
        if self.left == 0 {
            self.tweak = self.way.tweak(lanes, firsts.of(self.unit), self.key);
            (self.left, self.unit) = (self.groups, self.unit + 1);
        } else {
            self.way.group_on(lanes, &mut self.tweak);
        }
        self.left -= 1;
        self.slot = slot;
    }

    #[inline(always)]
    fn make(&mut self, lanes: L, at: usize) {
        debug_assert!(at < GROUP, "a group has {GROUP} registers");
        let slot = self.room.0[self.slot].0.as_mut_ptr().cast::<u8>();
        // SAFETY: a slot is as long as the widest group, of which this is register `at`.
        unsafe { self.way.masks(lanes, &mut self.tweak, at, slot.add(at * L::WIDTH)) }
    }
}

impl<L: Lanes, T: Tweaks<L>> Beside<L> for Ahead<'_, L, T> {
    #[inline(always)]
    fn step(&mut self, lanes: L, at: usize) {
        self.make(lanes, at);
    }
}
