//! NBD URIs: `nbd://host:port/export` and `nbd+unix:///export?socket=PATH`.
//!
//! The definition is `doc/uri.md` beside the protocol, over RFC 3986.

use std::ffi::OsString;
use std::fmt::{self, Write as _};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::str::FromStr;

use super::{Address, AddressError, LOOPBACK};
use crate::wire::MAX_STRING;

/// An address and the export to ask for there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NbdUri {
    /// Where to connect.
    pub address: Address,
    /// The export's name; the empty name is the server's default export.
    pub export: String,
}

/// Why a text is not an NBD URI, or not one that this crate supports.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UriError {
    /// Not one of the two schemes.
    #[error(
        "{found:?} does not begin with a known scheme; try nbd://HOST:PORT/EXPORT or nbd+unix:///EXPORT?socket=PATH"
    )]
    Scheme {
        /// What was found.
        found: String,
    },
    /// A scheme that asks for TLS.
    #[error("{found:?} asks for TLS, which is not supported; try nbd:// or nbd+unix://")]
    Tls {
        /// What was found.
        found: String,
    },
    /// A percent sign without two hexadecimal digits, or a part that must be UTF-8 and is not.
    #[error("{part:?} is not percent-encoded UTF-8; try %25 for a percent sign")]
    Encoding {
        /// The part of the URI.
        part: String,
    },
    /// An export name that the protocol cannot carry.
    #[error("the export's name is {length} bytes long and should be at most {MAX_STRING}, without NUL")]
    Export {
        /// Its length in bytes.
        length: usize,
    },
    /// `nbd+unix` without the socket.
    #[error("{found:?} names no socket; try nbd+unix:///EXPORT?socket=PATH")]
    NoSocket {
        /// What was found.
        found: String,
    },
    /// `nbd+unix` with a host.
    #[error(
        "{found:?} names a host for a Unix socket; try three slashes, as in nbd+unix:///EXPORT?socket=PATH"
    )]
    HostOfUnix {
        /// What was found.
        found: String,
    },
    /// An unknown parameter, or a fragment.
    #[error("the part {part:?} of the URI is not known; the only parameter is socket=PATH, for nbd+unix")]
    Unknown {
        /// The part of the URI.
        part: String,
    },
    /// A host, a port or a socket path that is wrong.
    #[error(transparent)]
    Address(#[from] AddressError),
}

pub(super) fn print(address: &Address, export: &str) -> String {
    let export = Encoded(export.as_bytes());
    match address {
        Address::Unix(path) => {
            format!("nbd+unix:///{export}?socket={}", Encoded(path.as_os_str().as_bytes()))
        }
        // A zone follows a percent sign, which a URI writes as %25 (RFC 6874).
        Address::Tcp { host, port } if host.contains(':') => {
            format!("nbd://[{}]:{port}/{export}", host.replace('%', "%25"))
        }
        Address::Tcp { host, port } => format!("nbd://{}:{port}/{export}", Encoded(host.as_bytes())),
    }
}

/// Bytes with all but RFC 3986's unreserved characters and the slash percent-encoded.
struct Encoded<'a>(&'a [u8]);

impl fmt::Display for Encoded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for &byte in self.0 {
            if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
                f.write_char(char::from(byte))?;
            } else {
                write!(f, "%{byte:02X}")?;
            }
        }
        Ok(())
    }
}

fn decode(part: &str) -> Result<Vec<u8>, UriError> {
    let wrong = || UriError::Encoding { part: part.into() };
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8).ok_or_else(wrong);
    let mut decoded = Vec::with_capacity(part.len());
    let mut bytes = part.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(if byte == b'%' {
            let high = digit(bytes.next().ok_or_else(wrong)?)?;
            high << 4 | digit(bytes.next().ok_or_else(wrong)?)?
        } else {
            byte
        });
    }
    Ok(decoded)
}

fn decode_text(part: &str) -> Result<String, UriError> {
    String::from_utf8(decode(part)?).map_err(|_| UriError::Encoding { part: part.into() })
}

impl FromStr for NbdUri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        let found = || text.to_owned();
        let (scheme, rest) = text.split_once("://").ok_or_else(|| UriError::Scheme { found: found() })?;
        let unix = match scheme.to_ascii_lowercase().as_str() {
            "nbd" => false,
            "nbd+unix" => true,
            "nbds" | "nbds+unix" => return Err(UriError::Tls { found: found() }),
            _ => return Err(UriError::Scheme { found: found() }),
        };
        if let Some((_, fragment)) = rest.split_once('#') {
            return Err(UriError::Unknown { part: format!("#{fragment}") });
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, export) = rest.split_once('/').unwrap_or((rest, ""));

        let mut socket = None;
        for part in query.split('&').filter(|part| !part.is_empty()) {
            match part.split_once('=') {
                Some(("socket", path)) if unix => socket = Some(decode(path)?),
                _ => return Err(UriError::Unknown { part: part.into() }),
            }
        }
        let address = match (unix, socket) {
            (true, _) if !authority.is_empty() => return Err(UriError::HostOfUnix { found: found() }),
            (true, None) => return Err(UriError::NoSocket { found: found() }),
            (true, Some(path)) => Address::unix(PathBuf::from(OsString::from_vec(path)))?,
            (false, _) => tcp(authority, text)?,
        };
        let export = decode_text(export)?;
        if export.len() > MAX_STRING || export.contains('\0') {
            return Err(UriError::Export { length: export.len() });
        }
        Ok(Self { address, export })
    }
}

/// Reads the authority. Here a bare number is a host, and the host may be left out.
fn tcp(authority: &str, found: &str) -> Result<Address, UriError> {
    let decoded = decode_text(authority)?;
    let text = match decoded.as_str() {
        "" => LOOPBACK,
        text => text.strip_suffix(':').unwrap_or(text),
    };
    if super::is_number(text) {
        return Err(AddressError::Host { found: found.into(), host: text.into() }.into());
    }
    Ok(Address::tcp(text, found)?)
}

impl fmt::Display for NbdUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address.uri(&self.export))
    }
}
