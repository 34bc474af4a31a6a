//! Why a handshake ended in a hangup, each as one line for the log.

use std::fmt;

use super::limits::{MAX_OPTIONS, MAX_SKIPPED_DATA};
use crate::wire::MAX_STRING;
use crate::wire::{ClientFlags, OptionCode, WireError};

/// What a client did that the server can only answer by hanging up. The text is one line, whatever the client sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NegotiationError {
    /// Flags that were not offered.
    #[error("the client sent the flags {found}, only {} were offered", ClientFlags::all())]
    UnknownClientFlags {
        /// The client's flags.
        found: ClientFlags,
    },
    /// The client does not speak fixed newstyle, and so takes no reply to an option.
    #[error(
        "the client sent {option} without the flag of fixed newstyle (0x1), only NBD_OPT_EXPORT_NAME can be answered so"
    )]
    NotFixedNewstyle {
        /// The option.
        option: OptionCode,
    },
    /// What should be an option is something else.
    #[error("the client lost step: {0}")]
    Wire(#[from] WireError),
    /// `NBD_OPT_EXPORT_NAME` with a name that is too long.
    #[error(
        "the client sent NBD_OPT_EXPORT_NAME with a name of {length} bytes, it should be at most {MAX_STRING}"
    )]
    NameTooLong {
        /// The name's length in bytes.
        length: u32,
    },
    /// `NBD_OPT_EXPORT_NAME` with a name that no export has.
    #[error("the client asked for the export {}, which is not served; it should be one that NBD_OPT_LIST names", Quoted(.name))]
    NoSuchExport {
        /// The name, with what is not UTF-8 replaced.
        name: String,
    },
    /// An option with more data than is worth skipping.
    #[error("the client sent {option} with {length} bytes of data, it should be at most {MAX_SKIPPED_DATA}")]
    AbsurdOption {
        /// The option.
        option: OptionCode,
        /// The length of its data in bytes.
        length: u32,
    },
    /// More than [`MAX_OPTIONS`] options.
    #[error("the client sent more than {MAX_OPTIONS} options, it should have chosen an export by then")]
    TooManyOptions,
}

/// A client's text in quotes, escaped, and cut after some characters, so that it fits a log line.
pub(super) struct Quoted<'a>(pub &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 64;
        match self.0.char_indices().nth(SHOWN) {
            None => write!(f, "{:?}", self.0),
            Some((end, _)) => {
                write!(f, "{:?}... ({} bytes)", &self.0[..end], self.0.len())
            }
        }
    }
}
