//! Why a conversion fails or stops: where, what was found, what would do.

use std::fmt;
use std::io;
use std::path::PathBuf;

use udm_block::mempool::NoReserve;
use udm_block::{OpenError, Status};

use crate::device::DeviceError;

/// What was being done to a piece.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Doing {
    /// The source is read.
    Read,
    /// The destination is written.
    Write,
    /// The destination is zeroed.
    Zero,
    /// The destination is flushed.
    Flush,
    /// The destination is read again.
    ReadBack,
}

impl fmt::Display for Doing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "reading from the source",
            Self::Write => "writing to the destination",
            Self::Zero => "zeroing on the destination",
            Self::Flush => "flushing the destination",
            Self::ReadBack => "reading back from the destination",
        })
    }
}

/// Why a conversion fails or stops.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConvertError {
    /// An I/O of a piece failed.
    #[error("{doing}, {len} bytes at byte {at}: {status}{}", hint(*status))]
    Io {
        /// What was being done.
        doing: Doing,
        /// Where the piece begins.
        at: u64,
        /// Its length in bytes.
        len: u64,
        /// What the device says.
        status: Status,
    },
    /// Somebody stopped it.
    #[error("stopped at byte {position}")]
    Stopped {
        /// All before this byte is copied.
        position: u64,
    },
    /// The copy is not what the source is.
    #[error(
        "the destination differs from the source at byte {at}: it was changed meanwhile, or a device does not keep what it takes"
    )]
    Differs {
        /// The first byte that differs.
        at: u64,
    },
    /// A file beside the destination.
    #[error("{}: {what}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// The file system has no room for all of a file.
    #[error("{}: {size} bytes are needed, and nothing was written: {source}", path.display())]
    NoRoom {
        /// The file.
        path: PathBuf,
        /// Its length in bytes.
        size: u64,
        /// What the system says.
        source: io::Error,
    },
    /// What is where the journal is to be is something else.
    #[error(
        "{}: this is no record of a conversion by this version of udm, and is left as it is; name another file with \
         --journal, or move this one away", path.display()
    )]
    Foreign {
        /// What is there.
        path: PathBuf,
    },
    /// What was asked for cannot be done, in words.
    #[error("{0}")]
    Request(String),
    /// A device that is not opened.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// There is no memory.
    #[error(transparent)]
    NoReserve(#[from] NoReserve),
    /// The system has no queue for it.
    #[error("cannot drive I/O: {0}")]
    Queue(#[from] io::Error),
    /// A device that no I/O can be done on.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// What would do.
fn hint(status: Status) -> &'static str {
    match status {
        Status::NoSpace => "; make room there",
        Status::Offline => "; is the file being changed by somebody else?",
        _ => "",
    }
}

impl ConvertError {
    /// Whether the request was wrong, as opposed to the work having failed.
    pub fn is_request(&self) -> bool {
        match self {
            Self::Request(_) | Self::Foreign { .. } => true,
            Self::Device(error) => error.is_request(),
            _ => false,
        }
    }

    /// A file beside the destination on which something failed.
    pub fn file(path: impl Into<PathBuf>, what: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, what, source }
    }
}
