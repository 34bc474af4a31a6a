//! An export of an NBD server as a device: where the sectors of a volume may live.
//!
//! Each connection has a
//! thread of its own, which takes bios from a list that all share: a queue never waits for the network. Bytes are
//! copied once more than with a file, between the socket's buffer and a bio's memory.
//!
//! * `connection`: a thread, its connection, and the requests under way on it.
//! * `session`: what the threads share, and how they connect again when a connection is lost.
//! * `unflushed`: writes that the server has acknowledged and may still forget.

mod connection;
mod session;
#[cfg(test)]
mod tests;
mod unflushed;

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use udm_block::{
    Bio, Channel, Device, DeviceRef, Dispatch, Geometry, LONGEST_DEVICE, OpenError, Opening, SECTOR_SIZE,
    Sectors, Status,
};

use super::client::{Client, ClientError};
use crate::{BackendType, FileOptions, Location};
use connection::Connection;
use session::Shared;
use udm_nbd::address::NbdUri;
use udm_nbd::wire::{BlockSizes, TransmissionFlags};

/// How many connections there are to a server that says that a flush on one covers all.
const CONNECTIONS: usize = 4;
/// How many requests are under way in all.
const DEPTH: usize = 32;
/// How long requests wait for a server that does not answer, from the last answer on, before they fail. It is tried
/// further then, and serves again when it is back.
const PATIENCE: Duration = Duration::from_secs(30);
/// The largest block that a device has, in bytes.
const LARGEST_BLOCK: u32 = 4096;

/// An export of an NBD server.
pub struct NbdDevice {
    geometry: Geometry,
    shared: Arc<Shared>,
}

/// Why an export is no device.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttachError {
    /// The server, or the way to it.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Its blocks are larger than those of any disk.
    #[error("the export has blocks of {0} bytes; a device has at most {LARGEST_BLOCK}")]
    Block(u32),
    /// It holds nothing.
    #[error("the export is empty, and a device has at least one byte")]
    Empty,
    /// Its last bytes cannot be asked for.
    #[error(
        "the export has {size} bytes, and the server takes requests for whole blocks of {block} only: \
         nobody can reach the last {}", size % u64::from(*block)
    )]
    Unreachable {
        /// Its length in bytes.
        size: u64,
        /// The bytes of a block.
        block: u32,
    },
    /// It is longer than any device.
    #[error("the export has {0} bytes; a device has at most 2^63")]
    TooLong(u64),
    /// The system gives no thread.
    #[error("no thread for a connection: {0}")]
    Thread(#[from] std::io::Error),
}

impl NbdDevice {
    /// Attaches to the export, which offers blocks of at least `block_size` bytes.
    ///
    /// # Errors
    /// When there is no connection, or the export is none that a device can be.
    pub fn attach(uri: &NbdUri, block_size: u32, read_only: bool) -> Result<Self, AttachError> {
        Self::attach_with(uri, block_size, read_only, PATIENCE)
    }

    /// The same with another [`PATIENCE`].
    fn attach_with(
        uri: &NbdUri,
        block_size: u32,
        read_only: bool,
        patience: Duration,
    ) -> Result<Self, AttachError> {
        let first = Client::connect_within(&uri.address, &uri.export, patience)?;
        let geometry = geometry(&first, block_size, read_only)?;
        let is_shared = first.flags().contains(TransmissionFlags::CAN_MULTI_CONN);
        let mut clients = vec![first];
        while is_shared && clients.len() < CONNECTIONS {
            match Client::connect_within(&uri.address, &uri.export, patience) {
                Ok(client) => clients.push(client),
                // The server may have no room for more.
                Err(error) => {
                    tracing::info!("{uri}: {} connections, and no more: {error}", clients.len());
                    break;
                }
            }
        }
        let depth = DEPTH / clients.len();
        let shared =
            Arc::new(Shared::new(uri.clone(), *clients[0].export(), geometry, patience, clients.len()));
        for client in clients {
            let connection = Connection::new(client, Arc::clone(&shared), depth)?;
            thread::Builder::new().name("udm-nbd".into()).spawn(move || connection.run())?;
        }
        Ok(Self { geometry, shared })
    }
}

/// The exports of NBD servers, by their URIs.
pub(crate) struct NbdType;

impl BackendType for NbdType {
    fn prefixes(&self) -> &'static [&'static str] {
        &["nbd://", "nbds://", "nbd+unix://", "nbds+unix://"]
    }

    fn example(&self) -> &'static str {
        "nbd://HOST/EXPORT"
    }

    fn parse(&self, name: &str) -> Result<Arc<dyn Location>, crate::OpenError> {
        match name.parse::<NbdUri>() {
            Ok(uri) => Ok(Arc::new(uri)),
            Err(error) => Err(failed(name.into(), &error)),
        }
    }
}

impl Location for NbdUri {
    fn short_name(&self) -> Option<String> {
        Some(self.export.clone()).filter(|name| !name.is_empty())
    }

    fn open(&self, options: &FileOptions) -> Result<DeviceRef, crate::OpenError> {
        let device = NbdDevice::attach(self, options.block_size, options.read_only);
        Ok(Arc::new(device.map_err(|error| failed(self.to_string(), &error))?))
    }
}

/// What is wrong with the export that `name` means.
fn failed(name: String, error: &dyn std::error::Error) -> crate::OpenError {
    crate::OpenError::Name { name, why: error.to_string(), hint: None }
}

fn geometry(client: &Client, block_size: u32, read_only: bool) -> Result<Geometry, AttachError> {
    let (flags, blocks, size) = (client.flags(), client.block_sizes(), client.size());
    let block = block_size.max(blocks.min).max(SECTOR_SIZE as u32);
    if block > LARGEST_BLOCK {
        return Err(AttachError::Block(block));
    }
    if size == 0 {
        return Err(AttachError::Empty);
    }
    if !size.is_multiple_of(u64::from(blocks.min.max(1))) {
        return Err(AttachError::Unreachable { size, block: blocks.min });
    }
    let whole = size.checked_next_multiple_of(u64::from(block)).map(Sectors::in_bytes);
    let whole = whole.filter(|whole| *whole <= LONGEST_DEVICE).ok_or(AttachError::TooLong(size))?;
    Ok(Geometry {
        padding: (whole.bytes().0 - size) as u32,
        logical_block: block,
        max_transfer: (blocks.max.min(BlockSizes::DEFAULT.max) / block).max(1) * block,
        read_only: read_only || flags.contains(TransmissionFlags::READ_ONLY),
        discard: flags.contains(TransmissionFlags::SEND_TRIM),
        write_zeroes: flags.contains(TransmissionFlags::SEND_WRITE_ZEROES),
        write_cache: flags.contains(TransmissionFlags::SEND_FLUSH),
        ..Geometry::plain(whole)
    })
}

impl Device for NbdDevice {
    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn open(&self, _: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        Ok(Box::new(NbdChannel { shared: Arc::clone(&self.shared) }))
    }
}

/// A queue's way to the threads of the export.
struct NbdChannel {
    shared: Arc<Shared>,
}

impl Channel for NbdChannel {
    fn submit(&mut self, cx: &mut Dispatch, bio: Bio) {
        if let Err(bio) = self.shared.put(bio) {
            cx.complete(bio, Status::Offline);
        }
    }
}

/// The threads end by themselves, each with a goodbye to the server. They are not waited for: the last bio to end may be
/// what drops the device, on one of them.
impl Drop for NbdDevice {
    fn drop(&mut self) {
        self.shared.drop_device();
    }
}
