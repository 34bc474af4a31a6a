//! A queue and its channels, as other threads know them.

use std::any::Any;
use std::sync::Arc;

use crate::bio::BioMailbox;
use crate::channel_id::ChannelId;

/// A queue, as other threads know it.
#[derive(Clone)]
pub struct Home(Arc<BioMailbox>);

/// A channel of a queue, as other threads know it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Address {
    home: Home,
    channel: ChannelId,
}

/// The message of [`Address::notify`] and of [`PadBio::notify_owner`](crate::PadBio::notify_owner).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Notice;

impl Home {
    pub(crate) fn new(mailbox: Arc<BioMailbox>) -> Self {
        Self(mailbox)
    }

    /// Where what other threads send is put.
    #[inline]
    pub(crate) fn mailbox(&self) -> &Arc<BioMailbox> {
        &self.0
    }

    /// Wakes the queue from its wait.
    pub fn wake(&self) {
        self.0.wakeup().wake();
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
        self.home.mailbox().notify(self.channel);
    }

    /// Sends `message` to the channel. Where the channel is closed when it arrives, it is dropped.
    ///
    /// # Errors
    /// Hands the message back where the queue has ended.
    pub fn send(&self, message: Box<dyn Any + Send>) -> Result<(), Box<dyn Any + Send>> {
        self.home.mailbox().send(self.channel, message)
    }
}
