//! A request that may be finished later, on another thread, as an owned handle.
//!
//! Whoever sends requests has something that owns all of one: the spans, the IVs, and whom to tell. That is its
//! [`Carrier`] (a bio with a front pad, say). A [`Job`] is a carrier with its type erased: a pointer and a table of
//! functions, so that sending one allocates nothing.
#![allow(unsafe_code)]

use crate::error::CryptError;
use crate::request::Request;
use std::fmt;
use std::mem::{self, ManuallyDrop};
use std::ptr::NonNull;
use std::thread;

use udm_block::SpanMut;

/// What owns a request until it is finished, and is told then.
///
/// # Safety
/// - `into_raw` gives up the value for a pointer, and `from_raw` makes the same value of that pointer again.
/// - What `request` returns lives behind that pointer, not in the value itself: it stays valid, and where it is, until
///   the carrier is finished, whichever way the value moves and however often it is made of its pointer again. (So not
///   in a `Box`, whose every move claims its content for itself.)
pub unsafe trait Carrier: Send + Sized + 'static {
    /// Gives up the value for a pointer.
    fn into_raw(self) -> NonNull<()>;

    /// The value of which `raw` was made.
    ///
    /// # Safety
    /// `raw` came from `into_raw` of this type. One value at a time is used for it, and at most one is dropped or
    /// moved from.
    unsafe fn from_raw(raw: NonNull<()>) -> Self;

    /// The request, the same each time, and memory for the driver, which it may use until the request is finished: see
    /// [`Later`](crate::driver::Later). It is empty where the carrier has none.
    fn request(&mut self) -> (Request<'_>, SpanMut<'_>);

    /// The driver that answered [`Busy`](crate::Answer::Busy) has room again. Called at most once, on any thread,
    /// before `finish`. It must not sleep.
    fn admitted(&self) {}

    /// The request is finished. Called once, on any thread. It must not sleep.
    fn finish(self, result: Result<(), CryptError>);
}

/// A request to be finished exactly once.
#[must_use = "a dropped job fails its request"]
pub struct Job {
    raw: NonNull<()>,
    table: &'static Table,
}

/// A carrier's functions, by its pointer.
struct Table {
    request: for<'a> unsafe fn(&'a NonNull<()>) -> (Request<'a>, SpanMut<'a>),
    admitted: unsafe fn(NonNull<()>),
    finish: unsafe fn(NonNull<()>, Result<(), CryptError>),
}

// SAFETY: a job owns a carrier, which is `Send`.
unsafe impl Send for Job {}

impl Job {
    /// A job for `carrier`.
    pub fn new<C: Carrier>(carrier: C) -> Self {
        Self {
            raw: carrier.into_raw(),
            table: const {
                &Table { request: request_of::<C>, admitted: admitted_of::<C>, finish: finish_of::<C> }
            },
        }
    }

    /// The request.
    pub fn request(&mut self) -> Request<'_> {
        self.request_and_memory().0
    }

    /// The request, and the driver's memory, which is empty where the carrier has none.
    pub fn request_and_memory(&mut self) -> (Request<'_>, SpanMut<'_>) {
        // SAFETY: `raw` came from `into_raw` of the carrier that the table is for, and is not finished. The job is the one
        // right to it, and is lent for as long as the two are used.
        unsafe { (self.table.request)(&self.raw) }
    }

    /// Tells the carrier that the driver which answered [`Busy`](crate::Answer::Busy) takes jobs again.
    pub fn admitted(&self) {
        // SAFETY: as in `request_and_memory`.
        unsafe { (self.table.admitted)(self.raw) }
    }

    /// Ends the job and tells its carrier.
    pub fn finish(self, result: Result<(), CryptError>) {
        let job = ManuallyDrop::new(self);
        // SAFETY: as in `request_and_memory`; the job is gone after this, and its drop does not run.
        unsafe { (job.table.finish)(job.raw, result) }
    }
}

impl Drop for Job {
    /// A job that is dropped unfinished fails with [`CryptError::Lost`], and in debug builds the thread panics: the
    /// driver that lost it has a bug.
    fn drop(&mut self) {
        tracing::error!("a cipher driver lost a request");
        // SAFETY: as in `request_and_memory`; this is the job's end.
        unsafe { (self.table.finish)(self.raw, Err(CryptError::Lost)) }
        assert!(!cfg!(debug_assertions) || thread::panicking(), "a cipher job was dropped unfinished");
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The request is its driver's: it is not looked at from here.
        f.debug_struct("Job").finish_non_exhaustive()
    }
}

/// # Safety
/// `raw` came from `C::into_raw`, and its carrier is not finished. What an earlier call gave is not used any more.
unsafe fn request_of<C: Carrier>(raw: &NonNull<()>) -> (Request<'_>, SpanMut<'_>) {
    // SAFETY: by this function's contract; the value is only looked at, never dropped.
    let mut carrier = ManuallyDrop::new(unsafe { C::from_raw(*raw) });
    // SAFETY: the two live behind `raw` until the carrier is finished, by `Carrier`'s contract, and the job that
    // owns `raw` is borrowed for the lifetime that we return.
    unsafe { mem::transmute::<(Request<'_>, SpanMut<'_>), (Request<'_>, SpanMut<'_>)>(carrier.request()) }
}

/// # Safety
/// As for `request_of`.
unsafe fn admitted_of<C: Carrier>(raw: NonNull<()>) {
    // SAFETY: by this function's contract; the value is only looked at, never dropped.
    let carrier = ManuallyDrop::new(unsafe { C::from_raw(raw) });
    carrier.admitted();
}

/// # Safety
/// As for `request_of`; the carrier is finished after this.
unsafe fn finish_of<C: Carrier>(raw: NonNull<()>, result: Result<(), CryptError>) {
    // SAFETY: by this function's contract.
    unsafe { C::from_raw(raw) }.finish(result);
}
