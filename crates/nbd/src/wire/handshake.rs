//! The handshake's structures: greeting, options and option replies.
//!
//! Sections "Newstyle negotiation", "Fixed newstyle negotiation" and "Values" of the protocol.

use bitflags::bitflags;

use super::flags::flag_words;
use super::numbers::named_numbers;
use super::{Layout, WireError, be_u16, be_u32, be_u64};

/// `NBDMAGIC`: the first eight bytes of every server.
pub const NBD_MAGIC: u64 = 0x4e42_444d_4147_4943;
/// `IHAVEOPT`: the second eight bytes of a newstyle server, and the first of every option.
pub const OPTION_MAGIC: u64 = 0x4948_4156_454f_5054;
/// The second eight bytes of an oldstyle server, which this crate does not speak with.
pub const OLDSTYLE_MAGIC: u64 = 0x0000_4202_8186_1253;
/// The first eight bytes of every reply to an option.
pub const OPTION_REPLY_MAGIC: u64 = 0x0003_e889_0455_65a9;
/// The longest string of the protocol in bytes: names, descriptions, messages (section "Conventions").
pub const MAX_STRING: usize = 4096;

bitflags! {
    /// What the server can do in the handshake (section "Handshake flags").
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct HandshakeFlags: u16 {
        /// `NBD_FLAG_FIXED_NEWSTYLE`: options are answered one by one.
        const FIXED_NEWSTYLE = 1 << 0;
        /// `NBD_FLAG_NO_ZEROES`: the client may decline the reserved zeroes.
        const NO_ZEROES = 1 << 1;
    }
}

bitflags! {
    /// Which of the server's handshake flags the client accepts (section "Client flags").
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct ClientFlags: u32 {
        /// `NBD_FLAG_C_FIXED_NEWSTYLE`.
        const FIXED_NEWSTYLE = 1 << 0;
        /// `NBD_FLAG_C_NO_ZEROES`.
        const NO_ZEROES = 1 << 1;
    }
}

flag_words!(HandshakeFlags, ClientFlags);

named_numbers! {
    /// What a client asks for in the handshake (section "Option types").
    OptionCode: u32, "option" {
        /// Choose an export and end the handshake; a refusal is a hangup.
        ExportName = 1, "NBD_OPT_EXPORT_NAME";
        /// End the session.
        Abort = 2, "NBD_OPT_ABORT";
        /// Name the exports.
        List = 3, "NBD_OPT_LIST";
        /// Withdrawn from the protocol.
        PeekExport = 4, "NBD_OPT_PEEK_EXPORT";
        /// Begin TLS.
        StartTls = 5, "NBD_OPT_STARTTLS";
        /// Describe an export.
        Info = 6, "NBD_OPT_INFO";
        /// Describe an export, choose it, and end the handshake.
        Go = 7, "NBD_OPT_GO";
        /// Reply in chunks.
        StructuredReply = 8, "NBD_OPT_STRUCTURED_REPLY";
        /// Name the metadata contexts.
        ListMetaContext = 9, "NBD_OPT_LIST_META_CONTEXT";
        /// Choose metadata contexts.
        SetMetaContext = 10, "NBD_OPT_SET_META_CONTEXT";
        /// Use 64-bit lengths.
        ExtendedHeaders = 11, "NBD_OPT_EXTENDED_HEADERS";
    }
}

named_numbers! {
    /// What the server answers to an option (section "Option reply types"). Errors have bit 31 set.
    ReplyType: u32, "reply" {
        /// Done.
        Ack = 1, "NBD_REP_ACK";
        /// One export of the list.
        Server = 2, "NBD_REP_SERVER";
        /// One piece of information about an export.
        Info = 3, "NBD_REP_INFO";
        /// One metadata context.
        MetaContext = 4, "NBD_REP_META_CONTEXT";
        /// The option is not known, or not served.
        ErrUnsup = 0x8000_0001, "NBD_REP_ERR_UNSUP";
        /// The server's policy forbids it.
        ErrPolicy = 0x8000_0002, "NBD_REP_ERR_POLICY";
        /// The option's data is malformed.
        ErrInvalid = 0x8000_0003, "NBD_REP_ERR_INVALID";
        /// The server's platform cannot do it.
        ErrPlatform = 0x8000_0004, "NBD_REP_ERR_PLATFORM";
        /// TLS must come first.
        ErrTlsReqd = 0x8000_0005, "NBD_REP_ERR_TLS_REQD";
        /// There is no such export.
        ErrUnknown = 0x8000_0006, "NBD_REP_ERR_UNKNOWN";
        /// The server is going down.
        ErrShutdown = 0x8000_0007, "NBD_REP_ERR_SHUTDOWN";
        /// The client must ask for the block sizes.
        ErrBlockSizeReqd = 0x8000_0008, "NBD_REP_ERR_BLOCK_SIZE_REQD";
        /// The request, or its answer, is too large.
        ErrTooBig = 0x8000_0009, "NBD_REP_ERR_TOO_BIG";
        /// Extended headers must come first.
        ErrExtHeaderReqd = 0x8000_000a, "NBD_REP_ERR_EXT_HEADER_REQD";
    }
}

impl ReplyType {
    /// True if this reply refuses the option.
    pub const fn is_error(self) -> bool {
        self.to_wire() >> 31 == 1
    }
}

/// The server's first words: two magics and what it can do in the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// What the server offers.
    pub flags: HandshakeFlags,
}

impl Greeting {
    /// Its size in bytes.
    pub const SIZE: usize = 18;

    /// The bytes of it.
    pub fn encode(self) -> [u8; Self::SIZE] {
        Layout::new()
            .put(NBD_MAGIC.to_be_bytes())
            .put(OPTION_MAGIC.to_be_bytes())
            .put(self.flags.bits().to_be_bytes())
            .done()
    }

    /// Reads it.
    ///
    /// # Errors
    /// Another magic than that of a newstyle server.
    pub fn decode(bytes: &[u8; Self::SIZE]) -> Result<Self, WireError> {
        expect_magic("the server's greeting", be_u64(bytes, 0), NBD_MAGIC)?;
        match be_u64(bytes, 8) {
            OLDSTYLE_MAGIC => Err(WireError::OldStyle),
            found => {
                expect_magic("the second half of the server's greeting", found, OPTION_MAGIC)?;
                Ok(Self { flags: HandshakeFlags::from_bits_retain(be_u16(bytes, 16)) })
            }
        }
    }
}

/// What stands before the data of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OptionHeader {
    /// What the client asks for.
    pub option: OptionCode,
    /// The bytes of data that follow.
    pub length: u32,
}

impl OptionHeader {
    /// Its size in bytes.
    pub const SIZE: usize = 16;

    /// The bytes of it.
    pub fn encode(self) -> [u8; Self::SIZE] {
        Layout::new()
            .put(OPTION_MAGIC.to_be_bytes())
            .put(self.option.to_wire().to_be_bytes())
            .put(self.length.to_be_bytes())
            .done()
    }

    /// Reads it.
    ///
    /// # Errors
    /// Another magic.
    pub fn decode(bytes: &[u8; Self::SIZE]) -> Result<Self, WireError> {
        expect_magic("an option", be_u64(bytes, 0), OPTION_MAGIC)?;
        Ok(Self { option: OptionCode::from_wire(be_u32(bytes, 8)), length: be_u32(bytes, 12) })
    }
}

/// What stands before the data of a reply to an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OptionReply {
    /// The option that is answered.
    pub option: OptionCode,
    /// The answer.
    pub reply: ReplyType,
    /// The bytes of data that follow.
    pub length: u32,
}

impl OptionReply {
    /// Its size in bytes.
    pub const SIZE: usize = 20;

    /// The bytes of it.
    pub fn encode(self) -> [u8; Self::SIZE] {
        Layout::new()
            .put(OPTION_REPLY_MAGIC.to_be_bytes())
            .put(self.option.to_wire().to_be_bytes())
            .put(self.reply.to_wire().to_be_bytes())
            .put(self.length.to_be_bytes())
            .done()
    }

    /// Reads it.
    ///
    /// # Errors
    /// Another magic.
    pub fn decode(bytes: &[u8; Self::SIZE]) -> Result<Self, WireError> {
        expect_magic("an option reply", be_u64(bytes, 0), OPTION_REPLY_MAGIC)?;
        Ok(Self {
            option: OptionCode::from_wire(be_u32(bytes, 8)),
            reply: ReplyType::from_wire(be_u32(bytes, 12)),
            length: be_u32(bytes, 16),
        })
    }
}

fn expect_magic(what: &'static str, found: u64, expected: u64) -> Result<(), WireError> {
    if found == expected { Ok(()) } else { Err(WireError::Magic { what, found, expected }) }
}
