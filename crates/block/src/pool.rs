//! What all queues share of a pool: its reserve, who waits for that, and what they have left.

use std::alloc::Layout;
use std::sync::{Arc, PoisonError};

use crate::alloc::{Alloc, NoReserve};
use crate::list::List;
use crate::memory::{Chunk, Source};
use crate::promise::{Promise, Promises};
use crate::reserve::{Next, Reserve, Waiter, Waits};
use crate::share::Share;
use crate::sync::{AtomicUsize, Condvar, Mutex, MutexGuard, Ordering};

/// Something that a pool can hold, made of a piece of memory.
pub(crate) trait Element: Send + Sized + 'static {
    /// What is parked on a pool of these that is dry.
    type Waiter: Waiter;

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

/// The shared part of a pool. A [`Mempool`](crate::mempool::Mempool) is a reference to it.
pub(crate) struct Pool<E: Element> {
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

struct Shared<E: Element> {
    reserve: Reserve<E, E::Waiter>,
    /// Beyond the reserve: for any queue.
    left: Vec<E>,
}

impl<E: Element> Pool<E> {
    /// A pool that takes its reserve from `source` now.
    ///
    /// # Errors
    /// When there is not enough memory for the reserve.
    // not on the I/O path: once a pool
    pub(crate) fn new(options: PoolOptions, source: &Source) -> Result<Arc<Self>, NoReserve> {
        let elements: Option<Vec<E>> =
            (0..options.reserve).map(|_| Chunk::new(source, options.layout).map(E::from_chunk)).collect();
        let no_reserve =
            NoReserve { pool: options.name, count: options.reserve, bytes: options.layout.size() };
        let reserve = Reserve::new(elements.ok_or(no_reserve)?);
        let left = Vec::with_capacity(options.stock);
        Ok(Arc::new(Self {
            options,
            normal: Arc::clone(source),
            short: AtomicUsize::new(0),
            left: AtomicUsize::new(0),
            shared: Mutex::new(Shared { reserve, left }),
            turn: Condvar::new(),
        }))
    }

    pub(crate) fn options(&self) -> &PoolOptions {
        &self.options
    }

    fn lock(&self) -> MutexGuard<'_, Shared<E>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How it was waited for so far.
    pub(crate) fn waits(&self) -> Waits {
        self.lock().reserve.waits()
    }

    /// Whether an allocation would have to wait for the reserve now.
    pub(crate) fn is_dry(&self) -> bool {
        !self.lock().reserve.has_for_new()
    }

    /// Whether the reserve lacks an element.
    #[inline]
    pub(crate) fn is_short(&self) -> bool {
        self.short.load(Ordering::Relaxed) != 0
    }

    /// Puts `waiter` in the queue of those who wait, or wakes it at once where there is an element for it.
    pub(crate) fn park(self: &Arc<Self>, waiter: E::Waiter) {
        let mut shared = self.lock();
        if !shared.reserve.has_for_new() {
            return shared.reserve.park(waiter);
        }
        shared.reserve.promise();
        drop(shared);
        drop(waiter.wake(self.promise()));
    }

    /// A new element, from normal memory.
    pub(crate) fn take_normal(&self) -> Option<E> {
        Chunk::new(&self.normal, self.options.layout).map(E::from_chunk)
    }

    /// An element that some queue has left here.
    pub(crate) fn take_left(&self) -> Option<E> {
        if self.left.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let mut shared = self.lock();
        let element = shared.left.pop();
        self.left.store(shared.left.len(), Ordering::Relaxed);
        element
    }

    /// An element of the reserve, or what `how` says where there is none.
    pub(crate) fn take_reserve(self: &Arc<Self>, promise: &mut Option<Promise>, how: Alloc) -> Option<E> {
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
            while let Some(waiter) = woken.pop() {
                if let Err(promise) = waiter.wake(self.promise()) {
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

    /// Takes what is parked out whose turn it is, and wakes the thread that it may be then.
    fn serve_waiting(&self, shared: &mut Shared<E>) -> List<E::Waiter> {
        let mut woken = List::new();
        loop {
            match shared.reserve.serve_next() {
                Some(Next::Parked(first)) => woken.push(first),
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
impl<E: Element> Promises for Pool<E> {
    fn take_back(self: Arc<Self>) {
        let mut shared = self.lock();
        shared.reserve.take_promise_back();
        self.serve(shared);
    }
}
