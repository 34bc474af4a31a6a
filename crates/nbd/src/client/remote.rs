//! What the server says about the export, and which requests it therefore takes.

use super::NotOffered;
use crate::wire::{BlockSizes, Command, CommandFlags, TransmissionFlags};

/// The longest trim or write of zeroes that a client should send as one request, in bytes.
///
/// Such a request carries no data, so the maximum block size does not bound it. 1 GiB is a multiple of every block size.
pub const MAX_WITHOUT_DATA: u32 = 1 << 30;

/// An export, as the server described it in the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemoteExport {
    /// The size in bytes.
    pub size: u64,
    /// What it can do.
    pub flags: TransmissionFlags,
    /// The block sizes, if the server gave them.
    pub block_sizes: Option<BlockSizes>,
}

impl RemoteExport {
    /// The block sizes to keep to: the server's or, if it gave none, the protocol's defaults.
    pub fn block_sizes(&self) -> BlockSizes {
        self.block_sizes.unwrap_or(BlockSizes::DEFAULT)
    }

    /// The longest read or write of one request, in bytes.
    pub fn max_data(&self) -> u32 {
        let sizes = self.block_sizes();
        // A server without a maximum gets the default one, which is a multiple of every minimum.
        sizes.max.min(BlockSizes::DEFAULT.max).max(sizes.min).max(1)
    }

    /// Checks that the export serves `command` with `flags`. Ranges are not checked: the server answers for them.
    ///
    /// # Errors
    /// The transmission flags that the export lacks for it.
    pub fn check(&self, command: Command, flags: CommandFlags) -> Result<(), NotOffered> {
        let mut needed = match command {
            Command::Flush => TransmissionFlags::SEND_FLUSH,
            Command::Trim => TransmissionFlags::SEND_TRIM,
            Command::Cache => TransmissionFlags::SEND_CACHE,
            Command::WriteZeroes => TransmissionFlags::SEND_WRITE_ZEROES,
            _ => TransmissionFlags::NONE,
        };
        needed.set(TransmissionFlags::SEND_FUA, flags.contains(CommandFlags::FUA));
        needed.set(TransmissionFlags::SEND_FAST_ZERO, flags.contains(CommandFlags::FAST_ZERO));
        let missing = needed.without(self.flags);
        if missing.is_empty() { Ok(()) } else { Err(NotOffered { missing }) }
    }
}
