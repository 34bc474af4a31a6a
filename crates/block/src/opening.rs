//! How a device is opened on a queue, and what else it may do there while it is.

use std::any::Any;

use crate::bio::{BioSet, Bios, Pad};
use crate::channel_id::ChannelId;
use crate::device::{Channel, DeviceRef, OpenChannels, Opening, key_of};
use crate::dispatch::Dispatch;
use crate::engine::{Engine, EngineId};
use crate::geometry::Geometry;
use crate::home::Address;
use crate::open_error::OpenError;

impl<'a> Opening<'a> {
    pub(crate) fn new(
        channels: &'a mut OpenChannels,
        cx: &'a mut Dispatch,
        id: ChannelId,
        is_sealed: bool,
    ) -> Self {
        Self { channels, cx, id, is_sealed }
    }

    /// Opens a device below. A queue has one channel for each device, however many of its channels open it. It is closed
    /// with the channel that is being opened, or by [`Opening::close`].
    ///
    /// # Errors
    /// What the device says.
    pub fn open(&mut self, device: &DeviceRef) -> Result<ChannelId, OpenError> {
        let id = if let Some(id) = self.channels.find(device) {
            id
        } else {
            let id = self.channels.add(Some(DeviceRef::clone(device)), device.geometry());
            self.enter(id, key_of(device), |opening| device.open(opening))?
        };
        self.keep(id);
        Ok(id)
    }

    /// Opens a part of the device that is being opened, such as a row of a table, as a channel of its own: bios are
    /// submitted to it, and it is told of the ends of its own. `geometry` is what its bios are held against.
    ///
    /// # Errors
    /// What `open` says.
    pub fn open_part(
        &mut self,
        geometry: Geometry,
        open: impl FnOnce(&mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError>,
    ) -> Result<ChannelId, OpenError> {
        let id = self.channels.add(None, geometry);
        self.enter(id, 0, open)?;
        self.keep(id);
        Ok(id)
    }

    /// Fills the place of a channel.
    fn enter(
        &mut self,
        id: ChannelId,
        key: usize,
        open: impl FnOnce(&mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError>,
    ) -> Result<ChannelId, OpenError> {
        let index = id.index as usize;
        if self.cx.keys.len() <= index {
            self.cx.keys.resize(index + 1, 0);
        }
        self.cx.keys[index] = key;
        self.cx.home().mailbox().make_room(index + 1);
        match open(&mut Opening::new(self.channels, self.cx, id, self.is_sealed)) {
            Ok(channel) => {
                self.channels.get(id).expect("being opened").channel = Some(channel);
                Ok(id)
            }
            Err(error) => {
                self.channels.close(self.cx, id);
                Err(error)
            }
        }
    }

    /// Has a channel go with the one that is being opened. The user of a queue closes what it opens by itself.
    fn keep(&mut self, id: ChannelId) {
        if let Some(slot) = self.channels.get(self.id) {
            slot.lower.push(id);
        }
    }

    /// Closes a channel that this one has opened. None of this one's bios is under way there.
    pub fn close(&mut self, id: ChannelId) {
        if let Some(slot) = self.channels.get(self.id)
            && let Some(place) = slot.lower.iter().position(|lower| *lower == id)
        {
            slot.lower.swap_remove(place);
            self.channels.close(self.cx, id);
        }
    }

    /// The channel's own way to the bios of a set.
    pub fn bios<P: Pad>(&self, set: &BioSet<P>) -> Bios<P> {
        Bios::new(set, self.id)
    }

    /// The queue's engine of type `E`, which `make` makes where there is none yet. It goes with the last channel that uses it.
    ///
    /// # Errors
    /// What `make` says.
    pub fn engine<E: Engine>(
        &mut self,
        make: impl FnOnce() -> Result<E, OpenError>,
    ) -> Result<EngineId<E>, OpenError> {
        let engine = match self.cx.engines.find() {
            Some(engine) => engine,
            None => self.cx.engines.add(make()?),
        };
        if let Some(slot) = self.channels.get(self.id) {
            slot.engines.push(engine.index());
        }
        Ok(engine)
    }

    /// Where other threads reach the channel.
    pub fn address(&self) -> Address {
        Address::new(self.cx.home().clone(), self.id)
    }

    /// What the bios of the channel are held against from now on.
    pub fn set_geometry(&mut self, geometry: Geometry) {
        if let Some(slot) = self.channels.get(self.id) {
            slot.geometry = geometry;
        }
    }

    /// What the bios of a channel that is open are held against.
    pub fn geometry(&self, id: ChannelId) -> Option<Geometry> {
        self.channels.geometry(id)
    }

    /// Says that the I/O of the channel leaves parts of keys on the stack of the thread that does it. The stack is wiped
    /// before the queue is somebody else's, and when it ends.
    pub fn leaves_secrets(&mut self) {
        self.cx.has_secrets = true;
    }

    /// Whether the queue takes no memory from the system once it is at work: then the channel takes now what it will ever
    /// want.
    pub fn is_sealed(&self) -> bool {
        self.is_sealed
    }

    /// The context of driver calls: to submit and complete bios while the channel is told a message.
    pub fn cx(&mut self) -> &mut Dispatch {
        self.cx
    }

    /// Drops `thing` when the queue has wiped its stack, which it does next: so who waits for this drop knows that nothing
    /// is left there of a key that the channel has dropped.
    pub fn drop_when_wiped(&mut self, thing: Box<dyn Any + Send>) {
        self.cx.after_wipe.push(thing);
    }

    /// Drops `thing` when the channel, and all that it has opened, is closed, and the queue has wiped its stack: so who
    /// waits for this drop knows that the queue has nothing left of what the channel had.
    pub fn drop_when_closed(&mut self, thing: Box<dyn Any + Send>) {
        if let Some(slot) = self.channels.get(self.id) {
            slot.kept.push(thing);
        }
    }
}
