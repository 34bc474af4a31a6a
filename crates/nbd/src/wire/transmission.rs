//! The transmission phase's structures: requests and simple replies.
//!
//! Sections "Request message", "Simple reply message" and "Values: Transmission phase" of the protocol. These run
//! once a request, on the I/O path: no allocation here.

use bitflags::bitflags;

use super::flags::flag_words;
use super::numbers::named_numbers;
use super::{Layout, WireError, be_u16, be_u32, be_u64};

/// The first four bytes of every request.
pub const REQUEST_MAGIC: u32 = 0x2560_9513;
/// The first four bytes of every simple reply.
pub const SIMPLE_REPLY_MAGIC: u32 = 0x6744_6698;
/// The first four bytes of every chunk of a structured reply, which this crate's client never asks for.
pub const STRUCTURED_REPLY_MAGIC: u32 = 0x668e_33ef;

bitflags! {
    /// What a request asks for besides its command (section "Command flags").
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct CommandFlags: u16 {
        /// `NBD_CMD_FLAG_FUA`: answer when it is on stable storage.
        const FUA = 1 << 0;
        /// `NBD_CMD_FLAG_NO_HOLE`: zeroes are to be allocated.
        const NO_HOLE = 1 << 1;
        /// `NBD_CMD_FLAG_DF`: reply in one chunk.
        const DF = 1 << 2;
        /// `NBD_CMD_FLAG_REQ_ONE`: one extent is enough.
        const REQ_ONE = 1 << 3;
        /// `NBD_CMD_FLAG_FAST_ZERO`: fail rather than write zeroes slowly.
        const FAST_ZERO = 1 << 4;
        /// `NBD_CMD_FLAG_PAYLOAD_LEN`: the length is that of a payload; needs extended headers.
        const PAYLOAD_LEN = 1 << 5;
    }
}

flag_words!(CommandFlags);

named_numbers! {
    /// What a request asks for (section "Request types").
    Command: u16, "command" {
        /// Read.
        Read = 0, "NBD_CMD_READ";
        /// Write the data that follows the request.
        Write = 1, "NBD_CMD_WRITE";
        /// Finish what is in flight and hang up; never answered.
        Disc = 2, "NBD_CMD_DISC";
        /// Make every write that was answered stable.
        Flush = 3, "NBD_CMD_FLUSH";
        /// The content is no longer needed.
        Trim = 4, "NBD_CMD_TRIM";
        /// Read ahead.
        Cache = 5, "NBD_CMD_CACHE";
        /// Write zeroes, without data.
        WriteZeroes = 6, "NBD_CMD_WRITE_ZEROES";
        /// Describe extents; needs structured replies.
        BlockStatus = 7, "NBD_CMD_BLOCK_STATUS";
        /// Reserved by an experimental extension.
        Resize = 8, "NBD_CMD_RESIZE";
    }
}

named_numbers! {
    /// Why a request failed (section "Error values"). Zero, which means that it did not, is not one of them.
    ErrorNumber: u32, "error" {
        /// Not permitted: a write to what is read-only.
        Perm = 1, "EPERM";
        /// The medium or the way to it failed.
        Io = 5, "EIO";
        /// No memory.
        NoMem = 12, "ENOMEM";
        /// The request is wrong.
        Inval = 22, "EINVAL";
        /// No space is left.
        NoSpc = 28, "ENOSPC";
        /// The reply would be too large.
        Overflow = 75, "EOVERFLOW";
        /// Not supported, or not fast.
        NotSup = 95, "ENOTSUP";
        /// The server is going down.
        Shutdown = 108, "ESHUTDOWN";
    }
}

/// A request of the client. For [`Command::Write`], `length` bytes of data follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// What it asks for besides its command.
    pub flags: CommandFlags,
    /// What it asks for.
    pub command: Command,
    /// The client's own number, which the reply repeats.
    pub cookie: u64,
    /// Where on the export, in bytes.
    pub offset: u64,
    /// How much, in bytes.
    pub length: u32,
}

impl Request {
    /// Its size in bytes, without the data of a write.
    pub const SIZE: usize = 28;

    /// The bytes of it.
    #[inline]
    pub fn encode(self) -> [u8; Self::SIZE] {
        Layout::new()
            .put(REQUEST_MAGIC.to_be_bytes())
            .put(self.flags.bits().to_be_bytes())
            .put(self.command.to_wire().to_be_bytes())
            .put(self.cookie.to_be_bytes())
            .put(self.offset.to_be_bytes())
            .put(self.length.to_be_bytes())
            .done()
    }

    /// Reads it. An unknown command is kept for the server to answer; an unknown flag too.
    ///
    /// # Errors
    /// Another magic: the two sides have lost step, and only a hangup helps.
    #[inline]
    pub fn decode(bytes: &[u8; Self::SIZE]) -> Result<Self, WireError> {
        expect_magic("a request", be_u32(bytes, 0), REQUEST_MAGIC)?;
        Ok(Self {
            flags: CommandFlags::from_bits_retain(be_u16(bytes, 4)),
            command: Command::from_wire(be_u16(bytes, 6)),
            cookie: be_u64(bytes, 8),
            offset: be_u64(bytes, 16),
            length: be_u32(bytes, 24),
        })
    }
}

/// The server's answer to a request. For a read without an error, the data follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SimpleReply {
    /// Why the request failed, if it did.
    pub error: Option<ErrorNumber>,
    /// The cookie of the request.
    pub cookie: u64,
}

impl SimpleReply {
    /// Its size in bytes, without the data of a read.
    pub const SIZE: usize = 16;

    /// The bytes of it.
    #[inline]
    pub fn encode(self) -> [u8; Self::SIZE] {
        Layout::new()
            .put(SIMPLE_REPLY_MAGIC.to_be_bytes())
            .put(self.error.map_or(0, ErrorNumber::to_wire).to_be_bytes())
            .put(self.cookie.to_be_bytes())
            .done()
    }

    /// Reads it.
    ///
    /// # Errors
    /// Another magic: the two sides have lost step, and only a hangup helps.
    #[inline]
    pub fn decode(bytes: &[u8; Self::SIZE]) -> Result<Self, WireError> {
        expect_magic("a reply", be_u32(bytes, 0), SIMPLE_REPLY_MAGIC)?;
        let error = match be_u32(bytes, 4) {
            0 => None,
            number => Some(ErrorNumber::from_wire(number)),
        };
        Ok(Self { error, cookie: be_u64(bytes, 8) })
    }
}

#[inline]
fn expect_magic(what: &'static str, found: u32, expected: u32) -> Result<(), WireError> {
    if found == expected {
        Ok(())
    } else {
        Err(WireError::Magic { what, found: u64::from(found), expected: u64::from(expected) })
    }
}
