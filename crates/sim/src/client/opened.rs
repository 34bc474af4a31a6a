//! The devices that a client has open: each as long as a bio of the client is under way there, so that a stack which a test
//! drops is gone before it opens the next one.

use udm_block::{ChannelId, DeviceRef, Queue};

/// The channels, each with the count of its bios under way.
#[derive(Default)]
pub(super) struct Opened(Vec<(DeviceRef, ChannelId, usize)>);

impl Opened {
    /// The channel for one more bio.
    ///
    /// # Panics
    /// When the device cannot be opened.
    pub fn enter(&mut self, queue: &mut Queue, dev: &DeviceRef) -> ChannelId {
        if let Some((_, channel, count)) = self.0.iter_mut().find(|(of, ..)| DeviceRef::ptr_eq(of, dev)) {
            *count += 1;
            return *channel;
        }
        let channel = queue.open(dev).unwrap_or_else(|error| panic!("the device cannot be opened: {error}"));
        self.0.push((DeviceRef::clone(dev), channel, 1));
        channel
    }

    /// A bio has ended.
    pub fn leave(&mut self, queue: &mut Queue, channel: ChannelId) {
        let Some(place) = self.0.iter().position(|(_, of, _)| *of == channel) else { return };
        self.0[place].2 -= 1;
        if self.0[place].2 == 0 {
            queue.close(channel);
            self.0.swap_remove(place);
        }
    }
}
