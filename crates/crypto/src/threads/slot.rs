//! A request that is spread over threads: its units in parts, some of which are at work.
#![allow(unsafe_code)]

use std::mem::{self, MaybeUninit};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::error::CryptError;
use crate::job::Job;
use crate::request::Request;
use crate::skcipher::Skcipher;

/// A job in parts. It goes by [`finish`](Self::finish), once all its parts have come back.
pub(super) struct Spread {
    /// Not touched while parts are at work: its carrier's memory is theirs then.
    job: Job,
    cipher: Arc<Skcipher>,
    /// That of `job`, which lives as long as that is not finished: its direction and its IVs, and those of its units that no
    /// thread has yet. What a function is given by value it may take to be valid until it returns, and so would `finish`
    /// with the references in here, whose memory goes while it runs: hence the `MaybeUninit`, of which nothing is taken.
    request: MaybeUninit<Request<'static>>,
    /// How many units a part has.
    units: usize,
    /// How many units the job has.
    all: usize,
    /// The first unit that no thread has yet.
    next: usize,
    /// How many parts are at work.
    at_work: usize,
    /// The first error that came back.
    result: Result<(), CryptError>,
}

// SAFETY: the request is that of the job, which is Send: its spans and IVs are the driver's, on whichever threads it has,
// until the job is finished. Parts that are at work at once have different units.
unsafe impl Send for Spread {}

/// Some units of a [`Spread`], for one thread. It does not outlive that.
pub(super) struct Part {
    cipher: Arc<Skcipher>,
    request: Request<'static>,
}

impl Spread {
    /// `job` in parts of `units` units, at least one.
    pub(super) fn new(mut job: Job, cipher: Arc<Skcipher>, units: usize) -> Self {
        // SAFETY: what the request borrows lives behind the job's pointer until the job is finished, by `Carrier`'s
        // contract, wherever the job is moved. The job is in this value until `finish`, which sees to it that no part is
        // left; the request leaves this value in parts only; and no pool drops it otherwise, as none is ever dropped.
        let request = unsafe { mem::transmute::<Request<'_>, Request<'static>>(job.request()) };
        let all = request.units();
        let request = MaybeUninit::new(request);
        Self { job, cipher, request, units, all, next: 0, at_work: 0, result: Ok(()) }
    }

    /// How many parts are not given out yet.
    pub(super) fn parts_left(&self) -> usize {
        (self.all - self.next).div_ceil(self.units)
    }

    /// The next part, if there is one left.
    pub(super) fn take(&mut self) -> Option<Part> {
        let units = self.units.min(self.all - self.next);
        if units == 0 {
            return None;
        }
        // SAFETY: it is written by `new`, and never moved out.
        let request = unsafe { self.request.assume_init_mut() };
        let Request { direction, src, dst, unit_size, iv } = request;
        let (len, iv) = (units * *unit_size, iv.part(self.next, units));
        let (direction, unit_size, dst) = (*direction, *unit_size, dst.take_first(len));
        let request = Request { direction, src: src.first(len), dst, unit_size, iv };
        src.advance(len);
        self.next += units;
        self.at_work += 1;
        Some(Part { cipher: Arc::clone(&self.cipher), request })
    }

    /// A part has come back. After an error no more are given out. Whether this was the last.
    pub(super) fn put_back(&mut self, result: Result<(), CryptError>) -> bool {
        self.at_work -= 1;
        if self.result.is_ok() && result.is_err() {
            self.result = result;
            self.next = self.all;
        }
        self.at_work == 0 && self.parts_left() == 0
    }

    /// There is room for it: tells its carrier. No part has been taken yet.
    pub(super) fn admitted(&self) {
        self.job.admitted();
    }

    /// Tells the carrier how it went. The key is let go before: who hears of the end of the last request may drop it, and
    /// it is to be wiped then.
    pub(super) fn finish(self) {
        let Self { job, cipher, at_work, result, .. } = self;
        assert_eq!(at_work, 0, "parts of the request are at work");
        drop(cipher);
        job.finish(result);
    }
}

impl Part {
    /// Encrypts or decrypts it. A panic of the cipher fails the request: nobody may wait for ever.
    pub(super) fn crypt(mut self) -> Result<(), CryptError> {
        catch_unwind(AssertUnwindSafe(|| self.cipher.crypt(&mut self.request)))
            .unwrap_or(Err(CryptError::Failed))
    }
}
