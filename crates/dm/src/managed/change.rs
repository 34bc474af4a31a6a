//! What a thread that changes a managed device sends to the channels that are open, and how it waits for their answers.
//!
//! A channel answers by dropping the [`Ack`] of the message. So a channel that is closed, or whose queue has ended, has
//! answered too, and nobody waits for it.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use udm_block::{Geometry, Status, stack};

use super::channels::{Channels, Current};
use crate::mapped::MappedDevice;

/// How long queues may take to give up a table before the log says that one is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a channel is told.
pub(super) enum Message {
    /// Hold new bios. Answered when none is under way.
    Hold(Ack),
    /// Let bios through again, those that are held first.
    Release,
    /// End what is held with this status, and from now on whatever would be held.
    Refuse(Status),
    /// Close the former table's device and open this one, if there is one. Answered when nothing is left of the former
    /// one: neither its channels nor what they had on the stack. No bio is under way.
    TakeUp(Option<Arc<MappedDevice>>, Geometry, Ack),
}

/// An answer that somebody waits for. To drop it is to give it.
pub(super) struct Ack(Arc<Acks>);

/// The answers to one change.
#[derive(Default)]
struct Acks {
    outstanding: Mutex<usize>,
    all_came: Condvar,
}

/// The time in which all channels hold.
#[must_use = "the channels let bios through again when this is dropped"]
pub(super) struct Hold<'a> {
    /// Those that let bios through again, unless they are to go on holding.
    channels: Option<&'a Channels>,
    acks: Arc<Acks>,
}

impl Channels {
    /// From now on bios are held, until what is returned goes: whichever way its holder returns, by a panic too.
    pub(super) fn hold(&self) -> Hold<'_> {
        let hold = Hold { channels: Some(self), acks: Arc::default() };
        self.tell(|current| current.holds = true, || Message::Hold(hold.acks.one()));
        hold
    }

    /// Lets bios through again.
    pub(super) fn release(&self) {
        self.tell(|current| current.holds = false, || Message::Release);
    }

    /// What is held ends with `status`, and so does from now on whatever comes while bios are held.
    pub(super) fn refuse(&self, status: Status) {
        self.tell(|current| current.refuses = Some(status), || Message::Refuse(status));
    }

    /// Replaces the live table's device. When this returns nothing of the former one is left, on no queue and no stack: its
    /// keys are wiped. All channels hold, and no bio is under way.
    pub(super) fn take_up(&self, table: Option<&Arc<MappedDevice>>, geometry: Geometry) {
        let (acks, mut former) = (Arc::<Acks>::default(), None);
        let swap = |current: &mut Current| {
            former = std::mem::replace(&mut current.table, table.cloned());
            current.geometry = geometry;
        };
        self.tell(swap, || Message::TakeUp(table.cloned(), geometry, acks.one()));
        let deadline = Instant::now() + PATIENCE;
        if !acks.wait(Some(deadline)) {
            tracing::warn!(
                device = self.name(),
                "a queue does not answer: the former table stays until it does"
            );
            acks.wait(None);
        }
        debug_assert!(
            former.as_ref().is_none_or(|table| Arc::strong_count(table) == 1),
            "somebody keeps a table"
        );
        drop(former);
        stack::wipe();
    }

    /// Changes what holds, and sends a message to each channel that began with what held before.
    fn tell(&self, change: impl FnOnce(&mut Current), message: impl Fn() -> Message) {
        for address in self.change(change) {
            // Where the queue has ended the message comes back, and is dropped.
            drop(address.send(Box::new(message())));
        }
    }
}

impl Hold<'_> {
    /// Waits until no bio is under way: whether none was by `deadline`.
    pub(super) fn wait(&self, deadline: Option<Instant>) -> bool {
        self.acks.wait(deadline)
    }

    /// The channels hold until [`Channels::release`].
    pub(super) fn stay(mut self) {
        self.channels = None;
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        if let Some(channels) = self.channels {
            channels.release();
        }
    }
}

impl Acks {
    /// One answer more to wait for.
    fn one(self: &Arc<Self>) -> Ack {
        *self.lock() += 1;
        Ack(Arc::clone(self))
    }

    /// Waits until all answers have come: whether they had by `deadline`.
    fn wait(&self, deadline: Option<Instant>) -> bool {
        let mut outstanding = self.lock();
        while *outstanding > 0 {
            outstanding = match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                None => self.all_came.wait(outstanding).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => return false,
                Some(left) => {
                    self.all_came.wait_timeout(outstanding, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, usize> {
        self.outstanding.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Ack {
    fn drop(&mut self) {
        let mut outstanding = self.0.lock();
        *outstanding -= 1;
        if *outstanding == 0 {
            self.0.all_came.notify_all();
        }
    }
}
