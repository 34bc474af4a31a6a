//! What can go wrong for a client while the connection itself works.

use crate::wire::{MAX_STRING, OptionCode, ReplyType, TransmissionFlags, WireError};

/// Why a handshake gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The server sent another structure than the one that was due.
    #[error("the NBD server does not keep to the protocol: {0}")]
    Wire(#[from] WireError),
    /// The server does not speak fixed newstyle.
    #[error("the NBD server does not speak fixed newstyle, it should (nbd-server 3.10, nbdkit, qemu-nbd do)")]
    NotFixedNewstyle,
    /// A reply that does not fit the option, or its data.
    #[error("the NBD server answered {option} with {reply} of {length} bytes, which does not fit")]
    UnexpectedReply {
        /// The option.
        option: OptionCode,
        /// The reply.
        reply: ReplyType,
        /// The length of the reply's data in bytes.
        length: u32,
    },
    /// The server refused the option.
    #[error("the NBD server refused {option} with {reply}{}{message}", if .message.is_empty() { "" } else { ": " })]
    Refused {
        /// The option.
        option: OptionCode,
        /// The kind of refusal.
        reply: ReplyType,
        /// The server's words, with control characters replaced.
        message: String,
    },
    /// An export name that is longer than the protocol allows.
    #[error("an export name of {length} bytes is too long, it should be at most {MAX_STRING}")]
    NameTooLong {
        /// The name's length in bytes.
        length: usize,
    },
    /// [`Handshake::finish`](super::Handshake::finish) was called before the server's answer was complete.
    #[error("the handshake with the NBD server is not complete")]
    Unfinished,
}

/// Why a request cannot be sent, or why a reply cannot be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PipelineError {
    /// The server sent something other than a reply.
    #[error("the NBD server does not keep to the protocol: {0}")]
    Wire(#[from] WireError),
    /// A request while so many are in flight that their replies must be received first.
    #[error("{count} requests are in flight, receive their answers first")]
    InFlight {
        /// How many.
        count: usize,
    },
    /// Two requests in flight with the same cookie.
    #[error("the cookie {cookie} is in flight already")]
    CookieInUse {
        /// The cookie.
        cookie: u64,
    },
    /// A reply to a request that is not in flight.
    #[error("the NBD server answered a request with the cookie {cookie}, which was not sent")]
    UnknownCookie {
        /// The cookie.
        cookie: u64,
    },
    /// A reply is waited for while no request is in flight.
    #[error("no request is in flight, so no answer will come")]
    NothingInFlight,
    /// An earlier error left the two sides out of step.
    #[error("an earlier error broke the connection to the NBD server")]
    Broken,
}

/// A request that the export does not serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the export does not offer {missing}")]
pub struct NotOffered {
    /// The transmission flags that the export lacks.
    pub missing: TransmissionFlags,
}
