//! The pad of a bio inside of which another one waits.

use udm_block::Pad;

use super::class::Class;

/// The pad of a bio inside of which another one waits.
pub(super) struct Hold {
    pub(super) class: Class,
    pub(super) stage: Stage,
}

/// What has to end before the bio inside goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Its delay.
    Wait,
    /// The flush that it wants before its data.
    Flush,
}

impl Pad for Hold {}
