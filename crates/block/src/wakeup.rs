//! What wakes a queue that sleeps.

#[cfg(not(shuttle))]
mod kind {
    use std::io;
    use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

    use rustix::event::{EventfdFlags, eventfd};

    /// An eventfd.
    pub(crate) struct Wakeup(OwnedFd);

    impl Wakeup {
        pub(crate) fn new() -> io::Result<Self> {
            Ok(Self(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
        }

        pub(crate) fn wake(&self) {
            // The counter is full only when a wakeup is pending already.
            let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
        }

        /// What becomes readable.
        pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
            self.0.as_fd()
        }

        /// Takes the wakeups that have come.
        pub(crate) fn clear(&self) {
            let _ = rustix::io::read(&self.0, &mut [0u8; 8]);
        }
    }
}

/// Under the model checker, which knows no descriptors.
#[cfg(shuttle)]
mod kind {
    use std::io;

    use crate::sync::{Condvar, Mutex};

    pub(crate) struct Wakeup {
        is_awake: Mutex<bool>,
        woken: Condvar,
    }

    impl Wakeup {
        pub(crate) fn new() -> io::Result<Self> {
            Ok(Self { is_awake: Mutex::new(false), woken: Condvar::new() })
        }

        pub(crate) fn wake(&self) {
            *self.is_awake.lock().unwrap() = true;
            self.woken.notify_one();
        }

        /// Sleeps until somebody wakes it.
        pub(crate) fn sleep(&self) {
            let mut awake = self.is_awake.lock().unwrap();
            while !*awake {
                awake = self.woken.wait(awake).unwrap();
            }
            *awake = false;
        }

        pub(crate) fn clear(&self) {
            *self.is_awake.lock().unwrap() = false;
        }
    }
}

pub(crate) use kind::Wakeup;
