//! The Network Block Device protocol, without I/O: a server or a client brings its own sockets, threads or async runtime,
//! and hands bytes to the state machines of this crate.
//!
//! The definition is `doc/proto.md` of the `NetworkBlockDevice` project ("the protocol" in this crate's documentation,
//! which names its sections). This crate speaks *fixed newstyle* with simple replies.
//!
//! | module | holds |
//! |---|---|
//! | [`wire`] | every constant and fixed-size structure, to and from bytes |
//! | [`negotiate`] | the server's side of the handshake, as a state machine |
//! | [`client`] | the client's side of the handshake and the requests in flight, as state machines |
//! | [`address`] | where a server listens and a client connects; NBD URIs |
//!
//! # A server in memory
//!
//! A server sends [`GREETING`](negotiate::GREETING) and carries on a [`Negotiation`](negotiate::Negotiation) until the
//! client has chosen an export. Then requests of [`Request::SIZE`](wire::Request::SIZE) bytes follow. Here the bytes come
//! from an array; with a socket, the places where the server receives and sends are the same.
//!
//! ```
//! use udm_nbd::negotiate::{ExportInfo, GREETING, Negotiation, Progress};
//! use udm_nbd::wire::{Command, ErrorNumber, Request, SimpleReply, TransmissionFlags};
//!
//! let disk = b"the first eight bytes are read back";
//! let exports = [ExportInfo::new("disk", disk.len() as u64, TransmissionFlags::READ_ONLY)];
//!
//! // The client's flags, the export's name, and a read of 8 bytes at offset 4 with the cookie 7.
//! let received = b"\0\0\0\x03\
//!     IHAVEOPT\0\0\0\x01\0\0\0\x04disk\
//!     \x25\x60\x95\x13\0\0\0\0\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0\x04\0\0\0\x08";
//!
//! // The handshake.
//! let mut to_client = GREETING.to_vec();
//! let mut rest = &received[..];
//! let mut negotiation = Negotiation::new(&exports);
//! let chosen = loop {
//!     let step = negotiation.input(rest, &mut to_client)?;
//!     rest = &rest[step.consumed..];
//!     // A server sends `to_client` here, and receives more if `rest` is empty.
//!     match step.progress {
//!         Progress::Continue => {}
//!         Progress::Transmission(export) => break export,
//!         Progress::Closed => panic!("the client left"),
//!     }
//! };
//! assert_eq!(exports[chosen].name, "disk");
//! // The greeting, then the export's size (35) and its flags: HAS_FLAGS and READ_ONLY.
//! assert_eq!(to_client, b"NBDMAGICIHAVEOPT\0\x03\0\0\0\0\0\0\0\x23\0\x03");
//!
//! // The transmission phase: one request, and its reply.
//! let request = Request::decode(rest.first_chunk().expect("the whole request has arrived"))?;
//! let start = request.offset as usize;
//! let data = disk.get(start..start + request.length as usize);
//! let (error, data) = match (request.command, data) {
//!     (Command::Read, Some(data)) => (None, data),
//!     _ => (Some(ErrorNumber::Inval), &[][..]),
//! };
//! to_client.clear();
//! to_client.extend_from_slice(&SimpleReply { error, cookie: request.cookie }.encode());
//! to_client.extend_from_slice(data);
//! assert_eq!(to_client, b"\x67\x44\x66\x98\0\0\0\0\0\0\0\0\0\0\0\x07first ei");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod address;
pub mod client;
mod gather;
pub mod negotiate;
pub mod wire;

/// The README's example is tested with the others.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
