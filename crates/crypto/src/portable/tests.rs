//! That a key's memory is wiped. The bytes that the driver makes are tested in `tests/contract`, with all drivers.
#![allow(unsafe_code)]

use super::*;
use std::mem::MaybeUninit;

/// How many times `needle` is in the memory of `slot`.
///
/// # Safety
/// Every byte of `slot` must have been written once; it may hold a dropped value.
unsafe fn count<T>(slot: &MaybeUninit<T>, needle: &[u8]) -> usize {
    let begin = slot.as_ptr().cast::<u8>();
    let bytes: Vec<u8> = (0..size_of::<T>())
        // SAFETY: it is within the slot, and written by this function's contract. Volatile, so that the reads are of
        // the memory and not of what the compiler knows of the value.
        .map(|at| unsafe { begin.add(at).read_volatile() })
        .collect();
    bytes.windows(needle.len()).filter(|window| *window == needle).count()
}

/// The oracle is the key itself, of which AES has a copy as its first round keys; the bad twin is the look before the
/// drop, which finds it.
#[test]
fn a_dropped_key_is_wiped_from_its_memory() {
    if !aes::hardware_accelerated() {
        let why = "without AES instructions, round keys are kept in another order than the key's";
        return udm_testkit::skip_for_machine("wiped keys of the aes crate", why);
    }
    let key: Vec<u8> = (0x40..0x80).collect();
    let mut slot = MaybeUninit::<[Aes256; 2]>::zeroed();
    slot.write([crated(&key[..32]), crated(&key[32..])]);
    // SAFETY: the slot is zeroed, then written.
    let before = unsafe { (count(&slot, &key[..32]), count(&slot, &key[32..])) };
    // SAFETY: it holds a value, which is not used again.
    unsafe { slot.assume_init_drop() };
    // SAFETY: as above.
    let after = unsafe { (count(&slot, &key[..16]), count(&slot, &key[32..48])) };
    assert!(before.0 > 0 && before.1 > 0, "the key is not where the test looks for it");
    assert_eq!(after, (0, 0));
}

/// What is our own and made of a key: nothing of it is left. The bad twin is the look before the drop.
#[test]
fn what_was_made_of_a_key_is_wiped() {
    fn check<T>(value: T) {
        let mut slot = MaybeUninit::<T>::zeroed();
        slot.write(value);
        // SAFETY: the slot is zeroed, then written; none of the types below has padding.
        let before = unsafe { count(&slot, &[0]) };
        // SAFETY: it holds a value, which is not used again.
        unsafe { slot.assume_init_drop() };
        // SAFETY: as above.
        let after = unsafe { count(&slot, &[0]) };
        assert!(before < size_of::<T>() / 8, "{before} of {} bytes are zero", size_of::<T>());
        assert_eq!(after, size_of::<T>());
    }
    let key: Vec<u8> = (0..adiantum::Hash::KEY_SIZE).map(|at| (at * 31 + 7) as u8 | 1).collect();
    check(twofish::Twofish::new(&key[..32]));
    check(lrw::Lrw::new(*key.first_chunk().unwrap()));
    check(adiantum::Hash::new(&key));
}
