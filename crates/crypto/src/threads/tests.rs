//! The pool with ciphers that wait, fail and panic when a test wants it. What bytes come of it is held against the textbook
//! and the kernel in the contract's tests and in dm's.
#![allow(unsafe_code)]

use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Barrier, Condvar, Mutex};
use std::time::Duration;

use udm_block::{Span, SpanIter, SpanIterMut, SpanMut};

use super::pool::{BACKLOG, Pool, SLOTS};
use super::{Threads, drivers};
use crate::driver::{Answer, KeyedCipher};
use crate::error::CryptError;
use crate::job::{Carrier, Job};
use crate::request::{Direction, IvRule, Request};
use crate::skcipher::Skcipher;

const UNIT: usize = 512;
const PATIENCE: Duration = Duration::from_secs(if cfg!(miri) { 300 } else { 20 });

/// A cipher that does with each part what a test wants, and says when it is dropped.
struct Stub<F>(F, Arc<AtomicBool>);

impl<F: Fn(&mut Request<'_>) -> Result<(), CryptError> + Send + Sync> KeyedCipher for Stub<F> {
    fn crypt(&self, request: &mut Request<'_>) -> Result<(), CryptError> {
        (self.0)(request)
    }
}

impl<F> Drop for Stub<F> {
    fn drop(&mut self) {
        self.1.store(true, Ordering::SeqCst);
    }
}

/// A key of the cipher that `crypt` is, in parts of one unit, in a pool of `threads`. Whether its cipher is dropped.
fn key(
    threads: usize,
    crypt: impl Fn(&mut Request<'_>) -> Result<(), CryptError> + Send + Sync + 'static,
) -> (Skcipher, Arc<AtomicBool>) {
    let (driver, gone) = (drivers().next().unwrap(), Arc::<AtomicBool>::default());
    let skcipher = |keyed| Skcipher::from_parts(driver.algorithm, driver.info, Arc::default(), keyed);
    let cipher = Arc::new(skcipher(Box::new(Stub(crypt, Arc::clone(&gone)))));
    let pool = Pool::start(threads).unwrap();
    (skcipher(Box::new(Threads { cipher, part: UNIT, pool })), gone)
}

/// A request of zeros on the heap, whose units are numbered by their IVs.
struct Order {
    spans: [Span<'static>; 1],
    admitted: AtomicUsize,
    told: Box<dyn Fn(Result<(), CryptError>, usize) + Send>,
}

struct Ticket(NonNull<Order>);

// SAFETY: a ticket owns its order, and an order owns its data.
unsafe impl Send for Ticket {}

// SAFETY: the order stays where it is until `finish`; a ticket is nothing but its address.
unsafe impl Carrier for Ticket {
    fn into_raw(self) -> NonNull<()> {
        self.0.cast()
    }
    unsafe fn from_raw(raw: NonNull<()>) -> Self {
        Self(raw.cast())
    }
    fn request(&mut self) -> (Request<'_>, SpanMut<'_>) {
        // SAFETY: the order lives until `finish`.
        let src = SpanIter::new(unsafe { &self.0.as_ref().spans });
        // SAFETY: the bytes are this ticket's, which is borrowed for as long as the request is used.
        let dst = unsafe { SpanIterMut::from_iter(src) };
        let iv = IvRule::CounterLe64 { first: [0; 16], stride: 1 };
        (Request { direction: Direction::Encrypt, src, dst, unit_size: UNIT, iv }, SpanMut::EMPTY)
    }
    fn admitted(&self) {
        // SAFETY: as in `request`.
        unsafe { self.0.as_ref() }.admitted.fetch_add(1, Ordering::SeqCst);
    }
    fn finish(self, result: Result<(), CryptError>) {
        // SAFETY: it came from `Box::into_raw` in `job`, and so did the bytes; this is their end.
        let order = unsafe {
            let order = Box::from_raw(self.0.as_ptr());
            let bytes = NonNull::slice_from_raw_parts(
                NonNull::new_unchecked(order.spans[0].as_ptr().cast_mut()),
                order.spans[0].len(),
            );
            drop(Box::from_raw(bytes.as_ptr()));
            order
        };
        (order.told)(result, order.admitted.into_inner());
    }
}

/// A job of `units` units; at its end `told` hears the result, and how often the job was admitted.
fn job(units: usize, told: impl Fn(Result<(), CryptError>, usize) + Send + 'static) -> Job {
    let bytes = NonNull::from(Box::leak(vec![0_u8; units * UNIT].into_boxed_slice()));
    // SAFETY: the bytes stay until the job is finished, and are reached through the span alone until then.
    let spans = [unsafe { Span::from_raw(bytes.cast(), bytes.len()) }];
    let order = Order { spans, admitted: AtomicUsize::new(0), told: Box::new(told) };
    Job::new(Ticket(NonNull::from(Box::leak(Box::new(order)))))
}

/// A job that sends its end.
fn sending(units: usize, to: &Sender<(Result<(), CryptError>, usize)>) -> Job {
    let to = to.clone();
    job(units, move |result, admitted| to.send((result, admitted)).unwrap())
}

fn unit_of(request: &Request<'_>) -> u64 {
    u128::from_le_bytes(request.iv.iv(0)) as u64
}

/// Oracle: the barrier, which lets nobody pass before three threads have parts of the one request.
#[test]
fn one_request_is_at_work_on_all_threads() {
    let (barrier, seen) = (Barrier::new(3), Arc::new(Mutex::new(Vec::new())));
    let units = Arc::clone(&seen);
    let (key, _) = key(3, move |request| {
        units.lock().unwrap().push(unit_of(request));
        barrier.wait();
        Ok(())
    });
    let (told, ends) = channel();
    assert_eq!(key.start(sending(6, &told)), Answer::Queued);
    assert_eq!(ends.recv_timeout(PATIENCE).unwrap(), (Ok(()), 0));
    let mut seen = seen.lock().unwrap().clone();
    seen.sort_unstable();
    assert_eq!(seen, [0, 1, 2, 3, 4, 5], "each unit once, with its own number");
    // A short one is done here and now.
    let (key, _) = self::key(1, |_| Ok(()));
    assert_eq!(key.start(sending(1, &told)), Answer::Done);
    assert_eq!(ends.try_recv().unwrap(), (Ok(()), 0));
}

/// Oracle: the units that the cipher saw. One thread takes them in order, so what is behind the error is left alone.
#[test]
fn the_first_error_sticks_and_ends_the_request() {
    let seen = Arc::new(AtomicUsize::new(0));
    let units = Arc::clone(&seen);
    let (key, _) = key(1, move |request| {
        units.fetch_add(1, Ordering::SeqCst);
        match unit_of(request) {
            3 => Err(CryptError::Lost),
            _ => Ok(()),
        }
    });
    let (told, ends) = channel();
    assert_eq!(key.start(sending(9, &told)), Answer::Queued);
    assert_eq!(ends.recv_timeout(PATIENCE).unwrap(), (Err(CryptError::Lost), 0));
    assert_eq!(seen.load(Ordering::SeqCst), 4);
    // With several threads, two parts fail: the one whose error comes first is told, and the later does not replace it.
    let (order, turn) = (Mutex::new(false), Condvar::new());
    let (key, _) = self::key(2, move |request| {
        let mut first = order.lock().unwrap();
        if unit_of(request) == 0 {
            *first = true;
            turn.notify_all();
            return Err(CryptError::Lost);
        }
        drop(turn.wait_timeout_while(first, PATIENCE, |first| !*first).unwrap());
        std::thread::sleep(Duration::from_millis(50));
        Err(CryptError::NoMemory)
    });
    assert_eq!(key.start(sending(2, &told)), Answer::Queued);
    assert_eq!(ends.recv_timeout(PATIENCE).unwrap(), (Err(CryptError::Lost), 0));
}

/// Oracle: the bounds, and each carrier's own count. What finds neither slot nor backlog is done by its caller.
#[test]
fn slots_backlog_and_then_the_caller_itself() {
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let (of_cipher, caller) = (Arc::clone(&gate), std::thread::current().id());
    let (key, _) = key(2, move |_| {
        let open = of_cipher.0.lock().unwrap();
        if std::thread::current().id() != caller {
            drop(of_cipher.1.wait_timeout_while(open, PATIENCE, |open| !*open).unwrap());
        }
        Ok(())
    });
    let (told, ends) = channel();
    let answers: Vec<_> = (0..SLOTS + BACKLOG + 5).map(|_| key.start(sending(2, &told))).collect();
    let expected = [(SLOTS, Answer::Queued), (BACKLOG, Answer::Busy), (5, Answer::Done)];
    let expected = expected.map(|(count, answer)| vec![answer; count]).concat();
    assert_eq!(answers, expected);
    let done = |ends: &Receiver<_>| ends.recv_timeout(PATIENCE).unwrap();
    let early: Vec<_> = (0..5).map(|_| done(&ends)).collect();
    assert_eq!(early, [(Ok(()), 0); 5], "by the caller, while the gate is closed");
    assert!(ends.try_recv().is_err(), "the gate is closed");
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
    let rest: Vec<_> = (0..SLOTS + BACKLOG).map(|_| done(&ends)).collect();
    assert!(rest.iter().all(|(result, _)| result.is_ok()));
    let once = rest.iter().filter(|(_, admitted)| *admitted == 1).count();
    assert_eq!((once, rest.iter().map(|(_, admitted)| admitted).sum()), (BACKLOG, BACKLOG));
}

/// Oracle: the first thing that the carrier does at the end is to drop the key, whose cipher must be gone then.
#[test]
fn at_the_end_of_the_last_request_nothing_holds_the_key() {
    for _ in 0..if cfg!(miri) { 3 } else { 50 } {
        let (key, gone) = key(2, |_| Ok(()));
        let key = Arc::new(Mutex::new(Some(key)));
        let (told, ends) = channel();
        let owner = Arc::clone(&key);
        let job = job(4, move |_, _| {
            drop(owner.lock().unwrap().take());
            told.send(gone.load(Ordering::SeqCst)).unwrap();
        });
        let answer = key.lock().unwrap().as_ref().unwrap().start(job);
        assert_eq!(answer, Answer::Queued);
        assert!(ends.recv_timeout(PATIENCE).unwrap(), "the cipher outlives the key's last request");
    }
}

#[test]
fn a_panic_of_the_cipher_fails_the_request_and_spares_the_pool() {
    let (key, _) = key(1, |request| match unit_of(request) {
        1 => panic!("on purpose"),
        _ => Ok(()),
    });
    let (told, ends) = channel();
    for _ in 0..3 {
        assert_eq!(key.start(sending(3, &told)), Answer::Queued);
        assert_eq!(ends.recv_timeout(PATIENCE).unwrap(), (Err(CryptError::Failed), 0));
    }
}
