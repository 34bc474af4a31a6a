//! How a queue that is about to sleep, and a thread that sends it a message, see each other: no message is slept over.
//! `tests/loom` includes this file, and has loom try every order in which memory may be seen.

use crate::sync::{AtomicBool, Ordering, fence};

/// The two flags of a mailbox.
pub(crate) struct Handshake {
    /// Whether there are messages. The queue looks here first, without the lock.
    has_mail: AtomicBool,
    /// Whether the queue sleeps, or is about to, and wants to be woken.
    sleeps: AtomicBool,
}

impl Handshake {
    pub(crate) fn new() -> Self {
        Self { has_mail: AtomicBool::new(false), sleeps: AtomicBool::new(false) }
    }

    /// A message was put into the mailbox, whose lock the caller has: [`Handshake::must_wake`] comes next.
    pub(crate) fn put(&self) {
        self.has_mail.store(true, Ordering::Relaxed);
    }

    /// All messages were taken out of the mailbox, whose lock the caller has.
    pub(crate) fn taken(&self) {
        self.has_mail.store(false, Ordering::Relaxed);
    }

    /// Whether there may be messages. What was put before the queue was last woken is seen.
    #[inline]
    pub(crate) fn has_mail(&self) -> bool {
        self.has_mail.load(Ordering::Relaxed)
    }

    /// Whether the queue must be woken for what was put. Only one of several senders is told so.
    pub(crate) fn must_wake(&self) -> bool {
        // Each side writes its own flag before this fence, and reads the other's behind it: one of the two sees the other.
        fence(Ordering::SeqCst);
        self.sleeps.load(Ordering::Relaxed) && self.sleeps.swap(false, Ordering::Relaxed)
    }

    /// Says that the queue is about to sleep: whether messages came before. From now on a message wakes it.
    pub(crate) fn begin_sleep(&self) -> bool {
        // A swap, as the senders' is: loom takes a store for one that may come before theirs.
        self.sleeps.swap(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        self.has_mail()
    }

    /// The queue is awake.
    pub(crate) fn end_sleep(&self) {
        self.sleeps.store(false, Ordering::Relaxed);
    }
}
