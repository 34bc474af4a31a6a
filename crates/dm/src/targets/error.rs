//! `error`: fails every I/O (the kernel's `dm-target.c`, `io_err_target`).

use udm_block::{Bio, Channel, Dispatch, Geometry, OpenError, Opening, Status};

use super::{Target, bottomless};

/// Ends every bio with an I/O error.
pub struct Error;

/// A queue's way into it.
struct ErrorChannel;

impl Target for Error {
    fn geometry(&self) -> Geometry {
        bottomless()
    }

    fn open(&self, _: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        Ok(Box::new(ErrorChannel))
    }
}

impl Channel for ErrorChannel {
    fn submit(&mut self, cx: &mut Dispatch, bio: Bio) {
        cx.complete(bio, Status::IoErr);
    }
}
