//! Exports of NBD servers: the client, and a device over it.
//!
//! The protocol itself is `udm-nbd`, which does no I/O. Here its state machines get sockets and threads.
//!
//! | module | holds |
//! |---|---|
//! | [`client`] | a blocking client, which can also keep many requests in flight from one thread |
//! | [`device`] | an export of another server as a device, over the client |

pub mod client;
pub mod device;
