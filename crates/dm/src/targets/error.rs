//! `error`: fails every I/O (the kernel's `dm-target.c`, `io_err_target`).

use udm_block::{Bio, Geometry, Sector, Sectors, Status};

use super::Target;

/// Ends every bio with an I/O error.
pub struct Error;

impl Target for Error {
    fn geometry(&self) -> Geometry {
        Geometry {
            discard: true,
            write_zeroes: true,
            write_cache: false,
            ..Geometry::plain(Sectors(u64::MAX))
        }
    }

    fn map(&self, bio: Bio, _sector: Sector) {
        bio.complete(Status::IoErr);
    }
}
