//! What a bio asks for.

use std::ops::{BitOr, BitOrAssign};

/// The operation of a bio (the kernel's `enum req_op`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Op {
    /// Bytes from the device into the bio's memory.
    Read,
    /// Bytes from the bio's memory onto the device.
    Write,
    /// What was acknowledged before becomes durable. No place, no data.
    Flush,
    /// The range may lose its bytes; what it reads as afterwards is not said. No data.
    Discard,
    /// The range reads as zeros afterwards. No data.
    WriteZeroes,
}

impl Op {
    /// Whether the bio carries memory as long as its range.
    pub const fn has_data(self) -> bool {
        matches!(self, Self::Read | Self::Write)
    }

    /// Whether it changes the device.
    pub const fn is_write(self) -> bool {
        matches!(self, Self::Write | Self::Discard | Self::WriteZeroes)
    }
}

/// Wishes beside the operation (the kernel's `REQ_*`), as a set.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Flags(u8);

impl Flags {
    /// No wish.
    pub const NONE: Self = Self(0);
    /// Durable before it is acknowledged (`REQ_FUA`).
    pub const FUA: Self = Self(1);
    /// What was acknowledged before becomes durable first (`REQ_PREFLUSH`).
    pub const PREFLUSH: Self = Self(1 << 1);
    /// For [`Op::WriteZeroes`]: keep the range allocated (`REQ_NOUNMAP`).
    pub const NO_UNMAP: Self = Self(1 << 2);
    /// For [`Op::WriteZeroes`]: end with [`NotSupported`](crate::Status::NotSupported) at once, with nothing changed,
    /// rather than write zeros as data (`BLKDEV_ZERO_NOFALLBACK`).
    pub const FAST: Self = Self(1 << 3);

    /// Whether all of `other` are in the set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The set without `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl BitOr for Flags {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Flags {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}
