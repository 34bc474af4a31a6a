//! A request that is waited for, whatever its driver: for self-tests, and for callers that may sleep.
#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::mem;
use std::ptr::NonNull;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use udm_block::SpanMut;

use crate::error::CryptError;
use crate::job::{Carrier, Job};
use crate::request::Request;
use crate::skcipher::Skcipher;

/// Carries out `request` by [`Skcipher::start`] and sleeps until it is finished. `memory` is the driver's until then, of as
/// many bytes as its [`Later`](crate::Later) says.
///
/// # Errors
/// How it was finished.
pub fn crypt_waiting(
    skcipher: &Skcipher,
    request: &mut Request<'_>,
    memory: SpanMut<'_>,
) -> Result<(), CryptError> {
    // SAFETY: what both borrow outlives this call, which does not end before the job is finished, by a panic of the driver
    // neither (see `Finished`), and by then the driver has let go of them.
    let (request, memory) = unsafe {
        let request = mem::transmute::<Request<'_>, Request<'static>>(request.reborrow());
        (request, mem::transmute::<SpanMut<'_>, SpanMut<'static>>(memory))
    };
    let waiting = Arc::new(Waiting {
        request: request.into(),
        memory: memory.into(),
        result: Mutex::new(None),
        told: Condvar::new(),
    });
    let finished = Finished(&waiting);
    // A busy driver asks for no more, and there is no more.
    let _ = skcipher.start(Job::new(Ticket(Arc::clone(&waiting))));
    drop(finished);
    waiting.wait()
}

/// Waits for the job when it goes. A driver that panics may have handed the job on before: what the job borrows must not go
/// while another thread works with it. (A job that nobody has any more is finished by its drop.)
struct Finished<'a>(&'a Waiting);

impl Drop for Finished<'_> {
    fn drop(&mut self) {
        let _ = self.0.wait();
    }
}

/// A request, and the place for its result.
struct Waiting {
    request: UnsafeCell<Request<'static>>,
    memory: UnsafeCell<SpanMut<'static>>,
    result: Mutex<Option<Result<(), CryptError>>>,
    told: Condvar,
}

// SAFETY: the request and the memory are addresses of what the thread in `crypt_waiting` has borrowed. It does not touch them
// before the job is finished: until then they are the job's alone, whichever thread has it.
unsafe impl Send for Waiting {}
// SAFETY: as above; threads share the result alone, which has a lock.
unsafe impl Sync for Waiting {}

impl Waiting {
    /// Sleeps until the job is finished: how.
    fn wait(&self) -> Result<(), CryptError> {
        let mut result = self.result.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match *result {
                Some(result) => return result,
                None => result = self.told.wait(result).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

struct Ticket(Arc<Waiting>);

// SAFETY: the pointer is that of the `Arc`, which counts the ticket; the request and the memory stand in what it points
// to, and refer to what outlives the job.
unsafe impl Carrier for Ticket {
    fn into_raw(self) -> NonNull<()> {
        let raw = Arc::into_raw(self.0).cast_mut().cast();
        NonNull::new(raw).expect("an Arc's pointer is not null")
    }

    unsafe fn from_raw(raw: NonNull<()>) -> Self {
        // SAFETY: by the caller's promise, it came from `Arc::into_raw` of this type.
        Self(unsafe { Arc::from_raw(raw.as_ptr().cast()) })
    }

    fn request(&mut self) -> (Request<'_>, SpanMut<'_>) {
        // SAFETY: only the job reaches the two, by this ticket, which is borrowed for as long as they are used.
        unsafe { ((*self.0.request.get()).reborrow(), (*self.0.memory.get()).reborrow()) }
    }

    fn finish(self, result: Result<(), CryptError>) {
        *self.0.result.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        self.0.told.notify_one();
    }
}
