//! `linear <device> <start>`: a range of another device, moved (the kernel's `dm-linear.c`).

use std::fmt;

use udm_block::{
    Bio, Channel, ChannelId, DeviceRef, Dispatch, Geometry, Op, OpenError, Opening, Sector, Sectors,
};

use super::{BuildContext, DeviceArg, Target, TargetSpec, TargetType};
use crate::load::LoadError;
use crate::table::{ArgWriter, Args, TableError, reason};

/// The target type `linear`.
pub struct LinearType;

/// A `linear` row: the sectors of another device.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LinearSpec {
    /// The device, and where on it the row begins.
    pub device: DeviceArg,
}

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

impl TargetType for LinearType {
    fn name(&self) -> &'static str {
        "linear"
    }

    // not on the I/O path: once a row
    fn parse(&self, args: &Args<'_>) -> Result<Box<dyn TargetSpec>, TableError> {
        if args.words().len() != 2 {
            let needs = "a linear row needs 2 words";
            return Err(args.wrong_count(needs, 2, "write <device> <start>", reason::ARGUMENT_COUNT));
        }
        Ok(Box::new(LinearSpec { device: args.device(0, args.length, reason::DEVICE_START)? }))
    }
}

impl TargetSpec for LinearSpec {
    fn target_type(&self) -> &dyn TargetType {
        &LinearType
    }

    fn devices(&self) -> &[DeviceArg] {
        std::slice::from_ref(&self.device)
    }

    fn write(&self, args: &mut ArgWriter<'_, '_>) -> fmt::Result {
        args.device(&self.device)
    }

    // not on the I/O path: once a table
    fn build(&self, cx: &BuildContext<'_>) -> Result<Box<dyn Target>, LoadError> {
        Ok(Box::new(Linear::new(cx.device(0), self.device.start)))
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
