//! Network Block Device: the server.
//!
//! The protocol itself is `udm-nbd`, which does no I/O: formats, handshakes, addresses. Here its state machines get
//! sockets and threads. We speak *fixed newstyle* with simple replies, over TCP or a Unix socket. The client, and an export
//! of another server as a device, are back ends (`udm-backend`).

pub mod server;
