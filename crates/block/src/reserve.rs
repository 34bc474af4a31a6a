//! The reserve of a pool, and the queue of those who wait for it: what is parked, such as a bio, and sleeping threads, by
//! their tickets.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::list::{Linked, List};
use crate::promise::Promise;

static PARKED: AtomicU64 = AtomicU64::new(0);
static SLEPT: AtomicU64 = AtomicU64::new(0);
static LONGEST: AtomicU64 = AtomicU64::new(0);

/// What is parked on a pool that is dry, and goes on when the pool wakes it: a bio.
pub(crate) trait Waiter: Linked + Send + 'static {
    /// Its place among those who wait.
    fn ticket(&self) -> u64;

    /// Gives it that place.
    fn set_ticket(&mut self, ticket: u64);

    /// Goes on: there is an element for it. The promise comes back where nobody will make use of it.
    fn wake(self, promise: Promise) -> Result<(), Promise>;
}

/// How a pool was waited for, or all pools of the process.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Waits {
    /// How many bios were parked.
    pub parked: u64,
    /// How many threads slept.
    pub slept: u64,
    /// The most others that anybody who waited was behind: so many elements came home before its own.
    pub longest: u64,
}

impl Waits {
    /// How all pools of this process were waited for so far.
    pub fn of_process() -> Self {
        let [parked, slept, longest] = [&PARKED, &SLEPT, &LONGEST].map(|count| count.load(Ordering::Relaxed));
        Self { parked, slept, longest }
    }
}

/// Elements, and who waits for them.
pub(crate) struct Reserve<E, W: Waiter> {
    elements: Vec<E>,
    /// How many of them are for who was woken and has not come yet.
    promised: usize,
    /// What is parked, in the order of their tickets.
    parked: List<W>,
    /// The ticket of who waits the longest.
    serving: u64,
    /// The ticket of who comes next.
    next_ticket: u64,
    waits: Waits,
}

/// Who is served next.
pub(crate) enum Next<W> {
    /// What was parked: an element is promised to it now.
    Parked(W),
    /// A thread, which takes its element itself.
    Sleeper,
}

impl<E, W: Waiter> Reserve<E, W> {
    /// A reserve of these elements. It never holds more.
    pub(crate) fn new(elements: Vec<E>) -> Self {
        let (parked, waits) = (List::new(), Waits::default());
        Self { elements, promised: 0, parked, serving: 0, next_ticket: 0, waits }
    }

    /// How many elements are here.
    pub(crate) fn len(&self) -> usize {
        self.elements.len()
    }

    /// Takes an element back.
    pub(crate) fn push(&mut self, element: E) {
        self.elements.push(element);
    }

    /// Takes an element.
    pub(crate) fn pop(&mut self) -> Option<E> {
        self.elements.pop()
    }

    /// How it was waited for.
    pub(crate) fn waits(&self) -> Waits {
        self.waits
    }

    /// Whether there is an element that nobody was promised.
    fn has(&self) -> bool {
        self.elements.len() > self.promised
    }

    /// Whether there is one for somebody who does not wait yet: nobody may be before them.
    pub(crate) fn has_for_new(&self) -> bool {
        self.has() && self.serving == self.next_ticket
    }

    /// Promises an element.
    pub(crate) fn promise(&mut self) {
        self.promised += 1;
    }

    /// A promise is kept, or not made use of.
    pub(crate) fn take_promise_back(&mut self) {
        self.promised -= 1;
    }

    /// `waiter` waits from now on.
    pub(crate) fn park(&mut self, mut waiter: W) {
        waiter.set_ticket(self.take_ticket());
        self.waits.parked += 1;
        PARKED.fetch_add(1, Ordering::Relaxed);
        self.parked.push(waiter);
    }

    /// A thread waits from now on: its ticket.
    pub(crate) fn sleep(&mut self) -> u64 {
        self.waits.slept += 1;
        SLEPT.fetch_add(1, Ordering::Relaxed);
        self.take_ticket()
    }

    /// Whether the thread with this ticket may take an element.
    pub(crate) fn is_turn_of(&self, ticket: u64) -> bool {
        self.serving == ticket && self.has()
    }

    /// The thread whose turn it is takes its element now.
    pub(crate) fn wake(&mut self) {
        self.serving += 1;
    }

    /// Who waits the longest, where there is an element for them.
    pub(crate) fn serve_next(&mut self) -> Option<Next<W>> {
        if self.serving == self.next_ticket || !self.has() {
            return None;
        }
        let Some(first) = self.parked.pop_if(|first| first.ticket() == self.serving) else {
            return Some(Next::Sleeper);
        };
        self.serving += 1;
        self.promised += 1;
        Some(Next::Parked(first))
    }

    fn take_ticket(&mut self) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.waits.longest = self.waits.longest.max(ticket - self.serving);
        LONGEST.fetch_max(self.waits.longest, Ordering::Relaxed);
        ticket
    }
}
