//! An asynchronous driver: from another thread, out of order, and with a backlog.
#![allow(unsafe_code)]

use crate::contract::registry::{driver, good};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;
use udm_block::{Span, SpanIter, SpanIterMut, SpanMut};
use udm_crypto::waiting::crypt_waiting;
use udm_crypto::{
    Algorithm, Answer, Carrier, Choice, CryptError, Direction, Iv, IvRule, Job, KeyedCipher, Mode, MultiUnit,
    Registry, Request, Skcipher,
};

const XTS: Algorithm = Algorithm::aes(Mode::Xts);

/// How many jobs the driver has at work; more wait in its backlog.
const AT_WORK: usize = 4;

/// What is told at a job's end: its number, how it ended, and the data.
type End = (usize, Result<(), CryptError>, Vec<u8>);

/// All of one request, on the heap.
struct Order {
    number: usize,
    data: NonNull<[u8]>,
    spans: [Span<'static>; 1],
    unit_size: usize,
    admitted: Arc<AtomicUsize>,
    told: Sender<End>,
}

/// A pointer to an order: what a bio is elsewhere.
struct Ticket(NonNull<Order>);

// SAFETY: a ticket owns its order, and an order owns its data.
unsafe impl Send for Ticket {}

impl Ticket {
    fn new(
        number: usize,
        unit_size: usize,
        data: Vec<u8>,
        told: &Sender<End>,
        admitted: &Arc<AtomicUsize>,
    ) -> Self {
        let data = NonNull::from(Box::leak(data.into_boxed_slice()));
        // SAFETY: the memory stays until the order is finished, and is reached through the span alone until then.
        let spans = [unsafe { Span::from_raw(data.cast(), data.len()) }];
        let (told, admitted) = (told.clone(), admitted.clone());
        Self(NonNull::from(Box::leak(Box::new(Order { number, data, spans, unit_size, admitted, told }))))
    }

    fn order(&self) -> &Order {
        // SAFETY: the order lives until `finish`.
        unsafe { self.0.as_ref() }
    }
}

// SAFETY: the order, with the spans that the request borrows, stays where it is from `new` until `finish`; a ticket is
// nothing but its address.
unsafe impl Carrier for Ticket {
    fn into_raw(self) -> NonNull<()> {
        self.0.cast()
    }
    unsafe fn from_raw(raw: NonNull<()>) -> Self {
        Self(raw.cast())
    }
    fn request(&mut self) -> (Request<'_>, SpanMut<'_>) {
        let order = self.order();
        let src = SpanIter::new(&order.spans);
        // SAFETY: the data is this ticket's, which is borrowed for as long as the request is used.
        let dst = unsafe { SpanIterMut::from_iter(src) };
        let iv = IvRule::CounterLe64 { first: Iv::default(), stride: 1 };
        (Request { direction: Direction::Encrypt, src, dst, unit_size: order.unit_size, iv }, SpanMut::EMPTY)
    }
    fn admitted(&self) {
        self.order().admitted.fetch_add(1, Ordering::SeqCst);
    }
    fn finish(self, result: Result<(), CryptError>) {
        // SAFETY: both came from `Box::leak` in `new`, and this is their end.
        let (order, data) = unsafe {
            let order = Box::from_raw(self.0.as_ptr());
            let data = Box::from_raw(order.data.as_ptr());
            (order, data)
        };
        order.told.send((order.number, result, data.into_vec())).unwrap();
    }
}

/// What the caller's threads and the driver's share.
#[derive(Default)]
struct Shared {
    jobs: Mutex<Jobs>,
    news: Condvar,
}

#[derive(Default)]
struct Jobs {
    at_work: Vec<Job>,
    backlog: VecDeque<Job>,
    closing: bool,
}

/// The driver: works on a thread of its own, last come first served.
struct Later {
    good: Arc<dyn KeyedCipher>,
    shared: Arc<Shared>,
    worker: Option<JoinHandle<()>>,
}

impl Later {
    fn new(algorithm: Algorithm, key: &[u8]) -> Self {
        let good: Arc<dyn KeyedCipher> = Arc::from(good(algorithm, key));
        let shared = Arc::<Shared>::default();
        let worker = Some(std::thread::spawn({
            let (good, shared) = (good.clone(), shared.clone());
            move || work(good.as_ref(), &shared)
        }));
        Self { good, shared, worker }
    }
}

/// Finishes jobs until there is none and the driver closes.
fn work(good: &dyn KeyedCipher, shared: &Shared) {
    loop {
        let jobs = shared.jobs.lock().unwrap();
        let jobs = shared.news.wait_while(jobs, |jobs| jobs.at_work.is_empty() && !jobs.closing).unwrap();
        // A device takes its time, here until it is full: so jobs that come overtake others, and some must wait.
        let slow = Duration::from_millis(50);
        let full = |jobs: &mut Jobs| jobs.backlog.is_empty() && !jobs.closing;
        let (mut jobs, _) = shared.news.wait_timeout_while(jobs, slow, full).unwrap();
        let Some(mut job) = jobs.at_work.pop() else { return };
        if let Some(next) = jobs.backlog.pop_front() {
            next.admitted();
            jobs.at_work.push(next);
        }
        drop(jobs);
        let result = good.crypt(&mut job.request());
        job.finish(result);
    }
}

impl KeyedCipher for Later {
    fn crypt(&self, request: &mut Request<'_>) -> Result<(), CryptError> {
        self.good.crypt(request)
    }

    fn start(&self, mut job: Job) -> Result<Answer, Job> {
        if job.request().unit_size == 4096 {
            return Err(job);
        }
        let mut jobs = self.shared.jobs.lock().unwrap();
        let busy = jobs.at_work.len() >= AT_WORK;
        if busy {
            jobs.backlog.push_back(job);
        } else {
            jobs.at_work.push(job);
        }
        self.shared.news.notify_one();
        Ok(if busy { Answer::Busy } else { Answer::Queued })
    }
}

impl Drop for Later {
    fn drop(&mut self) {
        self.shared.jobs.lock().unwrap().closing = true;
        self.shared.news.notify_one();
        self.worker.take().unwrap().join().unwrap();
    }
}

fn later() -> (Registry, Skcipher) {
    let mut registry = Registry::default();
    registry.register(driver("later", MultiUnit::Native, |algorithm, key| {
        Ok(Box::new(Later::new(algorithm, key)))
    }));
    let skcipher = Skcipher::new(&registry, Choice::Best, XTS, &[7; 64]).unwrap();
    assert_eq!(skcipher.driver().name, "later");
    (registry, skcipher)
}

/// What order `number` holds before it is encrypted, and after. Oracle: the portable driver, which answers at once.
fn data(number: usize, len: usize) -> Vec<u8> {
    vec![number as u8; len]
}

fn expected(number: usize, len: usize, unit_size: usize) -> Vec<u8> {
    let mut data = data(number, len);
    let mut spans = [SpanMut::new(&mut data)];
    let mut bytes = SpanIterMut::new(&mut spans);
    let (src, dst) = bytes.in_place();
    let iv = IvRule::CounterLe64 { first: Iv::default(), stride: 1 };
    let direction = Direction::Encrypt;
    good(XTS, &[7; 64]).crypt(&mut Request { direction, src, dst, unit_size, iv }).unwrap();
    data
}

#[test]
fn jobs_end_on_another_thread_out_of_order_and_from_a_backlog() {
    let (_registry, skcipher) = later();
    let (told, ends) = channel();
    let admitted = Arc::new(AtomicUsize::new(0));
    let mut busy = 0;
    for number in 0..12 {
        let job = Job::new(Ticket::new(number, 512, data(number, 2048), &told, &admitted));
        match skcipher.start(job) {
            Answer::Done => panic!("the driver is asynchronous"),
            Answer::Queued => {}
            Answer::Busy => busy += 1,
        }
    }
    let mut order = Vec::new();
    for _ in 0..12 {
        let (number, result, data) = ends.recv_timeout(Duration::from_secs(10)).unwrap();
        assert_eq!(result, Ok(()));
        assert!(data == expected(number, 2048, 512), "job {number}");
        order.push(number);
    }
    assert!(busy > 0, "the backlog was never used");
    assert_eq!(
        admitted.load(Ordering::SeqCst),
        busy,
        "each that was told to wait is told once that there is room"
    );
    assert!(!order.is_sorted(), "nothing was overtaken: {order:?}");
    order.sort_unstable();
    assert!(order.into_iter().eq(0..12));
}

#[test]
fn a_job_that_the_driver_hands_back_is_split() {
    let (_registry, skcipher) = later();
    let (told, ends) = channel();
    let admitted = Arc::default();
    let job = Job::new(Ticket::new(3, 4096, data(3, 8192), &told, &admitted));
    assert_eq!(skcipher.start(job), Answer::Done);
    let (_, result, data) = ends.try_recv().unwrap();
    assert_eq!(result, Ok(()));
    assert!(skcipher.is_split() && data == expected(3, 8192, 4096));
}

#[test]
fn a_driver_that_knows_no_jobs_does_them_at_once() {
    let skcipher = Skcipher::new(Registry::global(), Choice::Named("portable"), XTS, &[7; 64]).unwrap();
    let (told, ends) = channel();
    let admitted = Arc::default();
    let job = Job::new(Ticket::new(5, 512, data(5, 1024), &told, &admitted));
    assert_eq!(skcipher.start(job), Answer::Done);
    let (_, result, data) = ends.try_recv().unwrap();
    assert_eq!(result, Ok(()));
    assert!(data == expected(5, 1024, 512));
}

#[test]
fn a_job_that_is_not_valid_ends_at_once_and_unwritten() {
    let (_registry, skcipher) = later();
    let (told, ends) = channel();
    let admitted = Arc::default();
    let job = Job::new(Ticket::new(6, 512, data(6, 1000), &told, &admitted));
    assert_eq!(skcipher.start(job), Answer::Done);
    assert_eq!(ends.try_recv().unwrap(), (6, Err(CryptError::InvalidRequest), data(6, 1000)));
}

#[test]
fn a_lost_job_is_loud() {
    let (told, ends) = channel();
    let admitted = Arc::default();
    let job = Job::new(Ticket::new(1, 512, data(1, 512), &told, &admitted));
    let lost = catch_unwind(AssertUnwindSafe(|| drop(job)));
    assert_eq!(lost.is_err(), cfg!(debug_assertions));
    assert_eq!(ends.try_recv().unwrap().1, Err(CryptError::Lost));
}

static PANICS: AtomicBool = AtomicBool::new(false);
static WORKED: AtomicBool = AtomicBool::new(false);

/// A driver that hands a job on to a thread and then panics, once it is told to.
struct HandsOn(Arc<dyn KeyedCipher>);

impl KeyedCipher for HandsOn {
    fn crypt(&self, request: &mut Request<'_>) -> Result<(), CryptError> {
        self.0.crypt(request)
    }

    fn start(&self, mut job: Job) -> Result<Answer, Job> {
        if !PANICS.load(Ordering::SeqCst) {
            let result = self.0.crypt(&mut job.request());
            job.finish(result);
            return Ok(Answer::Done);
        }
        let good = self.0.clone();
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            let result = good.crypt(&mut job.request());
            WORKED.store(true, Ordering::SeqCst);
            job.finish(result);
        });
        panic!("the driver panics");
    }
}

/// What a request borrows does not go while a thread works on it, also where the driver panics meanwhile.
#[test]
fn a_job_that_was_handed_on_before_a_panic_is_waited_for() {
    let mut registry = Registry::default();
    registry.register(driver("hands on", MultiUnit::Native, |algorithm, key| {
        Ok(Box::new(HandsOn(Arc::from(good(algorithm, key)))))
    }));
    let skcipher = Skcipher::new(&registry, Choice::Best, XTS, &[7; 64]).unwrap();
    PANICS.store(true, Ordering::SeqCst);
    let mut data = data(8, 4096);
    let mut spans = [SpanMut::new(&mut data)];
    let mut bytes = SpanIterMut::new(&mut spans);
    let (src, dst) = bytes.in_place();
    let iv = IvRule::CounterLe64 { first: Iv::default(), stride: 1 };
    let mut request = Request { direction: Direction::Encrypt, src, dst, unit_size: 512, iv };
    let waits = || crypt_waiting(&skcipher, &mut request, SpanMut::EMPTY);
    assert!(catch_unwind(AssertUnwindSafe(waits)).is_err(), "the driver's panic goes on");
    assert!(WORKED.load(Ordering::SeqCst), "the memory went while a thread had it");
    assert!(data == expected(8, 4096, 512));
}

/// Pointer-sized, twice: nothing is allocated to send one.
#[test]
fn a_job_is_two_words() {
    assert_eq!(size_of::<Job>(), 2 * size_of::<usize>());
    assert_eq!(size_of::<Option<Job>>(), size_of::<Job>());
}
