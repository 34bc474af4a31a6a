//! The control socket of `udm serve --control`: what `udm dm` asks of devices while clients use them.
//!
//! A connection is one request and one answer. Both have a line of ASCII and then as many bytes as it says, so that
//! a key is read into one buffer and wiped there:
//!
//! ```text
//! udm-dm 1 <command> <bytes of the name> <bytes of the text>\n<name><text>
//! ok <bytes>\n<output>
//! error <errno> <bytes>\n<what is wrong, and what would do>
//! ```
//!
//! The text is the table of a `load`, the sector and the words of a `message`, and the options of the other commands.
//!
//! * `wire`: requests and answers as bytes, with bounds on all of them.
//! * `request`: what a request has a device do.
//! * `server`: the socket, and the threads that serve it.
//! * `client`: the other end.

mod client;
mod request;
mod server;
mod wire;

pub(crate) use client::ask;
pub(crate) use server::Control;
pub(crate) use wire::{Command, Request};
