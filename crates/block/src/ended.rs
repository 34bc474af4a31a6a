//! Where bios end on a queue.

use crate::bio::{Bio, BioList};
use crate::status::Status;

/// What has ended on a queue, in the order in which its drivers are told.
#[derive(Default)]
pub struct Ended {
    bios: BioList,
}

impl Ended {
    /// Ends `bio` with `status`; an error that was recorded before stays. Its owner hears of it once the call that is
    /// running has returned.
    #[inline]
    pub fn complete(&mut self, bio: Bio, status: Status) {
        bio.record(status);
        if let Some(bio) = bio.arrive() {
            self.bios.push(bio);
        }
    }

    /// Has a bio of which every completion has come end here.
    pub(crate) fn push(&mut self, bio: Bio) {
        self.bios.push(bio);
    }

    /// The bio whose driver is told next.
    pub(crate) fn pop(&mut self) -> Option<Bio> {
        self.bios.pop()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bios.is_empty()
    }
}
