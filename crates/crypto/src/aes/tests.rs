//! The key schedule, that keys are wiped, and what a machine must have. The bytes that the drivers make are tested in
//! `tests/contract`, with all drivers.
#![allow(unsafe_code)]

use super::cbc::Cbc;
use super::ecb::Ecb;
use super::lanes::{Lanes, Xmm, found};
use super::schedule::{RoundKeys, Schedule};
use super::xts::Xts;
use std::mem::MaybeUninit;

fn expanded(aes: Xmm, key: &[u8]) -> Schedule {
    let mut schedule = Schedule::default();
    schedule.expand(aes, key);
    schedule
}

/// FIPS 197, A.1 to A.3: the key, and its last round key.
#[test]
fn the_last_round_keys_are_the_standards() {
    let Ok(aes) = Xmm::detect() else { return };
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
    let Ok(aes) = Xmm::detect() else { return };
    let key: Vec<u8> = (0x40..0x80).collect();
    check(*Xts::<Xmm, 14>::new(aes, &key), 2);
    check(*Cbc::<Xmm, 14>::new(aes, &key[..32]), 1);
    check(*Ecb::<Xmm, 14>::new(aes, &key[..32]), 1);
}

/// A machine that lacks something is said to lack the first of it, and one that has all nothing.
#[test]
fn what_a_machine_lacks_is_named() {
    assert_eq!(found(&[(true, "AES-NI"), (false, "AVX2"), (false, "VAES")]), Err("AVX2"));
    assert_eq!(found(&[(true, "AES-NI"), (true, "AVX2")]), Ok(()));
}
