//! The Network Block Device protocol: what goes over the wire, who says what in the handshake, and a small client.
//!
//! The definition is `doc/proto.md` of the `NetworkBlockDevice` project ("the protocol" below, cited by section).
//! We speak *fixed newstyle* with simple replies, over TCP or a Unix socket.
//!
//! | module | holds |
//! |---|---|
//! | [`wire`] | every constant and fixed-size structure, to and from bytes |
//! | [`negotiate`] | the server's side of the handshake, as a state machine without I/O |
//! | [`address`] | where a server listens and a client connects; NBD URIs |
//! | [`server`] | the server: sockets, threads, and the way of a request |
//! | [`device`] | an export of another server as a device, over the client |
//! | [`client`] | a blocking client, which can also keep many requests in flight from one thread |

pub mod address;
pub mod client;
pub mod device;
pub mod negotiate;
pub mod server;
pub mod wire;
