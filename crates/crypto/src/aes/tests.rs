//! The key schedule, tweaks and counters, that keys are wiped, and what a machine must have. The bytes that the drivers make are tested in
//! `tests/contract`, with all drivers.
#![allow(unsafe_code)]

use super::block::{Block, Blocks, GROUP, MOST_BLOCKS, MOST_LANES, RoundKey};
use super::cbc::Cbc;
use super::ecb::Ecb;
use super::lanes::{Lanes, Work, Xmm, Ymm, Zmm, found};
use super::schedule::{RoundKeys, Schedule};
use super::tweaks::{Bytes, General, Shifts, Tweaks};
use super::xts::Xts;
use crate::request::IvRule;
use std::any::type_name;
use std::mem::MaybeUninit;

fn expanded(aes: Xmm, key: &[u8]) -> Schedule {
    let mut schedule = Schedule::default();
    schedule.expand(aes, key);
    schedule
}

/// The registers, where this machine has them; where it does not, that is told.
fn detected<L: Lanes>() -> Option<L> {
    let told =
        |lacks| udm_testkit::skip_for_machine(&format!("AES on {} blocks a register", L::BLOCKS), lacks);
    L::detect().inspect_err(|lacks| told(format!("this processor lacks {lacks}"))).ok()
}

/// FIPS 197, A.1 to A.3: the key, and its last round key.
#[test]
fn the_last_round_keys_are_the_standards() {
    let Some(aes) = detected::<Xmm>() else { return };
    let bytes = |number: u128| number.to_be_bytes();
    let short = bytes(0x2b7e_1516_28ae_d2a6_abf7_1588_09cf_4f3c);
    assert_eq!(
        expanded(aes, &short).keys::<true>()[10].0[3],
        bytes(0xd014_f9a8_c9ee_2589_e13f_0cc8_b663_0ca6)
    );
    let mut middle = bytes(0x8e73_b0f7_da0e_6452_c810_f32b_8090_79e5).to_vec();
    middle.extend(0x62f8_ead2_522c_6b7b_u64.to_be_bytes());
    assert_eq!(
        expanded(aes, &middle).keys::<true>()[12].0[3],
        bytes(0xe98b_a06f_448c_773c_8ecc_7204_0100_2202)
    );
    let mut long = bytes(0x603d_eb10_15ca_71be_2b73_aef0_857d_7781).to_vec();
    long.extend(bytes(0x1f35_2c07_3b61_08d7_2d98_10a3_0914_dff4));
    assert_eq!(
        expanded(aes, &long).keys::<true>()[14].0[3],
        bytes(0xfe48_90d1_e618_8d0b_046d_f344_706c_631e)
    );
}

/// A way to make masks, where this machine has it; where it does not, that is told.
fn detected_way<L: Lanes, T: Tweaks<L>>() -> Option<(L, T)> {
    let told = |lacks: &str| {
        udm_testkit::skip_for_machine(type_name::<T>(), format!("this processor lacks {lacks}"));
    };
    let lanes = detected()?;
    T::detect(lanes).map(|way| (lanes, way)).inspect_err(|lacks| told(lacks)).ok()
}

/// The masks of three groups from a tweak on.
struct Masks<'a, T> {
    way: T,
    tweak: Block,
    key: &'a RoundKey,
    made: &'a mut Vec<Block>,
}

impl<L: Lanes, T: Tweaks<L>> Work<L> for Masks<'_, T> {
    #[inline(always)]
    fn work(self, lanes: L) {
        let mut tweak = self.way.tweak(lanes, &self.tweak, self.key);
        for group in 0..3 {
            if group > 0 {
                self.way.group_on(lanes, &mut tweak);
            }
            for at in 0..GROUP {
                let mut register = [Block::default(); MOST_LANES];
                // SAFETY: it is as long as the widest register.
                unsafe { self.way.masks(lanes, &mut tweak, at, register.as_mut_ptr().cast()) };
                self.made.extend(&register[..L::BLOCKS]);
            }
        }
    }
}

/// IEEE 1619, 5.2: each block's tweak is the one before times x. All steps are sums, so that the tweaks of one bit and
/// the one of none are all that there are to be tried.
#[test]
fn masks_are_tweaks_times_powers_of_x_with_the_key_added() {
    fn check<L: Lanes, T: Tweaks<L>>() {
        let Some((lanes, way)) = detected_way::<L, T>() else { return };
        let key: u128 = 0x0f1e_2d3c_4b5a_6978_8796_a5b4_c3d2_e1f0;
        for first in (0..128).map(|bit| 1 << bit).chain([0]) {
            let mut masks = Vec::new();
            let key_lanes = RoundKey([u128::to_le_bytes(key); MOST_LANES]);
            let tweak = u128::to_le_bytes(first);
            way.run(lanes, Masks { way, tweak, key: &key_lanes, made: &mut masks });
            let mut tweak = first;
            for (block, mask) in masks.into_iter().enumerate() {
                let right = tweak ^ key;
                assert_eq!(
                    u128::from_le_bytes(mask),
                    right,
                    "{first:#x} x^{block}, {} on {} blocks a register",
                    type_name::<T>(),
                    L::BLOCKS
                );
                tweak = tweak << 1 ^ if tweak >> 127 == 1 { 0x87 } else { 0 };
            }
        }
    }
    check::<Xmm, General>();
    check::<Ymm, General>();
    check::<Zmm, Shifts>();
    check::<Zmm, Bytes>();
}

/// The numbers that a rule gives to its IVs, from the last that do not wrap on.
#[test]
fn counters_are_those_of_the_rule() {
    fn check<L: Lanes>() {
        let Some(lanes) = detected::<L>() else { return };
        let high = 0x8877_6655_4433_2211;
        for (first, stride) in [(0, 1), (7, 0), (u64::MAX - 40, 8), (1 << 63, u64::MAX)] {
            let iv = (u128::from(high) << 64 | u128::from(first)).to_le_bytes();
            let mut right = [Block::default(); MOST_BLOCKS];
            IvRule::CounterLe64 { first: iv, stride }.fill(0, &mut right);
            let mut counted: Blocks = [[0xee; 16]; MOST_BLOCKS];
            lanes.count(&mut counted, first, stride, high);
            assert_eq!(counted, right, "{first} by {stride}, {} a register", L::BLOCKS);
        }
    }
    check::<Xmm>();
    check::<Ymm>();
    check::<Zmm>();
}

/// How many bytes of `slot` are not zero.
///
/// # Safety
/// Every byte of it must have been written once; it may hold a dropped value.
unsafe fn count<T>(slot: &MaybeUninit<T>) -> usize {
    let begin = slot.as_ptr().cast::<u8>();
    // SAFETY: each is within the slot, and written by this function's contract. Volatile, so that the reads are of the
    // memory and not of what the compiler knows of the value.
    (0..size_of::<T>()).filter(|&at| unsafe { begin.add(at).read_volatile() } != 0).count()
}

/// Nothing is left of a key. The bad twin is the look before the drop, which finds most bytes of its round keys.
#[test]
fn a_dropped_key_is_wiped_from_its_memory() {
    fn check<T>(value: T, schedules: usize) {
        let mut slot = MaybeUninit::<T>::zeroed();
        slot.write(value);
        // SAFETY: the slot is zeroed, then written; the types below have no padding.
        let before = unsafe { count(&slot) };
        // SAFETY: it holds a value, which is not used again.
        unsafe { slot.assume_init_drop() };
        // SAFETY: as above.
        let after = unsafe { count(&slot) };
        assert!(before > schedules * size_of::<RoundKeys>(), "{before} of {} bytes", size_of::<T>());
        assert_eq!(after, 0);
    }
    let Some(aes) = detected::<Xmm>() else { return };
    let key: Vec<u8> = (0x40..0x80).collect();
    check(*Xts::<Xmm, General, 14>::new(aes, General, &key), 2);
    check(*Cbc::<Xmm, 14>::new(aes, &key[..32]), 1);
    check(*Ecb::<Xmm, 14>::new(aes, &key[..32]), 1);
}

/// A machine that lacks something is said to lack the first of it, and one that has all nothing.
#[test]
fn what_a_machine_lacks_is_named() {
    assert_eq!(found(&[(true, "AES-NI"), (false, "AVX2"), (false, "VAES")]), Err("AVX2"));
    assert_eq!(found(&[(true, "AES-NI"), (true, "AVX2")]), Ok(()));
}
