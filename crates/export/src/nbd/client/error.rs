//! What can go wrong for a client.

use std::io;

use udm_nbd::address::Address;
use udm_nbd::wire::{ErrorNumber, OptionCode, ReplyType, TransmissionFlags, WireError};

/// What went wrong for a client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No connection.
    #[error("cannot connect to {address}: {source}")]
    Connect {
        /// Where to.
        address: Address,
        /// What the system said.
        source: io::Error,
    },
    /// The connection failed.
    #[error("the connection to the NBD server failed while {doing}: {source}")]
    Io {
        /// What we were about.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The server hung up.
    #[error("the NBD server hung up while {doing}")]
    HungUp {
        /// What we were about.
        doing: &'static str,
    },
    /// Nothing came, or went, for as long as the timeout.
    #[error("the NBD server did not answer in time, while {doing}")]
    TimedOut {
        /// What we were about.
        doing: &'static str,
    },
    /// The server sent something else than what was due.
    #[error("the NBD server does not keep to the protocol: {0}")]
    Wire(#[from] WireError),
    /// The server does not speak fixed newstyle.
    #[error("the NBD server does not speak fixed newstyle, it should (nbd-server 3.10, nbdkit, qemu-nbd do)")]
    NotFixedNewstyle,
    /// A reply in the handshake that does not fit.
    #[error("the NBD server answered {option} with {reply} of {length} bytes, which does not fit")]
    UnexpectedReply {
        /// The option.
        option: OptionCode,
        /// The reply.
        reply: ReplyType,
        /// The length of the reply's data in bytes.
        length: u32,
    },
    /// The server said no in the handshake.
    #[error("the NBD server refused {option} with {reply}{}{message}", if .message.is_empty() { "" } else { ": " })]
    Refused {
        /// The option.
        option: OptionCode,
        /// The kind of refusal.
        reply: ReplyType,
        /// The server's words, with control characters replaced.
        message: String,
    },
    /// An export name that the protocol cannot carry.
    #[error("an export name of {length} bytes is too long, it should be at most 4096")]
    NameTooLong {
        /// The name's length in bytes.
        length: usize,
    },
    /// The server answered a request with an error.
    #[error("the NBD server answered {0}")]
    Server(ErrorNumber),
    /// The export does not have what was asked for.
    #[error("the export does not offer {flag}")]
    NotOffered {
        /// The transmission flag that it lacks.
        flag: TransmissionFlags,
    },
    /// A write longer than a request can be.
    #[error("a write of {length} bytes is too long for one request")]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// A request while others are in flight that must be answered first.
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
    /// An answer to no request.
    #[error("the NBD server answered a request with the cookie {cookie}, which was not sent")]
    UnknownCookie {
        /// The cookie.
        cookie: u64,
    },
    /// Waiting for an answer to nothing.
    #[error("no request is in flight, so no answer will come")]
    NothingInFlight,
    /// An earlier error left the connection out of step.
    #[error("an earlier error broke the connection to the NBD server")]
    Broken,
}

impl ClientError {
    /// Tells a timeout and a hangup from other errors of the system.
    pub(super) fn io(doing: &'static str, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::TimedOut { doing },
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted => Self::HungUp { doing },
            _ => Self::Io { doing, source },
        }
    }
}
