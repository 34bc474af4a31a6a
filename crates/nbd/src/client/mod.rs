//! The client's side of the protocol: the handshake and the requests in flight, as state machines without I/O.
//!
//! [`Handshake`] chooses an export or asks for the list of exports. After an export is chosen, [`Pipeline`] makes requests
//! and matches replies to them, and [`RemoteExport`] says which requests the export takes.
//!
//! A client with a blocking socket:
//!
//! ```no_run
//! use std::io::{Read, Write};
//! use std::net::TcpStream;
//! use udm_nbd::client::{Answer, Handshake, Pipeline};
//! use udm_nbd::wire::{Command, CommandFlags, Request, SimpleReply};
//!
//! let mut socket = TcpStream::connect("127.0.0.1:10809")?;
//! let mut handshake = Handshake::choose("disk")?;
//! let (mut received, mut to_server) = (Vec::new(), Vec::new());
//! while let Some(due) = handshake.due() {
//!     received.resize(due.bytes, 0);
//!     socket.read_exact(&mut received)?;
//!     handshake.input(&received, &mut to_server)?;
//!     socket.write_all(&to_server)?;
//!     to_server.clear();
//! }
//! let export = handshake.finish()?;
//!
//! let mut pipeline = Pipeline::new();
//! let (flags, cookie) = (CommandFlags::NONE, pipeline.next_cookie());
//! let length = 4096.min(export.max_data());
//! let read = Request { flags, command: Command::Read, cookie, offset: 0, length };
//! socket.write_all(&pipeline.request(&read)?)?;
//!
//! let mut header = [0; SimpleReply::SIZE];
//! socket.read_exact(&mut header)?;
//! let Answer { result, .. } = pipeline.reply(&header)?;
//! let mut data = vec![0; result.expect("the server can read") as usize];
//! socket.read_exact(&mut data)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod handshake;
mod pipeline;
mod question;
mod remote;

#[cfg(test)]
mod tests;

pub use error::{HandshakeError, NotOffered, PipelineError};
pub use handshake::{Due, Handshake};
pub use pipeline::{Answer, MAX_IN_FLIGHT, Pipeline};
pub use question::{Choose, List, ListedExport, Question};
pub use remote::{MAX_WITHOUT_DATA, RemoteExport};
