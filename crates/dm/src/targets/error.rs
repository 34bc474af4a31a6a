//! `error`: fails every I/O (the kernel's `dm-target.c`, `io_err_target`).

use udm_block::{Bio, Geometry, Sector, Status};

use super::{Target, bottomless};

/// Ends every bio with an I/O error.
pub struct Error;

impl Target for Error {
    fn geometry(&self) -> Geometry {
        bottomless()
    }

    fn map(&self, bio: Bio, _sector: Sector) {
        bio.complete(Status::IoErr);
    }
}
