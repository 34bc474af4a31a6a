//! Why a device could not be opened: where, what was found, and what would do.

use std::io;
use std::path::PathBuf;

use udm_block::Sectors;

/// Why a device could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The system refused to open the path.
    #[error("{}: cannot be opened{}: {source}{}", path.display(), wanted(*read_only), hint(source, *read_only))]
    Open {
        /// The path.
        path: PathBuf,
        /// Whether it was to be opened for reading only.
        read_only: bool,
        /// What the system said.
        source: io::Error,
    },
    /// The system refused something that every file can do.
    #[error("{}: {what} failed: {source}", path.display())]
    System {
        /// The path.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// There is something at the path, but it holds no sectors.
    #[error("{}: is {found}; a regular file or a block device would do", path.display())]
    NotADevice {
        /// The path.
        path: PathBuf,
        /// What is there, with its article.
        found: &'static str,
    },
    /// Another process has it open and wants to be alone with it.
    #[error("{}: is in use by another process ({holder}); stop that one, or open it read-only in both", path.display())]
    InUse {
        /// The path.
        path: PathBuf,
        /// The lock that is in the way.
        holder: &'static str,
    },
    /// The kernel itself uses the block device.
    #[error("{}: is in use by the system, mounted or part of another device; unmount it, or open it read-only", path.display())]
    Busy {
        /// The path.
        path: PathBuf,
    },
    /// It is a block device that takes no writes.
    #[error("{}: the block device is read-only; open it read-only, or permit writes with `blockdev --setrw`", path.display())]
    ReadOnly {
        /// The path.
        path: PathBuf,
    },
    /// It holds nothing.
    #[error("{}: is empty, and a device has at least one byte; `truncate -s SIZE` makes it longer", path.display())]
    Empty {
        /// The path.
        path: PathBuf,
    },
    /// `O_DIRECT` was asked for, and there is none.
    #[error("{}: cannot be used without the page cache: {why}; the cache mode auto would do", path.display())]
    NoDirect {
        /// The path.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// `io_uring` was asked for, and there is none.
    #[error("io_uring cannot be used here: {why}; the engine threads would do")]
    NoUring {
        /// Why not.
        why: String,
    },
    /// The block size that was asked for is none.
    #[error("blocks of {0} bytes are not supported; 512, 1024, 2048 or 4096 would do")]
    BlockSize(u32),
    /// The name of a device could not be understood.
    #[error("device \"{name}\": {why}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it, and what would do.
        why: String,
    },
    /// There is no room for a device in memory.
    #[error(
        "a device of {} sectors of 512 bytes in memory: the system gives no addresses for it: {source}; a smaller one would do", size.0
    )]
    NoMemory {
        /// Its length.
        size: Sectors,
        /// What the system said.
        source: io::Error,
    },
}

fn wanted(read_only: bool) -> &'static str {
    if read_only { "" } else { " for reading and writing" }
}

fn hint(source: &io::Error, read_only: bool) -> &'static str {
    match source.kind() {
        io::ErrorKind::NotFound => "; `truncate -s SIZE PATH` makes an empty image",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem if !read_only => {
            "; read-only may be permitted"
        }
        _ => "",
    }
}
