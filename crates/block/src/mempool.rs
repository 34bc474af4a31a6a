//! A pool with a guaranteed reserve (the kernel's `mempool_t`), and the rule by which an allocation is served.
//!
//! An allocation takes from the channel's stock (`stock.rs`); else what others have left here; else from normal memory,
//! within the pool's limit; else from the reserve; else it gives up, and its bio is parked on the pool, or it sleeps.
//! Freeing refills the reserve first, so a stock never robs it.
//!
//! Who waits, a parked bio or a sleeping thread, has a ticket, and the reserve serves tickets in their order. A parked
//! bio that is woken carries a promise of one element to its driver, so that nobody overtakes it on the way.

use std::alloc::Layout;
use std::sync::{Arc, PoisonError};

use crate::bio::{Bio, BioList};
use crate::lent::Lent;
use crate::memory::{Chunk, Source};
use crate::promise::{Promise, Promises};
use crate::reserve::{Next, Reserve};
use crate::share::Share;
use crate::sync::{AtomicUsize, Condvar, Mutex, MutexGuard, Ordering};

pub use crate::reserve::Waits;

/// What an allocation may do when there is no memory (the kernel's `gfp_t`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Alloc {
    /// Take the reserve if it must, but never sleep: for what an I/O cannot go on without.
    NoWait,
    /// Ask normal memory once and leave the reserve alone: for what an I/O can do without.
    NoRetry,
    /// Sleep until the reserve serves it. It never fails. Only on a queue that may sleep ([`crate::Queue::sleeping`]).
    Wait,
}

/// There was no memory for a pool's reserve.
#[derive(Debug, thiserror::Error)]
#[error(
    "no memory for {count} elements of {bytes} bytes, the reserve of the pool \"{pool}\": raise the limit (ulimit -v, or that \
     of the container), or end other programs"
)]
pub struct NoReserve {
    /// The pool's name.
    pub pool: &'static str,
    /// How many elements its reserve was to have.
    pub count: usize,
    /// The size of an element in bytes.
    pub bytes: usize,
}

/// Something that a pool can hold, made of a piece of memory.
pub(crate) trait Element: Send + Sized + 'static {
    /// The element in `chunk`, whose layout is the pool's.
    fn from_chunk(chunk: Chunk) -> Self;

    /// It leaves the queue that it was used on.
    fn leave_queue(&mut self) {}
}

/// How a pool is to be.
#[derive(Clone, Debug)]
pub(crate) struct PoolOptions {
    /// What it holds, for messages.
    pub(crate) name: &'static str,
    /// The layout of an element.
    pub(crate) layout: Layout,
    /// How many elements are always there.
    pub(crate) reserve: usize,
    /// How many free elements a queue may keep for itself, and how many may be left here.
    pub(crate) stock: usize,
    /// How much all queues may keep of what this pool and others have in common.
    pub(crate) share: Arc<Share>,
}

/// A pool of elements with a reserve. It lives until the last of them is dropped.
pub(crate) struct Mempool<E: Element>(Arc<Inner<E>>);

impl<E: Element> Clone for Mempool<E> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

pub(crate) struct Inner<E: Element> {
    options: PoolOptions,
    normal: Source,
    /// How many elements the reserve lacks. Changed under the lock of `shared`. Whoever waits has found the reserve empty
    /// or promised away: so while this is 0, either nobody waits, or who was woken will see to the next.
    short: AtomicUsize,
    /// How many elements are left here for any queue. Changed under the lock.
    left: AtomicUsize,
    shared: Mutex<Shared<E>>,
    /// The ticket that is served has changed, or there is an element for it.
    turn: Condvar,
}

struct Shared<E> {
    reserve: Reserve<E>,
    /// Beyond the reserve: for any queue.
    left: Vec<E>,
}

impl<E: Element> Mempool<E> {
    /// A pool that takes its reserve from `source` now, and later what it has beyond that.
    ///
    /// # Errors
    /// When there is not enough memory for the reserve.
    // not on the I/O path: once a pool
    pub(crate) fn new(options: PoolOptions, source: &Source) -> Result<Self, NoReserve> {
        let elements: Option<Vec<E>> =
            (0..options.reserve).map(|_| Chunk::new(source, options.layout).map(E::from_chunk)).collect();
        let no_reserve =
            NoReserve { pool: options.name, count: options.reserve, bytes: options.layout.size() };
        let reserve = Reserve::new(elements.ok_or(no_reserve)?);
        let left = Vec::with_capacity(options.stock);
        Ok(Self(Arc::new(Inner {
            options,
            normal: Arc::clone(source),
            short: AtomicUsize::new(0),
            left: AtomicUsize::new(0),
            shared: Mutex::new(Shared { reserve, left }),
            turn: Condvar::new(),
        })))
    }

    /// Tells pools apart while they live.
    #[inline]
    pub(crate) fn id(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    pub(crate) fn options(&self) -> &PoolOptions {
        &self.0.options
    }

    /// An element that is no queue's, by the rule of this module; `None` only where `how` allows it. `promise` is that of
    /// the bio for which it is; it is taken when it is of this pool.
    #[cold]
    pub(crate) fn alloc(&self, promise: &mut Option<Promise>, how: Alloc) -> Option<Lent<E>> {
        match self.0.take_left().or_else(|| self.0.take_normal()) {
            Some(element) => Some(self.lend(element)),
            None if how == Alloc::NoRetry => None,
            None => self.alloc_reserve(promise, how),
        }
    }

    /// An element that some queue has left here.
    pub(crate) fn alloc_left(&self) -> Option<Lent<E>> {
        self.0.take_left().map(|element| self.lend(element))
    }

    /// An element of the reserve, or what `how` says where there is none.
    pub(crate) fn alloc_reserve(&self, promise: &mut Option<Promise>, how: Alloc) -> Option<Lent<E>> {
        self.0.take_reserve(promise, how).map(|element| self.lend(element))
    }

    fn lend(&self, element: E) -> Lent<E> {
        Lent::new(element, Arc::clone(&self.0))
    }

    /// How it was waited for so far.
    pub(crate) fn waits(&self) -> Waits {
        self.0.lock().reserve.waits()
    }

    /// Whether an allocation would have to wait for the reserve now.
    pub(crate) fn is_dry(&self) -> bool {
        !self.0.lock().reserve.has_for_new()
    }

    /// Whether the reserve lacks an element: then what is free goes there first.
    #[inline]
    pub(crate) fn is_short(&self) -> bool {
        self.0.short.load(Ordering::Relaxed) != 0
    }

    /// The size of an element in bytes.
    pub(crate) fn element_size(&self) -> usize {
        self.0.options.layout.size()
    }

    /// Leaves `bio`, which found the pool dry, to the pool: when the reserve has an element for it, first come, first
    /// served, it goes on at its queue with a promise of that element. When one has become free meanwhile that is at once.
    pub(crate) fn park(&self, bio: Bio) {
        let mut shared = self.0.lock();
        if !shared.reserve.has_for_new() {
            return shared.reserve.park(bio);
        }
        shared.reserve.promise();
        drop(shared);
        drop(bio.wake(self.0.promise()));
    }

    /// Drops an element that some queue has left here, so that its memory can serve something else: whether there was one.
    pub(crate) fn evict(&self) -> bool {
        self.0.take_left().is_some()
    }
}

impl<E: Element> Inner<E> {
    fn lock(&self) -> MutexGuard<'_, Shared<E>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_normal(&self) -> Option<E> {
        Chunk::new(&self.normal, self.options.layout).map(E::from_chunk)
    }

    fn take_left(&self) -> Option<E> {
        if self.left.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let mut shared = self.lock();
        let element = shared.left.pop();
        self.left.store(shared.left.len(), Ordering::Relaxed);
        element
    }

    fn take_reserve(self: &Arc<Self>, promise: &mut Option<Promise>, how: Alloc) -> Option<E> {
        let mine = promise.take_if(|promise| promise.is_of(&**self));
        if mine.is_none() && how == Alloc::Wait {
            // What another pool has promised waits for nobody who sleeps.
            *promise = None;
        }
        let mut shared = self.lock();
        if let Some(mine) = mine {
            mine.redeem();
            shared.reserve.take_promise_back();
            return Some(self.take(&mut shared));
        }
        if shared.reserve.has_for_new() {
            return Some(self.take(&mut shared));
        }
        if how != Alloc::Wait {
            return None;
        }
        Some(self.sleep(shared))
    }

    /// Takes an element that the reserve has.
    fn take(&self, shared: &mut Shared<E>) -> E {
        self.short.fetch_add(1, Ordering::Relaxed);
        shared.reserve.pop().expect("the reserve has what it promises")
    }

    /// Sleeps until the reserve has an element for this thread.
    fn sleep(self: &Arc<Self>, mut shared: MutexGuard<'_, Shared<E>>) -> E {
        let ticket = shared.reserve.sleep();
        while !shared.reserve.is_turn_of(ticket) {
            shared = self.turn.wait(shared).unwrap_or_else(PoisonError::into_inner);
        }
        shared.reserve.wake();
        let element = self.take(&mut shared);
        // Elements that came home meanwhile are for who is behind.
        self.serve(shared);
        element
    }

    /// Takes an element back that no queue keeps: to the reserve where that is short, and so to who waits the longest; else
    /// it is left here while there is room, or its memory goes back.
    #[cold]
    pub(crate) fn put(self: &Arc<Self>, mut element: E) {
        element.leave_queue();
        let mut shared = self.lock();
        if shared.reserve.len() < self.options.reserve {
            shared.reserve.push(element);
            self.short.fetch_sub(1, Ordering::Relaxed);
            return self.serve(shared);
        }
        if shared.left.len() < self.options.stock {
            shared.left.push(element);
            return self.left.store(shared.left.len(), Ordering::Relaxed);
        }
        drop(shared);
        drop(element);
    }

    /// Serves who waits, in the order of their tickets, with what the reserve has.
    fn serve<'a>(self: &'a Arc<Self>, mut shared: MutexGuard<'a, Shared<E>>) {
        loop {
            let mut woken = self.serve_waiting(&mut shared);
            drop(shared);
            let mut unused = 0;
            while let Some(bio) = woken.pop() {
                if let Err(promise) = bio.wake(self.promise()) {
                    // Counted, and not dropped: that would serve those behind it from here, and so on with each.
                    promise.redeem();
                    unused += 1;
                }
            }
            if unused == 0 {
                return;
            }
            shared = self.lock();
            (0..unused).for_each(|_| shared.reserve.take_promise_back());
        }
    }

    /// Takes the bios out whose turn it is, and wakes the thread that it may be then.
    fn serve_waiting(&self, shared: &mut Shared<E>) -> BioList {
        let mut woken = BioList::new();
        loop {
            match shared.reserve.serve_next() {
                Some(Next::Bio(bio)) => woken.push(bio),
                // Who sees to those behind it.
                Some(Next::Sleeper) => break self.turn.notify_all(),
                None => break,
            }
        }
        woken
    }

    /// A promise of an element of the reserve, which has been counted.
    fn promise(self: &Arc<Self>) -> Promise {
        Promise::new(Arc::clone(self) as Arc<dyn Promises>)
    }
}

/// A woken bio that got what it needed elsewhere leaves what it was promised to the next.
impl<E: Element> Promises for Inner<E> {
    fn take_back(self: Arc<Self>) {
        let mut shared = self.lock();
        shared.reserve.take_promise_back();
        self.serve(shared);
    }
}
