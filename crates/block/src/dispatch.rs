//! The context of every driver call: what was submitted and what has ended on this queue, and the order in which the queue
//! goes on with it. No driver is ever called from within a driver, so no stack grows.
//!
//! After each driver call come: bios for other (lower) channels first, then those for the same channel, then the older
//! ones, each group in order (the kernel's `__submit_bio_noacct`, depth first since 4.11: plain FIFO deadlocked md and
//! dm). What has ended goes before all of them: it brings bios home that the others may need.

use std::any::Any;

use crate::bio::{Bio, BioList};
use crate::channel_id::ChannelId;
use crate::ended::Ended;
use crate::engine::{Engine, EngineId, Engines};
use crate::home::Home;
use crate::promise::Promise;
use crate::status::Status;

/// What a queue has under way between two driver calls, and what a driver may do while it is called.
pub struct Dispatch {
    /// What the driver call that is running has submitted.
    fresh: BioList,
    /// What was submitted before, in the order in which it is dispatched.
    older: BioList,
    pub(crate) ended: Ended,
    /// What has ended of the queue's user.
    pub(crate) for_user: BioList,
    /// The channel that is being called.
    called: ChannelId,
    /// What a pool has promised to the bio that a driver is being called with, or told the end of.
    pub(crate) promise: Option<Promise>,
    /// Whether the queue may sleep for memory.
    pub(crate) sleeps: bool,
    /// Of each channel, which device it is of.
    pub(crate) keys: Vec<usize>,
    pub(crate) engines: Engines,
    /// Whether a channel leaves parts of keys on the stack.
    pub(crate) has_secrets: bool,
    /// What is dropped once the stack is wiped.
    pub(crate) after_wipe: Vec<Box<dyn Any + Send>>,
    home: Home,
}

impl Dispatch {
    // not on the I/O path: once a queue
    pub(crate) fn new(home: Home, sleeps: bool) -> Self {
        Self {
            fresh: BioList::new(),
            older: BioList::new(),
            ended: Ended::default(),
            for_user: BioList::new(),
            called: ChannelId::USER,
            promise: None,
            sleeps,
            keys: Vec::new(),
            engines: Engines::default(),
            has_secrets: false,
            after_wipe: Vec::new(),
            home,
        }
    }

    /// Hands `bio` to the channel `to`.
    #[inline]
    pub fn submit(&mut self, to: ChannelId, mut bio: Bio) {
        bio.set_at(to);
        self.fresh.push(bio);
    }

    /// Hands `bio` once more to the channel that is being called, behind what that submits to lower ones in this call.
    #[inline]
    pub fn again(&mut self, bio: Bio) {
        self.submit(self.called, bio);
    }

    /// Ends `bio` with `status`; an error that was recorded before stays. Its owner hears of it once this driver call
    /// has returned.
    #[inline]
    pub fn complete(&mut self, bio: Bio, status: Status) {
        self.ended.complete(bio, status);
    }

    /// The queue's mailbox: where other threads reach it.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// The channel that is being called.
    pub fn called(&self) -> ChannelId {
        self.called
    }

    /// Whether an allocation may sleep here ([`Alloc::Wait`](crate::Alloc::Wait)).
    pub fn may_sleep(&self) -> bool {
        self.sleeps
    }

    /// An engine of this queue.
    ///
    /// # Panics
    /// When no channel uses it any more.
    #[inline]
    pub fn engine<E: Engine>(&mut self, id: EngineId<E>) -> &mut E {
        self.engines.get(id)
    }

    pub(crate) fn set_called(&mut self, called: ChannelId) {
        self.called = called;
    }

    /// Has a bio of which every completion has come end here.
    pub(crate) fn end(&mut self, bio: Bio) {
        self.ended.push(bio);
    }

    pub(crate) fn next_ended(&mut self) -> Option<Bio> {
        self.ended.pop()
    }

    /// Whether a driver is to be called with something.
    pub(crate) fn has_work(&self) -> bool {
        !self.older.is_empty() || !self.ended.is_empty()
    }

    /// The bio that is dispatched next.
    pub(crate) fn next(&mut self) -> Option<Bio> {
        self.older.pop()
    }

    /// Puts a bio behind all others.
    pub(crate) fn put_last(&mut self, bio: Bio) {
        self.older.push(bio);
    }

    /// Puts what a call has submitted before what is older.
    #[inline]
    pub(crate) fn settle(&mut self) {
        if self.fresh.is_empty() {
            return;
        }
        if self.older.is_empty() && self.fresh.has_one() {
            // The common case: there is nothing to order.
            return std::mem::swap(&mut self.fresh, &mut self.older);
        }
        self.order();
    }

    fn order(&mut self) {
        let (mut lower, mut same) = (BioList::new(), BioList::new());
        while let Some(bio) = self.fresh.pop() {
            let list = if bio.at() == self.called { &mut same } else { &mut lower };
            list.push(bio);
        }
        self.older.prepend(&mut same);
        self.older.prepend(&mut lower);
    }

    /// Takes the bios of one set that `wanted` holds for: those that are dispatched first come first.
    pub(crate) fn take_of_set(&mut self, set: usize, wanted: impl Fn(&Bio) -> bool) -> BioList {
        let of_set = |bio: &Bio| bio.set_id() == set && wanted(bio);
        // What the running call has submitted goes before what is older.
        let mut taken = self.fresh.take_if(of_set);
        taken.append(&mut self.older.take_if(of_set));
        taken
    }

    /// What waits to be dispatched, for a queue that ends.
    pub(crate) fn take_all(&mut self) -> BioList {
        let mut all = std::mem::take(&mut self.fresh);
        all.append(&mut self.older);
        all
    }
}
