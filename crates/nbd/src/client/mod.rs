//! The client's side of the protocol: the handshake and the requests in flight, as state machines without I/O.
//!
//! [`Handshake`] chooses an export or asks for the list of exports. After an export is chosen, [`Pipeline`] makes requests
//! and matches replies to them, and [`RemoteExport`] says which requests the export takes.
//!
//! Here a client and a server of this crate choose an export together, over two buffers:
//!
//! ```
//! use udm_nbd::client::Handshake;
//! use udm_nbd::negotiate::{ExportInfo, GREETING, Negotiation};
//! use udm_nbd::wire::TransmissionFlags;
//!
//! let exports = [ExportInfo::new("disk", 1 << 20, TransmissionFlags::SEND_FLUSH)];
//! let mut server = Negotiation::new(&exports);
//! let mut client = Handshake::choose("disk")?;
//!
//! let (mut to_client, mut to_server) = (GREETING.to_vec(), Vec::new());
//! while client.due().is_some() {
//!     let taken = client.input(&to_client, &mut to_server)?;
//!     to_client.drain(..taken);
//!     let step = server.input(&to_server, &mut to_client)?;
//!     to_server.drain(..step.consumed);
//! }
//! let export = client.finish()?;
//! assert_eq!(export.size, 1 << 20);
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
