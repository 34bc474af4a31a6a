//! `linear <device> <start>`: a range of another device, moved (the kernel's `dm-linear.c`).

use udm_block::{
    Bio, Channel, ChannelId, DeviceRef, Dispatch, Geometry, Op, OpenError, Opening, Sector, Sectors,
};

use super::Target;

/// Sends bios on to another place of another device. The bio itself goes: there is nothing to do on its way back.
pub struct Linear {
    lower: DeviceRef,
    start: Sector,
}

/// A queue's way into it.
struct LinearChannel {
    lower: ChannelId,
    start: Sector,
}

impl Linear {
    /// The range of `lower` that begins at `start`.
    pub fn new(lower: DeviceRef, start: Sector) -> Self {
        Self { lower, start }
    }
}

impl Target for Linear {
    fn geometry(&self) -> Geometry {
        self.lower.geometry()
    }

    // not on the I/O path: once a channel
    fn open(&self, opening: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        Ok(Box::new(LinearChannel { lower: opening.open(&self.lower)?, start: self.start }))
    }

    fn has_cache(&self) -> bool {
        true
    }
}

impl Channel for LinearChannel {
    #[inline]
    fn submit(&mut self, cx: &mut Dispatch, mut bio: Bio) {
        if bio.op() != Op::Flush {
            bio.set_sector(self.start + Sectors(bio.sector().0));
        }
        cx.submit(self.lower, bio);
    }
}
