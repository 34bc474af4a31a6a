//! `linear <device> <start>`: a range of another device, moved (the kernel's `dm-linear.c`).

use udm_block::{Bio, DeviceRef, Geometry, Op, Sector, Sectors, submit};

use super::Target;

/// Sends bios on to another place of another device. The bio itself goes: there is nothing to do on its way back.
pub struct Linear {
    lower: DeviceRef,
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

    fn map(&self, mut bio: Bio, sector: Sector) {
        if bio.op() != Op::Flush {
            bio.set_sector(self.start + Sectors(sector.0));
        }
        submit(&self.lower, bio);
    }

    fn prepare_thread(&self) {
        self.lower.prepare_thread();
    }

    fn has_cache(&self) -> bool {
        true
    }
}
