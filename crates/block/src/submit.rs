//! How a bio is handed to a device and how it ends, without recursion: lists of this thread take the place of the
//! stack.
//!
//! While a driver's `submit` runs, what it submits goes on this thread's list. After each driver call come: bios for
//! other (lower) devices first, then those for the same device, then the older ones, each group in order (the
//! kernel's `__submit_bio_noacct`, depth first since 4.11: plain FIFO deadlocked md and dm). Completions are a list
//! of their own, so a stack of any height and a bio in any number of pieces end on a bounded stack.

#![allow(unsafe_code)]

use std::cell::Cell;
use std::sync::Arc;

use crate::bio::{Bio, BioList, LocalList};
use crate::device::{DeviceRef, Geometry, LONGEST_DEVICE};
use crate::op::Op;
use crate::promise::Promise;
use crate::queue;
use crate::status::Status;
#[cfg(shuttle)]
use crate::sync::CellKey;
use crate::sync::{local, thread};
use crate::units::SECTOR_SHIFT;

local! {
    /// What the driver call that is running has submitted; meaningful while `SUBMITTING`.
    static FRESH: LocalList = const { LocalList::new() };
    /// What was submitted before, in the order in which it is dispatched.
    static OLDER: LocalList = const { LocalList::new() };
    static SUBMITTING: Cell<bool> = const { Cell::new(false) };
    /// The device whose driver is being called.
    static CALLED: Cell<Option<*const DeviceRef>> = const { Cell::new(None) };
    /// What a pool has promised to the bio that a driver is being called with, or told the end of.
    static PROMISE: Cell<Option<Promise>> = const { Cell::new(None) };
    static ENDED: LocalList = const { LocalList::new() };
    static ENDING: Cell<bool> = const { Cell::new(false) };
}

/// Hands `bio` to `dev`. It comes back through its pad's `end_io`.
pub fn submit(dev: &DeviceRef, mut bio: Bio) {
    if let Err(status) = check(&dev.geometry(), &bio) {
        return bio.complete(status);
    }
    if SUBMITTING.get() {
        bio.set_device(dev);
        return FRESH.with(|fresh| fresh.push(bio));
    }
    SUBMITTING.set(true);
    let running = Running(&SUBMITTING);
    call(dev, bio);
    run_list(Arc::as_ptr(dev).cast());
    running.end();
}

/// Hands `bio` once more to the device whose driver is being called, behind what that has submitted to lower ones.
///
/// # Panics
/// When no driver is being called on this thread.
pub fn again(mut bio: Bio) {
    stay_at_called_device(&mut bio);
    FRESH.with(|fresh| fresh.push(bio));
}

/// Dispatches what the driver calls of this thread submit, depth first, until nothing is left.
fn run_list(mut dev: *const ()) {
    while let Some(mut bio) = next(dev) {
        // The bio's reference becomes the call's, which may outlive the bio.
        let Some(to) = bio.take_device() else { return bio.complete(Status::IoErr) };
        dev = Arc::as_ptr(&to).cast();
        call(&to, bio);
    }
}

/// The bio that goes next after a call of `dev`.
fn next(dev: *const ()) -> Option<Bio> {
    let Some(first) = FRESH.with(LocalList::pop) else { return OLDER.with(LocalList::pop) };
    if FRESH.with(LocalList::is_empty) {
        // The common case: it goes before the older ones, wherever it goes.
        return Some(first);
    }
    let (mut lower, mut same) = (BioList::new(), BioList::new());
    let mut fresh = Some(first);
    while let Some(bio) = fresh {
        let goes_to_same = bio.device().is_some_and(|to| Arc::as_ptr(to).cast() == dev);
        let list = if goes_to_same { &mut same } else { &mut lower };
        list.push(bio);
        fresh = FRESH.with(LocalList::pop);
    }
    OLDER.with(|older| {
        let mut older = older.borrow_mut();
        older.prepend(&mut same);
        older.prepend(&mut lower);
        older.pop()
    })
}

/// One driver call.
fn call(dev: &DeviceRef, mut bio: Bio) {
    if let Some(promise) = bio.take_promise() {
        return with(promise, || call(dev, bio));
    }
    let called = Called(CALLED.replace(Some(std::ptr::from_ref(dev))));
    dev.submit(bio);
    drop(called);
}

/// Does `work` with a bio that a pool has woken. What it does not make use of goes back to the pool.
#[cold]
pub(crate) fn with(promise: Promise, work: impl FnOnce()) {
    struct Before(Option<Promise>);
    impl Drop for Before {
        fn drop(&mut self) {
            drop(PROMISE.replace(self.0.take()));
        }
    }
    let before = Before(PROMISE.replace(Some(promise)));
    work();
    drop(before);
}

/// The promise to the bio that is being worked on, where it is a `wanted` one.
pub(crate) fn promise(wanted: impl FnOnce(&Promise) -> bool) -> Option<Promise> {
    let promise = PROMISE.replace(None)?;
    if wanted(&promise) {
        return Some(promise);
    }
    PROMISE.set(Some(promise));
    None
}

/// Puts back what was called before, also when a driver panics.
struct Called(Option<*const DeviceRef>);

impl Drop for Called {
    fn drop(&mut self) {
        CALLED.set(self.0);
    }
}

/// Remembers in a bio that its driver holds back the device whose driver is being called, for [`resubmit`].
///
/// # Panics
/// When no driver is being called on this thread.
pub fn stay_at_called_device(bio: &mut Bio) {
    let called = CALLED.get().expect("a bio is parked by the driver that was called with it");
    // SAFETY: `call` set the pointer from a reference that lives until it has put the former one back.
    bio.set_device(unsafe { &*called });
}

/// Hands a bio that was parked, or held back by [`stay_at_called_device`], to the device where it was going, on the
/// queue thread that it belongs to.
pub fn resubmit(bio: Bio) {
    match bio.home() {
        Some(home) if !home.is_here() => queue::mail_to_submit(home, bio),
        _ => dispatch_here(bio),
    }
}

/// Takes the bios of one set from this thread's two lists: those that are dispatched first come first.
pub(crate) fn take_of_set(set: usize) -> BioList {
    let of_set = |bio: &Bio| bio.set_id() == set;
    // What the running call has submitted goes before what is older.
    let mut taken = FRESH.with(|fresh| fresh.borrow_mut().take_if(of_set));
    taken.append(&mut OLDER.with(|older| older.borrow_mut().take_if(of_set)));
    taken
}

/// Hands a bio that was on another thread's list to the device where it was going, on this thread.
pub(crate) fn dispatch_here(mut bio: Bio) {
    match bio.take_device() {
        Some(dev) => submit(&dev, bio),
        None => bio.complete(Status::IoErr),
    }
}

/// Whether a device can take a bio at all.
fn check(geometry: &Geometry, bio: &Bio) -> Result<(), Status> {
    let op = bio.op();
    if op == Op::Flush {
        return Ok(());
    }
    // Drivers below compute offsets in bytes, which do not wrap up to the longest device.
    if geometry.size > LONGEST_DEVICE || bio.end().is_none_or(|end| end.0 > geometry.size.0) {
        return Err(Status::IoErr);
    }
    // A block is a power of two of bytes. The end was checked: the offset does not wrap.
    let within_block = u64::from(geometry.logical_block) - 1;
    if (bio.len().0 | (bio.sector().0 << SECTOR_SHIFT)) & within_block != 0 {
        return Err(Status::Invalid);
    }
    if op.has_data() && bio.len().0 > u64::from(geometry.max_transfer) {
        return Err(Status::IoErr);
    }
    match op {
        _ if op.is_write() && geometry.read_only => Err(Status::Protection),
        Op::Discard if !geometry.discard => Err(Status::NotSupported),
        Op::WriteZeroes if !geometry.write_zeroes => Err(Status::NotSupported),
        _ => Ok(()),
    }
}

/// A completion of `bio` came: ends it when that was the last one. What its `end_io` ends waits until that has
/// returned.
pub(crate) fn ended(bio: Bio) {
    let mut bio = Some(bio);
    if ENDING.get() && ENDED.try_with(|ended| ended.push(bio.take().expect("put once"))).is_ok() {
        return;
    }
    // A thread that is ending has no list any more: what its lists have lost is ended all the same.
    let Some(bio) = bio else { return };
    ENDING.set(true);
    let running = Running(&ENDING);
    bio.tell();
    while let Ok(Some(bio)) = ENDED.try_with(LocalList::pop) {
        bio.tell();
    }
    running.end();
}

/// The time in which this thread's list is in use. It ends by being dropped only where a driver panics.
struct Running(&'static thread::LocalKey<Cell<bool>>);

impl Running {
    #[inline]
    fn end(self) {
        self.0.set(false);
        std::mem::forget(self);
    }
}

impl Drop for Running {
    #[cold]
    fn drop(&mut self) {
        self.0.set(false);
        // Nobody else would come for what the driver had submitted and what had ended: their owners hear of it.
        for list in [&FRESH, &OLDER, &ENDED] {
            drop(list.try_with(LocalList::take));
        }
    }
}
