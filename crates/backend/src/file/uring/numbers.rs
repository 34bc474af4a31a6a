//! The numbers of an image's files in a ring's table.

use std::os::fd::RawFd;

use crate::file::transfer::Way;

/// The numbers of an image: one for each descriptor that it can have, the buffered one first.
pub(super) const PAIR: usize = 2;

/// The numbers of an image's files in a ring.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Numbers(pub(super) usize);

impl Numbers {
    /// The number of the file that [`Image::fd`] gives the descriptor of.
    pub(super) fn of(self, way: Way) -> RawFd {
        let second = matches!(way, Way::Direct | Way::Bounce);
        (self.0 * PAIR + usize::from(second)) as RawFd
    }
}
