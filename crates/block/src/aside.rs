//! A queue that nobody has in hand, and that hears of messages all the same.

use std::sync::{Arc, PoisonError, TryLockError, Weak};
use std::{fmt, ops};

use crate::queue::Queue;
use crate::sync::{Mutex, MutexGuard, Ordering, fence};

/// What has a queue.
pub trait HasQueue: Send + 'static {
    /// The queue.
    fn queue(&mut self) -> &mut Queue;
}

impl HasQueue for Queue {
    fn queue(&mut self) -> &mut Queue {
        self
    }
}

/// A queue, with what belongs to it, that is put aside while nobody uses it. Messages to its channels (a suspend, a key that
/// is to be wiped) are taken in by whoever sends them then, so that nobody waits for a thread that is not there.
pub struct Aside<T: HasQueue>(Arc<Mutex<T>>);

/// The queue in hand. When it is put back, it takes in what came meanwhile.
pub struct InHand<'a, T: HasQueue> {
    guard: Option<MutexGuard<'a, T>>,
    aside: &'a Arc<Mutex<T>>,
}

impl<T: HasQueue> Aside<T> {
    /// Puts it aside.
    // not on the I/O path: once, when it is made
    pub fn new(mut thing: T) -> Self {
        let home = thing.queue().home().clone();
        let aside = Arc::new(Mutex::new(thing));
        let weak: Weak<Mutex<T>> = Arc::downgrade(&aside);
        home.mailbox().set_driver(Box::new(move || {
            if let Some(aside) = weak.upgrade() {
                drive(&aside);
            }
        }));
        // Who has sent something before has found no driver.
        drive(&aside);
        Self(aside)
    }

    /// Takes it in hand; waits while another thread has it.
    pub fn take(&self) -> InHand<'_, T> {
        InHand { guard: Some(self.0.lock().unwrap_or_else(PoisonError::into_inner)), aside: &self.0 }
    }
}

/// Takes in the messages of a queue that is aside. Whoever has it in hand does it otherwise, when it is put back.
fn drive<T: HasQueue>(aside: &Mutex<T>) {
    loop {
        let mut thing = match aside.try_lock() {
            Ok(thing) => thing,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        let home = thing.queue().home().clone();
        thing.queue().run();
        thing.queue().wipe_stack();
        drop(thing);
        // Between putting a message and looking at this lock its sender has a fence too (that of the handshake): either it
        // found the lock free, or its message is seen here, and was left to this thread.
        fence(Ordering::SeqCst);
        if !home.mailbox().has_mail() {
            return;
        }
    }
}

impl<T: HasQueue> ops::Deref for InHand<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        self.guard.as_ref().expect("in hand until it is dropped")
    }
}

impl<T: HasQueue> ops::DerefMut for InHand<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.guard.as_mut().expect("in hand until it is dropped")
    }
}

impl<T: HasQueue> Drop for InHand<'_, T> {
    fn drop(&mut self) {
        // A cipher may have left pieces of a key here, and messages reach other threads from now on.
        if let Some(mut thing) = self.guard.take() {
            thing.queue().wipe_stack();
        }
        drive(self.aside);
    }
}

impl<T: HasQueue> fmt::Debug for Aside<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Aside")
    }
}
