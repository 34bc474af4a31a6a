//! What can go wrong for a client.

use std::io;

use udm_nbd::address::Address;
use udm_nbd::client::{HandshakeError, NotOffered, PipelineError};
use udm_nbd::wire::ErrorNumber;

/// What went wrong for a client.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
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
    /// The handshake gave no answer.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// A request could not be sent, or its answer could not be right.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// The server answered a request with an error.
    #[error("the NBD server answered {0}")]
    Server(ErrorNumber),
    /// The export does not serve the request.
    #[error(transparent)]
    NotOffered(#[from] NotOffered),
    /// A write longer than a request can be.
    #[error("a write of {length} bytes is too long for one request")]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
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
