//! What a server tells about an export: its size, what it can do, and its block sizes.
//!
//! Sections "Transmission flags", "Block size constraints" and, for the options `NBD_OPT_EXPORT_NAME` and
//! `NBD_OPT_INFO`, "Option types" of the protocol.

use bitflags::bitflags;

use super::flags::flag_words;
use super::numbers::named_numbers;
use super::{Layout, WireError, be_u16, be_u32, be_u64};

/// The reserved zero bytes at the end of the answer to `NBD_OPT_EXPORT_NAME`, unless the client declined them.
pub const RESERVED_ZEROES: usize = 124;

bitflags! {
    /// What an export can do (section "Transmission flags").
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct TransmissionFlags: u16 {
        /// `NBD_FLAG_HAS_FLAGS`: always set.
        const HAS_FLAGS = 1 << 0;
        /// `NBD_FLAG_READ_ONLY`: whatever writes is refused.
        const READ_ONLY = 1 << 1;
        /// `NBD_FLAG_SEND_FLUSH`: `NBD_CMD_FLUSH` is served.
        const SEND_FLUSH = 1 << 2;
        /// `NBD_FLAG_SEND_FUA`: `NBD_CMD_FLAG_FUA` is honoured.
        const SEND_FUA = 1 << 3;
        /// `NBD_FLAG_ROTATIONAL`: seeks cost time.
        const ROTATIONAL = 1 << 4;
        /// `NBD_FLAG_SEND_TRIM`: `NBD_CMD_TRIM` is served.
        const SEND_TRIM = 1 << 5;
        /// `NBD_FLAG_SEND_WRITE_ZEROES`: `NBD_CMD_WRITE_ZEROES` is served.
        const SEND_WRITE_ZEROES = 1 << 6;
        /// `NBD_FLAG_SEND_DF`: `NBD_CMD_FLAG_DF` is honoured; needs structured replies.
        const SEND_DF = 1 << 7;
        /// `NBD_FLAG_CAN_MULTI_CONN`: a flush on one connection covers the writes that others were told of.
        const CAN_MULTI_CONN = 1 << 8;
        /// `NBD_FLAG_SEND_RESIZE`: reserved by an experimental extension.
        const SEND_RESIZE = 1 << 9;
        /// `NBD_FLAG_SEND_CACHE`: `NBD_CMD_CACHE` is served.
        const SEND_CACHE = 1 << 10;
        /// `NBD_FLAG_SEND_FAST_ZERO`: `NBD_CMD_FLAG_FAST_ZERO` is honoured.
        const SEND_FAST_ZERO = 1 << 11;
        /// `NBD_FLAG_BLOCK_STATUS_PAYLOAD`: needs extended headers.
        const BLOCK_STATUS_PAYLOAD = 1 << 12;
    }
}

flag_words!(TransmissionFlags);

named_numbers! {
    /// A kind of information about an export (section "Option types", at `NBD_OPT_INFO`).
    InfoType: u16, "information" {
        /// Size and transmission flags.
        Export = 0, "NBD_INFO_EXPORT";
        /// The export's own name.
        Name = 1, "NBD_INFO_NAME";
        /// Words for a person.
        Description = 2, "NBD_INFO_DESCRIPTION";
        /// The block sizes that requests should keep to.
        BlockSize = 3, "NBD_INFO_BLOCK_SIZE";
    }
}

/// The answer to `NBD_OPT_EXPORT_NAME`, without the reserved zeroes that may follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExportNameReply {
    /// The export's size in bytes.
    pub size: u64,
    /// What the export can do.
    pub flags: TransmissionFlags,
}

impl ExportNameReply {
    /// Its size in bytes.
    pub const SIZE: usize = 10;

    /// The bytes of it.
    pub fn encode(self) -> [u8; Self::SIZE] {
        Layout::new().put(self.size.to_be_bytes()).put(self.flags.bits().to_be_bytes()).done()
    }

    /// Reads it. Any bytes will do: the structure has no magic.
    pub fn decode(bytes: &[u8; Self::SIZE]) -> Self {
        Self { size: be_u64(bytes, 0), flags: TransmissionFlags::from_bits_retain(be_u16(bytes, 8)) }
    }
}

/// The data of `NBD_REP_INFO` of type `NBD_INFO_EXPORT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InfoExport {
    /// The export's size in bytes.
    pub size: u64,
    /// What the export can do.
    pub flags: TransmissionFlags,
}

impl InfoExport {
    /// Its size in bytes.
    pub const SIZE: usize = 12;

    /// The bytes of it.
    pub fn encode(self) -> [u8; Self::SIZE] {
        Layout::new()
            .put(InfoType::Export.to_wire().to_be_bytes())
            .put(self.size.to_be_bytes())
            .put(self.flags.bits().to_be_bytes())
            .done()
    }

    /// Reads it.
    ///
    /// # Errors
    /// Another type of information.
    pub fn decode(bytes: &[u8; Self::SIZE]) -> Result<Self, WireError> {
        expect_info(be_u16(bytes, 0), InfoType::Export)?;
        Ok(Self { size: be_u64(bytes, 2), flags: TransmissionFlags::from_bits_retain(be_u16(bytes, 10)) })
    }
}

/// The block sizes of an export, in bytes (section "Block size constraints"), and the data of `NBD_REP_INFO` of type
/// `NBD_INFO_BLOCK_SIZE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockSizes {
    /// Offsets and lengths are multiples of it. A power of two of at most 64 KiB.
    pub min: u32,
    /// What is fast. A power of two that is a multiple of `min`.
    pub preferred: u32,
    /// The longest read or write. A multiple of `min`, or `u32::MAX` for no bound.
    pub max: u32,
}

impl BlockSizes {
    /// The size of the information reply's data in bytes.
    pub const SIZE: usize = 14;
    /// What a client must assume where the server says nothing: any byte, 4 KiB, 32 MiB.
    pub const DEFAULT: Self = Self { min: 1, preferred: 4096, max: 32 << 20 };

    /// The bytes of the information reply's data.
    pub fn encode(self) -> [u8; Self::SIZE] {
        Layout::new()
            .put(InfoType::BlockSize.to_wire().to_be_bytes())
            .put(self.min.to_be_bytes())
            .put(self.preferred.to_be_bytes())
            .put(self.max.to_be_bytes())
            .done()
    }

    /// Reads the information reply's data.
    ///
    /// # Errors
    /// Another type of information.
    pub fn decode(bytes: &[u8; Self::SIZE]) -> Result<Self, WireError> {
        expect_info(be_u16(bytes, 0), InfoType::BlockSize)?;
        Ok(Self { min: be_u32(bytes, 2), preferred: be_u32(bytes, 6), max: be_u32(bytes, 10) })
    }

    /// True if they keep to what the protocol asks of the three alone. Besides, `max` is not below both `preferred` and
    /// the export's size.
    pub const fn are_sound(self) -> bool {
        self.min.is_power_of_two()
            && self.min <= 64 << 10
            && self.preferred.is_power_of_two()
            && self.preferred >= self.min
            && self.max >= self.min
            && (self.max == u32::MAX || self.max.is_multiple_of(self.min))
    }
}

fn expect_info(found: u16, expected: InfoType) -> Result<(), WireError> {
    let found = InfoType::from_wire(found);
    if found == expected { Ok(()) } else { Err(WireError::Info { found, expected }) }
}
