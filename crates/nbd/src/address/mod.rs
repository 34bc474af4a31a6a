//! Where a server listens and a client connects, as a person writes it; and the same as an NBD URI.
//!
//! | written | means |
//! |---|---|
//! | `unix:PATH`, or a path with a `/` | a Unix socket |
//! | `tcp:HOST:PORT`, `HOST:PORT` | TCP; `tcp:HOST` takes the protocol's port, 10809 |
//! | `:PORT`, `PORT` | TCP on the loopback interface: nothing is open to the network unless a host is named |
//! | `[::1]:PORT` | TCP over IPv6, in brackets |

mod uri;

#[cfg(test)]
mod tests;

pub use uri::{NbdUri, UriError};

use std::ffi::OsStr;
use std::fmt;
use std::net::Ipv6Addr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::str::FromStr;

/// The port that is registered for NBD.
pub const DEFAULT_PORT: u16 = 10809;
/// The host of an address that names none.
pub const LOOPBACK: &str = "127.0.0.1";
/// The longest path of a Unix socket in bytes, without the NUL that the system adds (`sun_path` of `unix(7)`).
pub const MAX_SOCKET_PATH: usize = 107;

/// Where a server listens and a client connects.
///
/// ```
/// use udm_nbd::address::Address;
///
/// let address: Address = ":10810".parse()?;
/// assert_eq!(address.to_string(), "tcp:127.0.0.1:10810");
/// assert_eq!(address.uri("my disk"), "nbd://127.0.0.1:10810/my%20disk");
/// # Ok::<(), udm_nbd::address::AddressError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// A Unix socket at this path.
    Unix(PathBuf),
    /// TCP.
    Tcp {
        /// A host name or an address; IPv6 without its brackets.
        host: String,
        /// The port. A server on port 0 is given one by the system.
        port: u16,
    },
}

/// Why a text is not an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// Nothing at all.
    #[error("the address is empty; try unix:PATH, HOST:PORT or a port")]
    Empty,
    /// `unix:` without a path.
    #[error("address {found:?} names no path; try unix:/run/disk.sock")]
    NoPath {
        /// What was found.
        found: String,
    },
    /// A path that no Unix socket can have.
    #[error("the socket path {found:?} is {} bytes long, a Unix socket takes at most {MAX_SOCKET_PATH}; try a shorter one", .found.len())]
    PathTooLong {
        /// The path.
        found: String,
    },
    /// A path with a NUL.
    #[error(
        "the socket path {found:?} contains a NUL character; sockets without a file are not supported, try a path"
    )]
    PathNul {
        /// The path.
        found: String,
    },
    /// A port that is not one.
    #[error(
        "address {found:?}: {port:?} is not a port; try a number from 0 to 65535, such as {DEFAULT_PORT}"
    )]
    Port {
        /// What was found.
        found: String,
        /// The part where the port should be.
        port: String,
    },
    /// A host that is not one.
    #[error(
        "address {found:?}: {host:?} is not a host; try a name, or an address such as {LOOPBACK} or [::1]"
    )]
    Host {
        /// What was found.
        found: String,
        /// The part where the host should be.
        host: String,
    },
    /// An IPv6 address without brackets, where its last group could be a port.
    #[error(
        "address {found:?} has several colons; try brackets around an IPv6 address, as in [::1]:{DEFAULT_PORT}"
    )]
    Brackets {
        /// What was found.
        found: String,
    },
    /// A word that could be a host or a file.
    #[error("address {found:?} names neither a port nor a path; try {found}:{DEFAULT_PORT} or unix:{found}")]
    Ambiguous {
        /// What was found.
        found: String,
    },
    /// A URI, which names an export too.
    #[error("{found:?} is an NBD URI, it should be an address; try unix:PATH or HOST:PORT")]
    Uri {
        /// What was found.
        found: String,
    },
}

impl Address {
    /// The NBD URI of an export at this address, as nbdcopy, nbdinfo and qemu-img take it. The empty name is the
    /// server's default export.
    pub fn uri(&self, export: &str) -> String {
        uri::print(self, export)
    }

    /// A Unix socket at `path`.
    ///
    /// # Errors
    /// An empty path, one with a NUL, or one longer than [`MAX_SOCKET_PATH`] bytes.
    pub fn unix(path: impl Into<PathBuf>) -> Result<Self, AddressError> {
        let path = path.into();
        let found = || path.to_string_lossy().into_owned();
        let bytes = path.as_os_str().as_encoded_bytes();
        if bytes.is_empty() {
            return Err(AddressError::NoPath { found: "unix:".into() });
        }
        if bytes.contains(&0) {
            return Err(AddressError::PathNul { found: found() });
        }
        if bytes.len() > MAX_SOCKET_PATH {
            return Err(AddressError::PathTooLong { found: found() });
        }
        Ok(Self::Unix(path))
    }

    /// The same as from a text, where a path may have bytes that are not UTF-8.
    ///
    /// # Errors
    /// Those of a text.
    pub fn from_os(word: &OsStr) -> Result<Self, AddressError> {
        let bytes = word.as_bytes();
        match (word.to_str(), bytes.strip_prefix(b"unix:")) {
            (Some(text), _) => text.parse(),
            (None, Some(path)) => Self::unix(OsStr::from_bytes(path)),
            (None, None) if bytes.contains(&b'/') => Self::unix(word),
            (None, None) => Err(AddressError::Ambiguous { found: word.to_string_lossy().into_owned() }),
        }
    }

    /// Reads `HOST:PORT` and what may be left out of it. `found` is the whole text, for the message.
    fn tcp(text: &str, found: &str) -> Result<Self, AddressError> {
        let found = || found.to_owned();
        let (host, port) = if let Some(inside) = text.strip_prefix('[') {
            let Some((host, after)) = inside.split_once(']') else {
                return Err(AddressError::Host { found: found(), host: text.into() });
            };
            let literal = host.split_once('%').map_or(host, |(address, _zone)| address);
            if literal.parse::<Ipv6Addr>().is_err() {
                return Err(AddressError::Host { found: found(), host: format!("[{host}]") });
            }
            match after.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if after.is_empty() => (host, None),
                None => return Err(AddressError::Port { found: found(), port: after.into() }),
            }
        } else {
            match text.split_once(':') {
                Some((_, more)) if more.contains(':') => {
                    return Err(AddressError::Brackets { found: found() });
                }
                Some((host, port)) => (if host.is_empty() { LOOPBACK } else { host }, Some(port)),
                None if is_number(text) => (LOOPBACK, Some(text)),
                None => (text, None),
            }
        };
        let odd = |c: char| c.is_whitespace() || c.is_control() || "/?#@[]".contains(c);
        if host.is_empty() || host.contains(odd) {
            return Err(AddressError::Host { found: found(), host: host.into() });
        }
        let port = match port {
            None => DEFAULT_PORT,
            Some(port) => port
                .parse()
                .ok()
                .filter(|_| is_number(port))
                .ok_or_else(|| AddressError::Port { found: found(), port: port.into() })?,
        };
        Ok(Self::Tcp { host: host.into(), port })
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let found = || text.to_owned();
        if text.is_empty() {
            return Err(AddressError::Empty);
        }
        if text.contains("://") {
            return Err(AddressError::Uri { found: found() });
        }
        if let Some(path) = text.strip_prefix("unix:") {
            return Self::unix(path);
        }
        if let Some(rest) = text.strip_prefix("tcp:") {
            return Self::tcp(rest, text);
        }
        if text.contains('/') {
            return Self::unix(text);
        }
        if text.contains([':', '[']) || is_number(text) {
            return Self::tcp(text, text);
        }
        Err(AddressError::Ambiguous { found: found() })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp { host, port } if host.contains(':') => write!(f, "tcp:[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "tcp:{host}:{port}"),
        }
    }
}
