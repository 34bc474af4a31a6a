//! Sector numbers and byte counts, as types of their own so that they cannot be mixed up.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};

/// The bits of a byte count that lie below a sector.
pub const SECTOR_SHIFT: u32 = 9;
/// The size of a sector in bytes. A sector is 512 bytes whatever the device's block size is.
pub const SECTOR_SIZE: usize = 1 << SECTOR_SHIFT;

/// A place on a device, in units of 512 bytes (the kernel's `sector_t`).
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sector(pub u64);

/// A length in units of 512 bytes.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sectors(pub u64);

/// A length in bytes.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(pub u64);

impl Sector {
    /// The byte offset of this sector, or `None` past 2^64 bytes.
    pub const fn checked_bytes(self) -> Option<u64> {
        self.0.checked_mul(SECTOR_SIZE as u64)
    }

    /// The sector `by` further on, or `None` past 2^64 sectors.
    pub fn checked_add(self, by: Sectors) -> Option<Self> {
        self.0.checked_add(by.0).map(Self)
    }
}

impl Sectors {
    /// The whole sectors in `bytes`; what is left over does not count.
    pub const fn in_bytes(bytes: u64) -> Self {
        Self(bytes >> SECTOR_SHIFT)
    }

    /// The length in bytes; `u64::MAX` where there are more, which is no multiple of a sector and longer than any device.
    pub const fn bytes(self) -> Bytes {
        Bytes(self.0.saturating_mul(SECTOR_SIZE as u64))
    }
}

impl Bytes {
    /// The whole sectors in it; what is left over does not count.
    pub const fn sectors(self) -> Sectors {
        Sectors::in_bytes(self.0)
    }
}

/// A sum past 2^64 sectors is the last sector number there is, which lies behind the end of every device: `submit`
/// refuses it. It does not wrap to a place that exists.
impl Add<Sectors> for Sector {
    type Output = Self;
    fn add(self, by: Sectors) -> Self {
        Self(self.0.saturating_add(by.0))
    }
}

impl AddAssign<Sectors> for Sector {
    fn add_assign(&mut self, by: Sectors) {
        *self = *self + by;
    }
}

impl Sub for Sector {
    type Output = Sectors;
    fn sub(self, other: Self) -> Sectors {
        Sectors(self.0 - other.0)
    }
}

macro_rules! plain_number {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    )*};
}
plain_number!(Sector, Sectors, Bytes);
