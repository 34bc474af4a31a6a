//! Network Block Device: a server, a client, and an export of another server as a device.
//!
//! The protocol itself is `udm-nbd`, which does no I/O: formats, handshakes, addresses. Here its state machines get
//! sockets and threads. We speak *fixed newstyle* with simple replies, over TCP or a Unix socket.
//!
//! | module | holds |
//! |---|---|
//! | [`server`] | the server: sockets, threads, and the way of a request |
//! | [`device`] | an export of another server as a device, over the client |
//! | [`client`] | a blocking client, which can also keep many requests in flight from one thread |

pub mod client;
pub mod device;
pub mod server;
