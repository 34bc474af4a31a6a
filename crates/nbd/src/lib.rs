//! The Network Block Device protocol, without I/O: a server or a client brings its own sockets, threads or async runtime,
//! and hands bytes to the state machines of this crate.
//!
//! The definition is `doc/proto.md` of the `NetworkBlockDevice` project ("the protocol" below, cited by section).
//! This crate speaks *fixed newstyle* with simple replies.
//!
//! | module | holds |
//! |---|---|
//! | [`wire`] | every constant and fixed-size structure, to and from bytes |
//! | [`negotiate`] | the server's side of the handshake, as a state machine |
//! | [`client`] | the client's side of the handshake, and the requests in flight, as state machines |
//! | [`address`] | where a server listens and a client connects; NBD URIs |

pub mod address;
pub mod client;
mod gather;
pub mod negotiate;
pub mod wire;
