//! What a driver is: a device, which queues open, and a channel, one queue's own way into it.
//!
//! The two are declared with what they are given when they are opened, since each names the others; `opening.rs` has what
//! that can do.

use std::any::Any;
use std::sync::Arc;

use crate::bio::{Bio, OwnBio};
use crate::channel_id::ChannelId;
use crate::channels::Channels;
use crate::dispatch::Dispatch;
use crate::geometry::Geometry;
use crate::open_error::OpenError;

/// A device that others refer to.
pub type DeviceRef = Arc<dyn Device>;

/// What a device is (the kernel's `struct block_device`). It is shared by all threads, and nothing of the I/O path is here:
/// a queue opens it, and has a [`Channel`] of its own for its I/O.
pub trait Device: Send + Sync {
    /// What it is and what it can do now. A device whose table another one replaces may change its size and its
    /// limits; whoever keeps the answer keeps that of a moment.
    fn geometry(&self) -> Geometry;

    /// Opens the way of one queue into the device: its ring, its stock of bios and pages, the channels below. It does no
    /// I/O. A queue opens a device once, however many of its channels and users ask for it.
    ///
    /// # Errors
    /// When something that the I/O needs is not there.
    fn open(&self, opening: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError>;
}

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

/// What a device that is being opened, or a channel that is told a message, may do on its queue.
pub struct Opening<'a> {
    pub(crate) channels: &'a mut OpenChannels,
    pub(crate) cx: &'a mut Dispatch,
    /// The channel that is being opened, or told.
    pub(crate) id: ChannelId,
    pub(crate) is_sealed: bool,
}

/// The channels that a queue has open.
pub(crate) type OpenChannels = Channels<dyn Device, dyn Channel>;

/// Tells devices apart while they live.
pub(crate) fn key_of(device: &DeviceRef) -> usize {
    Arc::as_ptr(device).cast::<()>().addr()
}
