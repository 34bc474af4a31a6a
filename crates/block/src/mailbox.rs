//! How other threads reach a queue: things that ended or were woken elsewhere, such as bios, and messages to its channels.
//! One wakeup serves many of them. `home.rs` has what is public of it.

use std::any::Any;
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, OnceLock, PoisonError};

use crate::channel_id::ChannelId;
use crate::handshake::Handshake;
use crate::list::{Linked, List};
use crate::sync::{Mutex, MutexGuard};
use crate::wakeup::Wakeup;

/// The mailbox of a queue for things of type `T`.
pub(crate) struct Mailbox<T: Linked> {
    messages: Mutex<Messages<T>>,
    handshake: Handshake,
    wakeup: Wakeup,
    /// Who drives the queue while nobody has it in hand.
    driver: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

/// What other threads have sent.
pub(crate) struct Messages<T: Linked> {
    /// Nobody reads them any more.
    is_closed: bool,
    /// The channels that a notice is for, each once. There is room for all that are open.
    notices: Vec<ChannelId>,
    /// Whether there are notices: [`Mailbox::next_notice`] takes them.
    pub(crate) has_notices: bool,
    /// Those of which every completion has come.
    pub(crate) ended: List<T>,
    /// Those that are to be dispatched again.
    pub(crate) to_submit: List<T>,
    pub(crate) to_channels: VecDeque<(ChannelId, Box<dyn Any + Send>)>,
}

impl<T: Linked> Default for Messages<T> {
    // not on the I/O path: for what other threads have sent; an empty list takes no memory
    fn default() -> Self {
        Self {
            is_closed: false,
            notices: Vec::new(),
            has_notices: false,
            ended: List::new(),
            to_submit: List::new(),
            to_channels: VecDeque::new(),
        }
    }
}

impl<T: Linked> Mailbox<T> {
    // not on the I/O path: once a queue
    pub(crate) fn new() -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            messages: Mutex::new(Messages::default()),
            handshake: Handshake::new(),
            wakeup: Wakeup::new()?,
            driver: OnceLock::new(),
        }))
    }

    /// What wakes the queue from its wait.
    pub(crate) fn wakeup(&self) -> &Wakeup {
        &self.wakeup
    }

    /// Brings what has ended to its queue; hands it back where that has ended.
    pub(crate) fn mail_ended(&self, ended: T) -> Result<(), T> {
        self.mail(ended, |messages, ended| messages.ended.push(ended))
    }

    /// Brings what is to be dispatched to the queue that does it; hands it back where that has ended.
    pub(crate) fn mail_to_submit(&self, to_submit: T) -> Result<(), T> {
        self.mail(to_submit, |messages, to_submit| messages.to_submit.push(to_submit))
    }

    fn mail<M>(&self, message: M, put: impl FnOnce(&mut Messages<T>, M)) -> Result<(), M> {
        let mut messages = self.lock();
        if messages.is_closed {
            return Err(message);
        }
        put(&mut messages, message);
        self.handshake.put();
        drop(messages);
        if self.handshake.must_wake() {
            self.wakeup.wake();
        }
        Ok(())
    }

    /// Sends `message` to a channel; hands it back where the queue has ended.
    pub(crate) fn send(
        &self,
        channel: ChannelId,
        message: Box<dyn Any + Send>,
    ) -> Result<(), Box<dyn Any + Send>> {
        self.mail(message, |messages, message| messages.to_channels.push_back((channel, message)))?;
        if let Some(drive) = self.driver.get() {
            drive();
        }
        Ok(())
    }

    /// Sends a channel a notice; several may come as one. It takes no memory.
    pub(crate) fn notify(&self, channel: ChannelId) {
        // A queue that has ended has no channels.
        let _ = self.mail(channel, |messages, channel| {
            messages.has_notices = true;
            match messages.notices.iter_mut().find(|other| other.index == channel.index) {
                Some(other) => *other = channel,
                None => messages.notices.push(channel),
            }
        });
    }

    /// Takes the next channel that a notice is for.
    pub(crate) fn next_notice(&self) -> Option<ChannelId> {
        let mut messages = self.lock();
        let next = messages.notices.pop();
        messages.has_notices = !messages.notices.is_empty();
        next
    }

    /// Makes room for a notice to each of so many channels.
    // not on the I/O path: once a channel
    pub(crate) fn make_room(&self, channels: usize) {
        let mut messages = self.lock();
        let more = channels.saturating_sub(messages.notices.len());
        messages.notices.reserve(more);
    }

    fn lock(&self) -> MutexGuard<'_, Messages<T>> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there may be messages. What was sent before the queue was last woken is seen.
    #[inline]
    pub(crate) fn has_mail(&self) -> bool {
        self.handshake.has_mail()
    }

    /// Takes all messages.
    pub(crate) fn take(&self) -> Messages<T> {
        let mut messages = self.lock();
        self.handshake.taken();
        Messages {
            has_notices: messages.has_notices,
            ended: std::mem::take(&mut messages.ended),
            to_submit: std::mem::take(&mut messages.to_submit),
            to_channels: std::mem::take(&mut messages.to_channels),
            ..Messages::default()
        }
    }

    /// From now on nothing is taken any more: what there is.
    pub(crate) fn close(&self) -> Messages<T> {
        self.lock().is_closed = true;
        self.take()
    }

    /// Says that the queue is about to sleep: whether messages came before. From now on a message wakes it.
    pub(crate) fn begin_sleep(&self) -> bool {
        self.handshake.begin_sleep()
    }

    pub(crate) fn end_sleep(&self) {
        self.handshake.end_sleep();
    }

    /// Has `drive` called whenever a message to a channel has been sent: it drives the queue if nobody else does.
    pub(crate) fn set_driver(&self, drive: Box<dyn Fn() + Send + Sync>) {
        let _ = self.driver.set(drive);
    }
}
