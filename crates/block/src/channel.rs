//! One queue's own way into a device.

use std::any::Any;

use crate::bio::{Bio, OwnBio};
use crate::dispatch::Dispatch;
use crate::opening::Opening;

/// What a device does with bios, on one queue (SPDK's I/O channel). The queue owns it and calls it, so it needs no lock and
/// no counts: whatever its I/O takes (a ring, a stock of bios, the channels below) is in it.
///
/// No call may sleep, unless the queue is one that may ([`crate::Queue::sleeping`]).
pub trait Channel: Send {
    /// Takes a bio, which has been held against the geometry: submits it below, completes it, parks it on a pool that is
    /// dry, or keeps it.
    fn submit(&mut self, cx: &mut Dispatch, bio: Bio);

    /// A bio that this channel has allocated has ended, with [`Bio::status`]. [`crate::Bios::claim`] says what it is.
    ///
    /// A channel that allocates none is never called so; one that is all the same frees the bio, and that is loud.
    fn end_io(&mut self, cx: &mut Dispatch, bio: OwnBio) {
        let _ = cx;
        drop(bio);
    }

    /// Another thread has sent `message` to the [`Address`](crate::Address) of this channel. One that it does not know is
    /// dropped.
    fn message(&mut self, opening: &mut Opening<'_>, message: Box<dyn Any + Send>) {
        let _ = (opening, message);
    }
}

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
