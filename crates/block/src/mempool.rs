//! A pool with a guaranteed reserve (the kernel's `mempool_t`), and the rule by which an allocation is served.
//!
//! An allocation takes from this thread's magazine; else from normal memory, within the pool's limit; else what another
//! thread keeps and does not use; else from the reserve; else it gives up, and its bio is parked on the pool, or it sleeps.
//! Freeing refills the reserve first, so a magazine never robs it.
//!
//! Who waits, a parked bio or a sleeping thread, has a ticket, and the reserve serves tickets in their order. A parked
//! bio that is woken carries a promise of one element to its driver, so that nobody overtakes it on the way.
#![allow(unsafe_code)]

use std::alloc::Layout;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::time::{Duration, Instant};

use crate::bio::{Bio, BioList};
use crate::magazine::Magazines;
use crate::memory::{Chunk, Source};
use crate::promise::{Promise, Promises};
use crate::reserve::{Next, Reserve};
use crate::status::Status;
use crate::sync::{AtomicUsize, Condvar, Mutex, MutexGuard, Ordering, thread};
use crate::{queue, submit};

pub use crate::reserve::Waits;

/// What an allocation may do when there is no memory (the kernel's `gfp_t`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Alloc {
    /// Take the reserve if it must, but never sleep: for what an I/O cannot go on without.
    NoWait,
    /// Ask normal memory once and leave the reserve alone: for what an I/O can do without.
    NoRetry,
    /// Sleep until the reserve serves it. It never fails. Not on a queue thread.
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
pub trait Element: Send + Sized + 'static {
    /// What all elements of a pool share, and reach while they are out.
    type Context: Send + Sync;

    /// The element in `chunk`, whose layout is the pool's.
    fn from_chunk(chunk: Chunk) -> Self;
}

/// How a pool is to be.
#[derive(Clone, Debug)]
pub struct PoolOptions {
    /// What it holds, for messages.
    pub name: &'static str,
    /// The layout of an element.
    pub layout: Layout,
    /// How many elements are always there.
    pub reserve: usize,
    /// How many free elements a thread may keep for itself.
    pub magazine: usize,
}

/// A pool of elements with a reserve.
pub struct Mempool<E: Element>(NonNull<Inner<E>>);

struct Inner<E: Element> {
    options: PoolOptions,
    context: E::Context,
    normal: Source,
    magazines: Magazines<E>,
    /// How many elements exist beyond the reserve.
    extra: AtomicUsize,
    /// How many elements the reserve lacks. Changed under the lock of `reserve`. Whoever waits has found the reserve empty
    /// or promised away: so while this is 0, either nobody waits, or who was woken will see to the next.
    short: AtomicUsize,
    reserve: Mutex<Reserve<E>>,
    /// The ticket that is served has changed, or there is an element for it.
    turn: Condvar,
}

// SAFETY: the pointer is to an `Inner` that is Sync: magazines are (for E: Send), and the rest is atomics and locks.
unsafe impl<E: Element> Send for Mempool<E> {}
// SAFETY: as above.
unsafe impl<E: Element> Sync for Mempool<E> {}

impl<E: Element> Mempool<E> {
    /// A pool that takes its reserve from `reserve` now, and what it has beyond that from `normal`.
    ///
    /// # Errors
    /// When there is not enough memory for the reserve.
    pub fn new(
        options: PoolOptions,
        reserve: &Source,
        normal: Source,
        context: E::Context,
    ) -> Result<Self, NoReserve> {
        let elements: Option<Vec<E>> =
            (0..options.reserve).map(|_| Chunk::new(reserve, options.layout).map(E::from_chunk)).collect();
        let no_reserve =
            NoReserve { pool: options.name, count: options.reserve, bytes: options.layout.size() };
        let inner = Inner {
            magazines: Magazines::new(options.magazine),
            options,
            context,
            normal,
            extra: AtomicUsize::new(0),
            short: AtomicUsize::new(0),
            reserve: Mutex::new(Reserve::new(elements.ok_or(no_reserve)?)),
            turn: Condvar::new(),
        };
        Ok(Self(NonNull::from(Box::leak(Box::new(inner)))))
    }

    fn inner(&self) -> &Inner<E> {
        // SAFETY: the pool's drop is the only place that frees it.
        unsafe { self.0.as_ref() }
    }

    /// Tells pools apart while they live.
    pub fn id(&self) -> usize {
        self.0.addr().get()
    }

    /// What all of its elements share.
    pub fn context(&self) -> &E::Context {
        &self.inner().context
    }

    /// An element, by the rule of this module; `None` only where `how` allows it.
    #[inline]
    pub fn alloc(&self, how: Alloc) -> Option<Lent<E>> {
        if let Some(kept) = self.alloc_kept() {
            return Some(kept);
        }
        let inner = self.inner();
        match inner.take_normal().or_else(|| inner.magazines.steal()) {
            Some(element) => Some(self.lend(element)),
            None if how == Alloc::NoRetry => None,
            None => self.alloc_reserve(how),
        }
    }

    /// An element that this thread keeps.
    #[inline]
    pub fn alloc_kept(&self) -> Option<Lent<E>> {
        self.inner().magazines.pop().map(|element| self.lend(element))
    }

    /// An element that some thread keeps, this one before others.
    pub(crate) fn alloc_idle(&self) -> Option<Lent<E>> {
        self.inner().take_idle().map(|element| self.lend(element))
    }

    /// An element of the reserve, or what `how` says where there is none.
    pub fn alloc_reserve(&self, how: Alloc) -> Option<Lent<E>> {
        self.inner().take_reserve(how).map(|element| self.lend(element))
    }

    #[inline]
    fn lend(&self, element: E) -> Lent<E> {
        Lent { element: ManuallyDrop::new(element), pool: self.0 }
    }

    /// How it was waited for so far.
    pub fn waits(&self) -> Waits {
        self.inner().lock().waits()
    }

    /// Whether an allocation would have to wait for the reserve now.
    pub(crate) fn is_dry(&self) -> bool {
        !self.inner().lock().has_for_new()
    }

    /// The size of an element in bytes.
    pub fn element_size(&self) -> usize {
        self.inner().options.layout.size()
    }

    /// Leaves `bio`, which found the pool dry, to the pool: it is submitted to its device again when the reserve has an
    /// element for it, first come, first served, and finds that element there. When one has become free meanwhile that
    /// is at once.
    ///
    /// # Panics
    /// When no driver is being called on this thread: a bio is parked by the driver that was called with it.
    pub fn park(&self, mut bio: Bio) {
        submit::stay_at_called_device(&mut bio);
        self.wait(bio);
    }

    /// The same for a bio that knows where it goes.
    pub(crate) fn wait(&self, bio: Bio) {
        let mut reserve = self.inner().lock();
        if !reserve.has_for_new() {
            return reserve.park(bio);
        }
        reserve.promise();
        drop(reserve);
        self.inner().wake(bio);
    }

    /// Drops an element that some thread keeps, this one before others, so that its memory can serve something else:
    /// whether there was one.
    pub(crate) fn evict(&self) -> bool {
        let inner = self.inner();
        let kept = inner.take_idle();
        if kept.is_some() {
            inner.extra.fetch_sub(1, Ordering::Relaxed);
        }
        kept.is_some()
    }
}

impl<E: Element> Inner<E> {
    fn lock(&self) -> MutexGuard<'_, Reserve<E>> {
        self.reserve.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    #[cold]
    fn take_normal(&self) -> Option<E> {
        let chunk = Chunk::new(&self.normal, self.options.layout)?;
        self.extra.fetch_add(1, Ordering::Relaxed);
        Some(E::from_chunk(chunk))
    }

    fn take_idle(&self) -> Option<E> {
        self.magazines.pop().or_else(|| self.magazines.steal())
    }

    #[cold]
    fn take_reserve(&self, how: Alloc) -> Option<E> {
        let promise = submit::promise(|promise| promise.is_of(self));
        if promise.is_none() && how == Alloc::Wait {
            // What another pool has promised waits for nobody who sleeps.
            drop(submit::promise(|_| true));
        }
        let mut reserve = self.lock();
        if promise.is_some_and(Promise::redeem) {
            reserve.take_promise_back();
            return Some(self.take(&mut reserve));
        }
        if reserve.has_for_new() {
            return Some(self.take(&mut reserve));
        }
        if how != Alloc::Wait {
            return None;
        }
        queue::might_sleep();
        Some(self.sleep(reserve))
    }

    /// Takes an element that the reserve has.
    fn take(&self, reserve: &mut Reserve<E>) -> E {
        self.short.fetch_add(1, Ordering::Relaxed);
        reserve.pop().expect("the reserve has what it promises")
    }

    /// Sleeps until the reserve has an element for this thread.
    fn sleep(&self, mut reserve: MutexGuard<'_, Reserve<E>>) -> E {
        let ticket = reserve.sleep();
        while !reserve.is_turn_of(ticket) {
            reserve = self.turn.wait(reserve).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        reserve.wake();
        let element = self.take(&mut reserve);
        // Elements that came home meanwhile are for who is behind.
        self.serve(reserve);
        element
    }

    /// Takes an element back: to the reserve while that is short, else to this thread's magazine, else to the source.
    #[inline]
    fn put(&self, element: E) {
        if self.short.load(Ordering::Relaxed) != 0 {
            return self.refill(element);
        }
        self.keep(element);
    }

    /// To this thread's magazine, else to the source.
    #[inline]
    fn keep(&self, element: E) {
        if let Err(element) = self.magazines.push(element) {
            // From here on the pool does not count the element, and this thread touches the pool no more.
            self.extra.fetch_sub(1, Ordering::Release);
            drop(element);
        }
    }

    /// Gives the element to the reserve where that is short, and so to who waits the longest.
    #[cold]
    fn refill(&self, element: E) {
        let mut reserve = self.lock();
        if reserve.len() == self.options.reserve {
            drop(reserve);
            return self.keep(element);
        }
        reserve.push(element);
        self.short.fetch_sub(1, Ordering::Relaxed);
        self.serve(reserve);
    }

    /// Serves who waits, in the order of their tickets, with what the reserve has. The pool may be gone when this returns.
    fn serve(&self, mut reserve: MutexGuard<'_, Reserve<E>>) {
        let mut woken = BioList::new();
        loop {
            match reserve.serve_next() {
                Some(Next::Bio(bio)) => woken.push(bio),
                // Who sees to those behind it.
                Some(Next::Sleeper) => break self.turn.notify_all(),
                None => break,
            }
        }
        drop(reserve);
        // A promise that is out keeps the pool.
        while let Some(bio) = woken.pop() {
            self.wake(bio);
        }
    }

    /// Wakes a bio for which an element of the reserve is promised.
    fn wake(&self, bio: Bio) {
        // SAFETY: the pool is not freed while it has promised something (see `all_home`).
        bio.wake(unsafe { Promise::new(NonNull::from(self)) });
    }

    /// Whether every element is here, and no promise is out.
    fn all_home(&self) -> bool {
        let reserve = self.lock();
        let home = reserve.is_at_rest() && reserve.len() == self.options.reserve;
        home && self.magazines.count() == Some(self.extra.load(Ordering::Acquire))
    }
}

/// A woken bio that got what it needed elsewhere leaves what it was promised to the next.
impl<E: Element> Promises for Inner<E> {
    fn take_back(&self) {
        let mut reserve = self.lock();
        reserve.take_promise_back();
        self.serve(reserve);
    }
}

/// Dropping a pool checks that nobody waits and that every element came home. Else it is a bug of its user: who waits
/// hears of an error, and the pool is leaked, never freed under who holds an element.
impl<E: Element> Drop for Mempool<E> {
    fn drop(&mut self) {
        let mut parked = self.inner().lock().take_parked();
        if !parked.is_empty() {
            while let Some(bio) = parked.pop() {
                bio.complete(Status::IoErr);
            }
            return self.leak("is dropped while bios are parked on it");
        }
        // The thread that freed the last element may be on its way out of `put` still.
        let patience = Instant::now() + Duration::from_secs(5);
        while !self.inner().all_home() {
            if Instant::now() > patience {
                return self.leak("is dropped while elements of it are out");
            }
            thread::yield_now();
        }
        // SAFETY: `new` leaked the box; all elements are home, so nobody else has the pointer (see `put`).
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

impl<E: Element> Mempool<E> {
    /// Leaves the pool where it is: a panic in tests.
    fn leak(&self, why: &str) {
        let name = self.inner().options.name;
        tracing::error!("the pool \"{name}\" {why}: it is leaked");
        let loud = cfg!(debug_assertions) && !std::thread::panicking();
        assert!(!loud, "the pool \"{name}\" {why}");
    }
}

/// An element that is out of its pool, and goes home when it is dropped.
pub struct Lent<E: Element> {
    element: ManuallyDrop<E>,
    pool: NonNull<Inner<E>>,
}

// SAFETY: the element is Send, and the pool that it goes home to is Sync.
unsafe impl<E: Element> Send for Lent<E> {}

impl<E: Element> Lent<E> {
    /// What all elements of its pool share.
    pub fn context(&self) -> &E::Context {
        // SAFETY: the pool is there for as long as an element of it is out.
        unsafe { &self.pool.as_ref().context }
    }

    /// The [`Mempool::id`] of its pool.
    pub fn pool_id(&self) -> usize {
        self.pool.addr().get()
    }
}

impl<E: Element> Deref for Lent<E> {
    type Target = E;
    fn deref(&self) -> &E {
        &self.element
    }
}

impl<E: Element> DerefMut for Lent<E> {
    fn deref_mut(&mut self) -> &mut E {
        &mut self.element
    }
}

impl<E: Element> Drop for Lent<E> {
    fn drop(&mut self) {
        // SAFETY: the element is taken once, here; the pool is there for as long as an element of it is out.
        unsafe { self.pool.as_ref().put(ManuallyDrop::take(&mut self.element)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{Heap, Refuse, Starving};
    use std::sync::Arc;

    struct Page(#[expect(dead_code)] Chunk);
    impl Element for Page {
        type Context = ();
        fn from_chunk(chunk: Chunk) -> Self {
            Self(chunk)
        }
    }

    fn starving_pool(reserve: usize) -> (Mempool<Page>, Arc<Starving>) {
        let heap: Source = Arc::new(Heap);
        let starving = Starving::new(Arc::clone(&heap));
        let layout = Layout::from_size_align(64, 64).unwrap();
        let options = PoolOptions { name: "test", layout, reserve, magazine: 2 };
        (Mempool::new(options, &heap, starving.clone(), ()).unwrap(), starving)
    }

    #[test]
    fn the_reserve_serves_when_normal_memory_fails_and_is_refilled_first() {
        let (pool, starving) = starving_pool(1);
        let normal = pool.alloc(Alloc::NoRetry).unwrap();
        starving.refuse(Refuse::Always);
        assert!(pool.alloc(Alloc::NoRetry).is_none());
        let last = pool.alloc(Alloc::NoWait).unwrap();
        assert!(pool.alloc(Alloc::NoWait).is_none());
        // The first free refills the reserve, though a magazine had room for it.
        drop(normal);
        let again = pool.alloc(Alloc::NoWait).unwrap();
        assert!(pool.alloc(Alloc::NoRetry).is_none());
        drop((last, again));
        assert_eq!(starving.counts().1, 5);
    }

    #[test]
    fn a_sleeper_is_woken_by_a_free() {
        let (pool, starving) = starving_pool(1);
        starving.refuse(Refuse::Always);
        let only = pool.alloc(Alloc::NoWait).unwrap();
        std::thread::scope(|scope| {
            let sleeper = scope.spawn(|| drop(pool.alloc(Alloc::Wait)));
            std::thread::sleep(Duration::from_millis(20));
            assert!(!sleeper.is_finished());
            drop(only);
        });
    }

    #[test]
    fn what_a_thread_frees_it_gets_again_without_asking() {
        let (pool, starving) = starving_pool(1);
        drop(pool.alloc(Alloc::NoWait));
        for _ in 0..10 {
            drop(pool.alloc(Alloc::NoWait));
        }
        assert_eq!(starving.counts().0, 1);
    }
}
