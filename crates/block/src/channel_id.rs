//! The number of a channel on its queue.

/// Which of a queue's channels. Numbers are used again, but none is mistaken for the next one of its number: a bio that is
/// sent to a channel that is closed ends with [`Status::Offline`](crate::Status::Offline).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ChannelId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl ChannelId {
    /// The queue's user: what it allocates ends in [`crate::Queue::take_ended`].
    pub(crate) const USER: Self = Self { index: u32::MAX, generation: 0 };
}
