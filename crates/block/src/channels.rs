//! The channels of one queue.

use std::any::Any;
use std::sync::Arc;

use crate::channel_id::ChannelId;
use crate::dispatch::Dispatch;
use crate::geometry::Geometry;

/// The channels of a queue, by their numbers: each a `C`, of a device that is a `D` (`dyn Channel` and `dyn Device`).
pub(crate) struct Channels<D: ?Sized, C: ?Sized> {
    slots: Vec<Slot<D, C>>,
}

/// The place of a channel.
pub(crate) struct Slot<D: ?Sized, C: ?Sized> {
    generation: u32,
    /// How many opened it. Nobody: the slot is free.
    users: u32,
    /// The device that it is of; a part of one has none. It is kept, so that no other device has its address.
    device: Option<Arc<D>>,
    pub(crate) geometry: Geometry,
    /// Not there while it is being opened, or told a message.
    pub(crate) channel: Option<Box<C>>,
    /// The channels and engines that it opened, which go with it.
    pub(crate) lower: Vec<ChannelId>,
    pub(crate) engines: Vec<usize>,
    /// What is dropped when these are closed too, and the stack is wiped.
    pub(crate) kept: Vec<Box<dyn Any + Send>>,
}

impl<D: ?Sized, C: ?Sized> Channels<D, C> {
    // not on the I/O path: once a queue
    pub(crate) const fn new() -> Self {
        Self { slots: Vec::new() }
    }

    /// The channel of a device, which has one user more.
    pub(crate) fn find(&mut self, device: &Arc<D>) -> Option<ChannelId> {
        let is_it = |slot: &Slot<D, C>| {
            slot.users > 0 && slot.device.as_ref().is_some_and(|of| Arc::ptr_eq(of, device))
        };
        let index = self.slots.iter().position(is_it)?;
        self.slots[index].users += 1;
        Some(ChannelId { index: index as u32, generation: self.slots[index].generation })
    }

    /// A place for a channel, which has one user.
    // not on the I/O path: once a channel
    pub(crate) fn add(&mut self, device: Option<Arc<D>>, geometry: Geometry) -> ChannelId {
        let free = self.slots.iter().position(|slot| slot.users == 0);
        let generation = free.map_or(0, |index| self.slots[index].generation.wrapping_add(1));
        let (lower, engines, kept) = (Vec::new(), Vec::new(), Vec::new());
        let slot = Slot { generation, users: 1, device, geometry, channel: None, lower, engines, kept };
        let index = free.unwrap_or(self.slots.len());
        if index == self.slots.len() {
            self.slots.push(slot);
        } else {
            self.slots[index] = slot;
        }
        ChannelId { index: index as u32, generation }
    }

    /// The place of a channel that is open.
    #[inline]
    pub(crate) fn get(&mut self, id: ChannelId) -> Option<&mut Slot<D, C>> {
        let slot = self.slots.get_mut(id.index as usize)?;
        if slot.generation == id.generation && slot.users > 0 { Some(slot) } else { None }
    }

    /// What a channel is about.
    pub(crate) fn geometry(&self, id: ChannelId) -> Option<Geometry> {
        let slot = self.slots.get(id.index as usize)?;
        (slot.generation == id.generation && slot.users > 0).then_some(slot.geometry)
    }

    /// One user of a channel less. With the last one the channel goes, and then what it has open.
    // not on the I/O path: once a channel
    pub(crate) fn close(&mut self, cx: &mut Dispatch, id: ChannelId) {
        let mut to_close = vec![id];
        while let Some(id) = to_close.pop() {
            let Some(slot) = self.get(id) else { continue };
            slot.users -= 1;
            if slot.users > 0 {
                continue;
            }
            let (channel, device) = (slot.channel.take(), slot.device.take());
            let (lower, engines) = (std::mem::take(&mut slot.lower), std::mem::take(&mut slot.engines));
            cx.after_wipe.append(&mut slot.kept);
            drop(channel);
            for engine in engines {
                drop(cx.engines.release(engine));
            }
            drop(device);
            to_close.extend(lower);
        }
    }

    /// The channels that are open, for a queue that ends: each with all of its users.
    pub(crate) fn close_all(&mut self, cx: &mut Dispatch) {
        for index in 0..self.slots.len() {
            while self.slots[index].users > 0 {
                let generation = self.slots[index].generation;
                self.close(cx, ChannelId { index: index as u32, generation });
            }
        }
    }
}
