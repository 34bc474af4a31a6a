//! udm-export: how others reach a device. This crate knows no table and no cipher.
//!
//! | module | holds |
//! |---|---|
//! | [`serving`] | the serving core, which every export stands on: listeners, slots for connections, a queue and memory for each, the stop |
//! | [`nbd`] | the NBD server on it |
//!
//! # Serve it
//! A [`Server`](nbd::server::Server) serves a disk in memory on a Unix socket. The client of `udm-backend` writes and reads.
//!
//! ```
//! use std::sync::Arc;
//! use std::thread;
//!
//! use udm_backend::Ram;
//! use udm_backend::nbd::client::Client;
//! use udm_block::{DeviceRef, Sectors};
//! use udm_export::nbd::server::{Export, Server};
//! use udm_export::serving::MAX_CONNECTIONS;
//! use udm_nbd::address::Address;
//!
//! let folder = tempfile::tempdir()?;
//! let address = Address::unix(folder.path().join("socket"))?;
//! let ram: DeviceRef = Arc::new(Ram::new(Sectors(2048))?);
//! let exports = vec![
//!     Export::new("disk", "one MiB of memory", Arc::clone(&ram), false),
//!     Export::new("frozen", "the same, to be read", ram, true),
//! ];
//!
//! // From here on clients can connect. `run` returns when the server is stopped.
//! let server = Server::bind(std::slice::from_ref(&address), exports, MAX_CONNECTIONS)?;
//! let stopper = server.stopper();
//! let serving = thread::spawn(move || server.run());
//!
//! let mut client = Client::connect(&address, "disk")?;
//! assert_eq!(client.size(), 1 << 20);
//! client.write(4096, &[7; 512], false)?;
//! client.flush()?;
//! let mut data = [0; 512];
//! Client::connect(&address, "frozen")?.read(4096, &mut data)?;
//! assert_eq!(data, [7; 512]);
//! client.disconnect()?;
//!
//! stopper.stop();
//! serving.join().expect("the server does not panic")?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod nbd;
pub mod serving;

/// The README's example is tested with the others.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
