//! How other threads reach a queue: bios that ended or were woken elsewhere, and messages to its channels. One wakeup
//! serves many of them.

use std::any::Any;
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, OnceLock, PoisonError};

use crate::bio::{Bio, BioList};
use crate::channel::ChannelId;
use crate::handshake::Handshake;
use crate::sync::{Mutex, MutexGuard};
use crate::wakeup::Wakeup;

/// A queue, as other threads know it.
#[derive(Clone)]
pub struct Home(Arc<Mailbox>);

/// A channel of a queue, as other threads know it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Address {
    home: Home,
    channel: ChannelId,
}

struct Mailbox {
    messages: Mutex<Messages>,
    handshake: Handshake,
    wakeup: Wakeup,
    /// Who drives the queue while nobody has it in hand.
    driver: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

/// The message of [`Address::notify`] and of [`PadBio::notify_owner`](crate::PadBio::notify_owner).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Notice;

/// What other threads have sent.
#[derive(Default)]
pub(crate) struct Messages {
    /// Nobody reads them any more.
    is_closed: bool,
    /// The channels that a [`Notice`] is for, each once. There is room for all that are open.
    notices: Vec<ChannelId>,
    /// Whether there are notices: [`Home::next_notice`] takes them.
    pub(crate) has_notices: bool,
    /// Bios of which every completion has come.
    pub(crate) ended: BioList,
    /// Bios to be dispatched again.
    pub(crate) to_submit: BioList,
    pub(crate) to_channels: VecDeque<(ChannelId, Box<dyn Any + Send>)>,
}

impl Home {
    // not on the I/O path: once a queue
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(Arc::new(Mailbox {
            messages: Mutex::new(Messages::default()),
            handshake: Handshake::new(),
            wakeup: Wakeup::new()?,
            driver: OnceLock::new(),
        })))
    }

    /// Wakes the queue from its wait.
    pub fn wake(&self) {
        self.0.wakeup.wake();
    }

    pub(crate) fn wakeup(&self) -> &Wakeup {
        &self.0.wakeup
    }

    /// Brings a bio that has ended to its queue; hands it back where that has ended.
    pub(crate) fn mail_ended(&self, bio: Bio) -> Result<(), Bio> {
        self.mail(bio, |messages, bio| messages.ended.push(bio))
    }

    /// Brings a bio to its queue to be dispatched there.
    pub(crate) fn mail_to_submit(&self, bio: Bio) -> Result<(), Bio> {
        self.mail(bio, |messages, bio| messages.to_submit.push(bio))
    }

    fn mail<M>(&self, message: M, put: impl FnOnce(&mut Messages, M)) -> Result<(), M> {
        let mut messages = self.lock();
        if messages.is_closed {
            return Err(message);
        }
        put(&mut messages, message);
        self.0.handshake.put();
        drop(messages);
        if self.0.handshake.must_wake() {
            self.wake();
        }
        Ok(())
    }

    /// Sends a channel a [`Notice`]; several may come as one. It takes no memory.
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

    fn lock(&self) -> MutexGuard<'_, Messages> {
        self.0.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there may be messages. What was sent before the queue was last woken is seen.
    #[inline]
    pub(crate) fn has_mail(&self) -> bool {
        self.0.handshake.has_mail()
    }

    /// Takes all messages.
    // not on the I/O path: for what other threads have sent; an empty list takes no memory
    pub(crate) fn take(&self) -> Messages {
        let mut messages = self.lock();
        self.0.handshake.taken();
        Messages {
            is_closed: false,
            notices: Vec::new(),
            has_notices: messages.has_notices,
            ended: std::mem::take(&mut messages.ended),
            to_submit: std::mem::take(&mut messages.to_submit),
            to_channels: std::mem::take(&mut messages.to_channels),
        }
    }

    /// From now on nothing is taken any more: what there is.
    pub(crate) fn close(&self) -> Messages {
        self.lock().is_closed = true;
        self.take()
    }

    /// Says that the queue is about to sleep: whether messages came before. From now on a message wakes it.
    pub(crate) fn begin_sleep(&self) -> bool {
        self.0.handshake.begin_sleep()
    }

    pub(crate) fn end_sleep(&self) {
        self.0.handshake.end_sleep();
    }

    /// Has `drive` called whenever a message to a channel has been sent: it drives the queue if nobody else does.
    pub(crate) fn set_driver(&self, drive: Box<dyn Fn() + Send + Sync>) {
        let _ = self.0.driver.set(drive);
    }
}

/// Whether it is the same queue.
impl PartialEq for Home {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Home {}

impl std::fmt::Debug for Home {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Home({:p})", Arc::as_ptr(&self.0))
    }
}

impl Address {
    pub(crate) fn new(home: Home, channel: ChannelId) -> Self {
        Self { home, channel }
    }

    /// The queue.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// Sends the channel a [`Notice`]; several may come as one. It takes no memory.
    pub fn notify(&self) {
        self.home.notify(self.channel);
    }

    /// Sends `message` to the channel. Where the channel is closed when it arrives, it is dropped.
    ///
    /// # Errors
    /// Hands the message back where the queue has ended.
    pub fn send(&self, message: Box<dyn Any + Send>) -> Result<(), Box<dyn Any + Send>> {
        let channel = self.channel;
        self.home.mail(message, |messages, message| messages.to_channels.push_back((channel, message)))?;
        if let Some(drive) = self.home.0.driver.get() {
            drive();
        }
        Ok(())
    }
}
