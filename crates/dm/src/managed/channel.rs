//! A queue's way into a managed device: it sends a clone of each bio to the live table's device, and counts those that are
//! under way; it holds bios while the device is suspended (the kernel's `pending_io`, `DMF_BLOCK_IO_FOR_SUSPEND` and list of
//! deferred bios).

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use udm_block::{
    Alloc, Bio, BioList, BioSet, Bios, Channel, ChannelId, DeviceRef, Dispatch, Geometry, OpenError, Opening,
    OwnBio, Pad, Status,
};

use super::change::{Ack, Message};
use super::channels::{Channels, Counts};

/// The channel of a managed device.
pub(super) struct ManagedChannel {
    channels: Arc<Channels>,
    /// Where bios go. Not there while they are held, and without a table.
    way: Option<ChannelId>,
    passages: Bios<Passage>,
    counts: Arc<Counts>,
    /// The live table's device, and its channel where it is open.
    table: Option<DeviceRef>,
    below: Option<ChannelId>,
    holds: bool,
    /// Bios that would be held end with this.
    refuses: Option<Status>,
    held: BioList,
    /// Who waits until no bio is under way.
    drained: Option<Ack>,
}

/// The pad of the clone that goes below for a client's bio.
pub(super) struct Passage;

impl Pad for Passage {}

impl ManagedChannel {
    /// Opens the live table's device, if there is one.
    // not on the I/O path: once a channel
    pub(super) fn open(
        channels: &Arc<Channels>,
        passages: &BioSet<Passage>,
        opening: &mut Opening<'_>,
    ) -> Result<Self, OpenError> {
        let counts = Arc::<Counts>::default();
        let (registration, current) = channels.register(opening.address(), &counts);
        opening.drop_when_closed(Box::new(registration));
        opening.set_geometry(current.geometry);
        let table = current.table.map(|table| table as DeviceRef);
        let below = table.as_ref().map(|table| opening.open(table)).transpose()?;
        let mut channel = Self {
            channels: Arc::clone(channels),
            way: None,
            passages: opening.bios(passages),
            counts,
            table,
            below,
            holds: current.holds,
            refuses: current.refuses,
            held: BioList::new(),
            drained: None,
        };
        channel.find_way();
        Ok(channel)
    }

    fn find_way(&mut self) {
        self.way = if self.holds { None } else { self.below };
    }

    /// Keeps a bio that cannot go below now, or ends it.
    #[cold]
    fn keep(&mut self, cx: &mut Dispatch, bio: Bio) {
        match self.refuses {
            // Its table could not be opened here.
            _ if !self.holds => cx.complete(bio, Status::IoErr),
            Some(status) => cx.complete(bio, status),
            None => {
                self.held.push(bio);
                add(&self.counts.held, 1);
            }
        }
    }

    fn take_held(&mut self) -> BioList {
        self.counts.held.store(0, Ordering::Relaxed);
        std::mem::take(&mut self.held)
    }

    fn hold(&mut self, ack: Ack) {
        self.holds = true;
        self.find_way();
        if self.counts.under_way.load(Ordering::Relaxed) > 0 {
            self.drained = Some(ack);
        }
    }

    fn release(&mut self, opening: &mut Opening<'_>) {
        self.drained = None;
        self.holds = false;
        self.open_table(opening);
        self.find_way();
        let mut held = self.take_held();
        while let Some(bio) = held.pop() {
            // It is held against the geometry again, which may be another one now.
            opening.cx().again(bio);
        }
    }

    fn refuse(&mut self, cx: &mut Dispatch, status: Status) {
        self.refuses = Some(status);
        let mut held = self.take_held();
        while let Some(bio) = held.pop() {
            cx.complete(bio, status);
        }
    }

    fn take_up(&mut self, opening: &mut Opening<'_>, table: Option<DeviceRef>, geometry: Geometry) {
        if let Some(below) = self.below.take() {
            opening.close(below);
        }
        self.table = table;
        opening.set_geometry(geometry);
        self.open_table(opening);
        self.find_way();
    }

    /// Opens the table's device where it is not open. Without it bios fail, and the next release tries again.
    // not on the I/O path: once a table
    fn open_table(&mut self, opening: &mut Opening<'_>) {
        let (None, Some(table)) = (self.below, &self.table) else { return };
        match opening.open(table) {
            Ok(below) => self.below = Some(below),
            Err(error) => {
                tracing::error!(device = self.channels.name(), %error, "a queue cannot open the table");
            }
        }
    }
}

impl Channel for ManagedChannel {
    #[inline]
    fn submit(&mut self, cx: &mut Dispatch, bio: Bio) {
        let Some(way) = self.way else { return self.keep(cx, bio) };
        match self.passages.alloc(cx, Passage, Alloc::NoWait) {
            Ok(mut clone) => {
                clone.clone_of(bio);
                add(&self.counts.under_way, 1);
                cx.submit(way, clone.into_bio());
            }
            // What waits here is not under way yet, and comes to this channel again.
            Err(_) => self.passages.park(cx, bio),
        }
    }

    #[inline]
    fn end_io(&mut self, cx: &mut Dispatch, bio: OwnBio) {
        let Ok(mut clone) = self.passages.claim(bio) else { return };
        let (status, bio) = (clone.status(), clone.take_parent());
        // The clone is home, and the device is drained of it, before the client hears of the end.
        self.passages.free(clone);
        if subtract_one(&self.counts.under_way) == 0 && self.drained.is_some() {
            self.drained = None;
        }
        if let Some(bio) = bio {
            cx.complete(bio, status);
        }
    }

    // not on the I/O path: for what a changing thread sends
    fn message(&mut self, opening: &mut Opening<'_>, message: Box<dyn Any + Send>) {
        let Ok(message) = message.downcast::<Message>() else { return };
        match *message {
            Message::Hold(ack) => self.hold(ack),
            Message::Release => self.release(opening),
            Message::Refuse(status) => self.refuse(opening.cx(), status),
            Message::TakeUp(table, geometry, ack) => {
                self.take_up(opening, table.map(|table| table as DeviceRef), geometry);
                opening.drop_when_wiped(Box::new(ack));
            }
        }
    }
}

/// What is held when the queue ends, ends too.
impl Drop for ManagedChannel {
    fn drop(&mut self) {
        while let Some(bio) = self.held.pop() {
            bio.complete_elsewhere(Status::Offline);
        }
    }
}

/// Adds to a count that this queue alone writes.
#[inline]
fn add(count: &AtomicUsize, more: usize) {
    count.store(count.load(Ordering::Relaxed) + more, Ordering::Relaxed);
}

/// The count after one less, which this queue alone writes.
#[inline]
fn subtract_one(count: &AtomicUsize) -> usize {
    let left = count.load(Ordering::Relaxed) - 1;
    count.store(left, Ordering::Relaxed);
    left
}
