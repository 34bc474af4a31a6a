//! A queue that is about to sleep, and threads that send it messages: none is slept over, and each is taken once.

use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

use crate::handshake::Handshake;

/// A mailbox of a queue that sleeps on `wakeup`.
struct Mailbox {
    handshake: Handshake,
    messages: Mutex<u32>,
    wakeup: (Mutex<bool>, Condvar),
}

impl Mailbox {
    fn new() -> Arc<Self> {
        let wakeup = (Mutex::new(false), Condvar::new());
        Arc::new(Self { handshake: Handshake::new(), messages: Mutex::new(0), wakeup })
    }

    fn send(&self) {
        let mut messages = self.messages.lock().unwrap();
        *messages += 1;
        self.handshake.put();
        drop(messages);
        if self.handshake.must_wake() {
            *self.wakeup.0.lock().unwrap() = true;
            self.wakeup.1.notify_one();
        }
    }

    /// The messages that the queue sees: how many.
    fn take(&self) -> u32 {
        if !self.handshake.has_mail() {
            return 0;
        }
        let mut messages = self.messages.lock().unwrap();
        self.handshake.taken();
        std::mem::take(&mut *messages)
    }

    fn wait(&self) {
        if !self.handshake.begin_sleep() {
            let mut awake = self.wakeup.0.lock().unwrap();
            while !*awake {
                awake = self.wakeup.1.wait(awake).unwrap();
            }
            *awake = false;
        }
        self.handshake.end_sleep();
    }
}

/// So many threads send a message each to a queue that sleeps until it has had all of them. `preemptions` says how often a
/// thread may be stopped where it could go on; `None`: wherever.
fn sends(threads: u32, preemptions: Option<usize>) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = preemptions;
    model.check(move || {
        let mailbox = Mailbox::new();
        let senders: Vec<_> = (0..threads)
            .map(|_| {
                let mailbox = mailbox.clone();
                thread::spawn(move || mailbox.send())
            })
            .collect();
        let mut taken = 0;
        loop {
            taken += mailbox.take();
            if taken == threads {
                break;
            }
            mailbox.wait();
        }
        senders.into_iter().for_each(|sender| sender.join().unwrap());
        assert_eq!(mailbox.take(), 0, "a message came twice");
    });
}

#[test]
fn a_message_wakes_a_queue_that_is_about_to_sleep() {
    sends(1, None);
}

#[test]
fn messages_of_two_threads_wake_a_queue_that_is_about_to_sleep() {
    // Without a bound it takes minutes.
    sends(2, Some(3));
}
