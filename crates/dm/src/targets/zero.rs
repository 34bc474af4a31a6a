//! `zero`: reads as zeros, and forgets what is written (the kernel's `dm-zero.c`).

use udm_block::{Bio, Geometry, Op, Sector, Status};

use super::{Target, bottomless};

/// Ends every bio at once.
pub struct Zero;

impl Target for Zero {
    fn geometry(&self) -> Geometry {
        bottomless()
    }

    fn map(&self, bio: Bio, _sector: Sector) {
        if bio.op() == Op::Read {
            bio.data().for_each(|run| run.fill(0));
        }
        bio.complete(Status::Ok);
    }
}
