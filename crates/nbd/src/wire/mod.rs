//! What goes over the wire: the constants and the fixed-size structures of both phases, to and from bytes.
//!
//! All numbers are big-endian. Decoders take an array of exactly the structure's size, so that a short read cannot
//! reach them; they check the magic and nothing else. A value without a name in this crate is kept as it came, so that a
//! server can answer it with the right error and log it. Each item names its section of the protocol.

mod flags;
mod handshake;
mod information;
mod numbers;
mod transmission;

#[cfg(test)]
mod tests;

pub use handshake::{
    ClientFlags, Greeting, HandshakeFlags, MAX_STRING, NBD_MAGIC, OLDSTYLE_MAGIC, OPTION_MAGIC,
    OPTION_REPLY_MAGIC, OptionCode, OptionHeader, OptionReply, ReplyType,
};
pub use information::{
    BlockSizes, ExportNameReply, InfoExport, InfoType, RESERVED_ZEROES, TransmissionFlags,
};
pub use transmission::{
    Command, CommandFlags, ErrorNumber, REQUEST_MAGIC, Request, SIMPLE_REPLY_MAGIC, STRUCTURED_REPLY_MAGIC,
    SimpleReply,
};

/// Bytes that are not the structure that was due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// The structure begins with another number than its magic.
    #[error("{what} begins with {found:#x}, it should begin with {expected:#x}")]
    Magic {
        /// The structure that was due.
        what: &'static str,
        /// The number in the place of the magic.
        found: u64,
        /// The magic.
        expected: u64,
    },
    /// The server greets in the oldstyle way, without options.
    #[error("the server speaks oldstyle NBD, it should speak fixed newstyle")]
    OldStyle,
    /// An information reply of another type than the structure that was due.
    #[error("the information reply is of type {found}, it should be {expected}")]
    Info {
        /// The type in the reply.
        found: InfoType,
        /// The type that was due.
        expected: InfoType,
    },
}

/// The `N` bytes at `at`. The caller's array is large enough by its type.
#[inline]
fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut found = [0; N];
    found.copy_from_slice(&bytes[at..at + N]);
    found
}

#[inline]
fn be_u16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(field(bytes, at))
}

#[inline]
fn be_u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(field(bytes, at))
}

#[inline]
fn be_u64(bytes: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(field(bytes, at))
}

/// Lays the fields of a structure one after the other, and checks that they fill it.
struct Layout<const SIZE: usize> {
    bytes: [u8; SIZE],
    at: usize,
}

impl<const SIZE: usize> Layout<SIZE> {
    #[inline]
    fn new() -> Self {
        Self { bytes: [0; SIZE], at: 0 }
    }

    #[inline]
    fn put<const N: usize>(mut self, field: [u8; N]) -> Self {
        self.bytes[self.at..self.at + N].copy_from_slice(&field);
        self.at += N;
        self
    }

    #[inline]
    fn done(self) -> [u8; SIZE] {
        debug_assert_eq!(self.at, SIZE, "the fields do not fill the structure");
        self.bytes
    }
}
