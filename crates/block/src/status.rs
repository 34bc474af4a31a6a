//! How an I/O ended: one byte on the path, a sentence at the edge.

use std::fmt;

/// The outcome of a bio (the kernel's `blk_status_t`, `BLK_STS_*`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(u8)]
pub enum Status {
    /// It is done.
    #[default]
    Ok = 0,
    /// The device could not do it, or a bio left the device (`EIO`).
    IoErr,
    /// The medium is full (`ENOSPC`).
    NoSpace,
    /// This device has no such operation (`EOPNOTSUPP`).
    NotSupported,
    /// The place is not where the device can take it: not on a block border (`EINVAL`).
    Invalid,
    /// Read-only, or a key that is not there (`EPERM`).
    Protection,
    /// The device ran out of something, and will have it again (`EAGAIN`).
    DevResource,
    /// The medium is bad at this place (`ENODATA`).
    Medium,
    /// The device is gone, or its file became shorter than it was (`ENXIO`).
    Offline,
}

impl Status {
    /// Every status; the index is the byte.
    pub const ALL: [Self; 9] = [
        Self::Ok,
        Self::IoErr,
        Self::NoSpace,
        Self::NotSupported,
        Self::Invalid,
        Self::Protection,
        Self::DevResource,
        Self::Medium,
        Self::Offline,
    ];

    /// Whether the I/O is done.
    pub const fn is_ok(self) -> bool {
        matches!(self, Self::Ok)
    }

    /// The status of the byte that `as u8` made.
    pub(crate) const fn from_byte(byte: u8) -> Self {
        Self::ALL[byte as usize]
    }

    /// What an errno of the system says of a transfer (the kernel's `errno_to_blk_status`).
    pub fn from_errno(errno: i32) -> Self {
        const ENXIO: i32 = 6;
        const EAGAIN: i32 = 11;
        const ENOMEM: i32 = 12;
        const EACCES: i32 = 13;
        const ENODEV: i32 = 19;
        const EINVAL: i32 = 22;
        const EFBIG: i32 = 27;
        const ENOSPC: i32 = 28;
        const EROFS: i32 = 30;
        const EPERM: i32 = 1;
        const ENODATA: i32 = 61;
        const EOPNOTSUPP: i32 = 95;
        const EDQUOT: i32 = 122;
        match errno {
            0 => Self::Ok,
            ENOSPC | EDQUOT | EFBIG => Self::NoSpace,
            EOPNOTSUPP => Self::NotSupported,
            EINVAL => Self::Invalid,
            EPERM | EACCES | EROFS => Self::Protection,
            EAGAIN | ENOMEM => Self::DevResource,
            ENODATA => Self::Medium,
            ENXIO | ENODEV => Self::Offline,
            _ => Self::IoErr,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "done",
            Self::IoErr => "input/output error",
            Self::NoSpace => "no space left on the device",
            Self::NotSupported => "the device has no such operation",
            Self::Invalid => "not on a block border of the device",
            Self::Protection => "the device does not permit it",
            Self::DevResource => "the device is out of a resource",
            Self::Medium => "the medium is bad at this place",
            Self::Offline => "the device is gone or shorter than it was",
        })
    }
}

impl std::error::Error for Status {}
