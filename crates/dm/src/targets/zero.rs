//! `zero`: reads as zeros, and forgets what is written (the kernel's `dm-zero.c`).

use udm_block::{Bio, Channel, Dispatch, Geometry, Op, OpenError, Opening, Status};

use super::{Target, bottomless};

/// Ends every bio at once.
pub struct Zero;

/// A queue's way into it.
struct ZeroChannel;

impl Target for Zero {
    fn geometry(&self) -> Geometry {
        bottomless()
    }

    // not on the I/O path: once a channel
    fn open(&self, _: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        Ok(Box::new(ZeroChannel))
    }
}

impl Channel for ZeroChannel {
    fn submit(&mut self, cx: &mut Dispatch, mut bio: Bio) {
        if bio.op() == Op::Read {
            bio.data_mut().fill(0);
        }
        cx.complete(bio, Status::Ok);
    }
}
