//! The pad of a client's bio.

use udm_block::{ChannelId, Pad};

/// The pad: the number of the bio, and where it was sent.
pub(super) struct Ticket {
    pub(super) number: u64,
    pub(super) channel: ChannelId,
}

impl Pad for Ticket {}
