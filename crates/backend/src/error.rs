//! Why a device could not be opened: where, what was found, and what would do.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::{fmt, io};

use udm_block::Sectors;

/// Why a device could not be opened. Printed, it is one line: which device, what is wrong, and [what would
/// do](OpenError::hint).
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// The system refused to open the path.
    Open {
        /// The path.
        path: PathBuf,
        /// Whether it was to be opened for reading only.
        read_only: bool,
        /// What the system said.
        source: io::Error,
    },
    /// The system refused something that every file can do.
    System {
        /// The path.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// There is something at the path, but it holds no sectors.
    NotADevice {
        /// The path.
        path: PathBuf,
        /// What is there, with its article.
        found: &'static str,
    },
    /// Another process has it open and wants to be alone with it.
    InUse {
        /// The path.
        path: PathBuf,
        /// The lock that is in the way.
        holder: &'static str,
    },
    /// The kernel itself uses the block device.
    Busy {
        /// The path.
        path: PathBuf,
    },
    /// It is a block device that takes no writes.
    ReadOnly {
        /// The path.
        path: PathBuf,
    },
    /// It holds nothing.
    Empty {
        /// The path.
        path: PathBuf,
    },
    /// `O_DIRECT` was asked for, and there is none.
    NoDirect {
        /// The path.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// `io_uring` was asked for, and there is none.
    NoUring {
        /// Why not.
        why: String,
    },
    /// The block size that was asked for is none.
    BlockSize(u32),
    /// The name of a device could not be understood.
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        why: String,
        /// What would do, where `why` does not say it.
        hint: Option<Cow<'static, str>>,
    },
    /// There is no room for a device in memory.
    NoMemory {
        /// Its length.
        size: Sectors,
        /// What the system said.
        source: io::Error,
    },
}

impl OpenError {
    /// The file that it is about.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Open { path, .. }
            | Self::System { path, .. }
            | Self::NotADevice { path, .. }
            | Self::InUse { path, .. }
            | Self::Busy { path }
            | Self::ReadOnly { path }
            | Self::Empty { path }
            | Self::NoDirect { path, .. } => Some(path),
            Self::NoUring { .. } | Self::BlockSize(_) | Self::Name { .. } | Self::NoMemory { .. } => None,
        }
    }

    /// What is wrong, without the device and what would do.
    pub fn wrong(&self) -> String {
        match self {
            Self::Open { read_only: true, source, .. } => format!("cannot be opened: {source}"),
            Self::Open { source, .. } => format!("cannot be opened for reading and writing: {source}"),
            Self::System { what, source, .. } => format!("{what} failed: {source}"),
            Self::NotADevice { found, .. } => format!("is {found}"),
            Self::InUse { holder, .. } => format!("is in use by another process ({holder})"),
            Self::Busy { .. } => "is in use by the system, mounted or part of another device".into(),
            Self::ReadOnly { .. } => "the block device is read-only".into(),
            Self::Empty { .. } => "is empty, and a device has at least one byte".into(),
            Self::NoDirect { why, .. } => format!("cannot be used without the page cache: {why}"),
            Self::NoUring { why } => format!("io_uring cannot be used here: {why}"),
            Self::BlockSize(size) => format!("blocks of {size} bytes are not supported"),
            Self::Name { why, .. } => why.clone(),
            Self::NoMemory { size, source } => format!(
                "a device of {} sectors of 512 bytes in memory: the system gives no addresses for it: {source}",
                size.0
            ),
        }
    }

    /// What would do.
    pub fn hint(&self) -> Option<&str> {
        Some(match self {
            Self::Open { source, read_only, .. } => match source.kind() {
                io::ErrorKind::NotFound => "`truncate -s SIZE PATH` makes an empty image",
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem if !read_only => {
                    "read-only may be permitted"
                }
                _ => return None,
            },
            Self::System { .. } => return None,
            Self::NotADevice { .. } => "a regular file or a block device would do",
            Self::InUse { .. } => "stop that one, or open it read-only in both",
            Self::Busy { .. } => "unmount it, or open it read-only",
            Self::ReadOnly { .. } => "open it read-only, or permit writes with `blockdev --setrw`",
            Self::Empty { .. } => "`truncate -s SIZE` makes it longer",
            Self::NoDirect { .. } => "the cache mode auto would do",
            Self::NoUring { .. } => "the engine threads would do",
            Self::BlockSize(_) => "512, 1024, 2048 or 4096 would do",
            Self::Name { hint, .. } => return hint.as_deref(),
            Self::NoMemory { .. } => "a smaller one would do",
        })
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(path) = self.path() {
            write!(f, "{}: ", path.display())?;
        } else if let Self::Name { name, .. } = self {
            write!(f, "device \"{name}\": ")?;
        }
        f.write_str(&self.wrong())?;
        self.hint().map_or(Ok(()), |hint| write!(f, "; {hint}"))
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Open { source, .. } | Self::System { source, .. } | Self::NoMemory { source, .. } => {
                Some(source)
            }
            _ => None,
        }
    }
}
