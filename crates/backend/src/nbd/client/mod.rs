//! A blocking NBD client: one request at a time, or many in flight from one thread.
//!
//! It speaks fixed newstyle with `NBD_OPT_GO` and simple replies, over a Unix socket or TCP. The calls of [`Client`]
//! in this file wait for their answer; [`Client::send_read`] and its like in `pipeline.rs` do not, and
//! [`Client::receive`] takes the answers in the server's order.
//!
//! [`udm_nbd::client`] makes and checks the messages and knows which requests are in flight; this module moves the bytes.
//!
//! Ranges, alignment and unknown commands are the server's to judge: nothing is checked here that the server should be
//! tested for.
//!
//! ```no_run
//! use udm_backend::nbd::client::Client;
//! use udm_nbd::address::Address;
//!
//! let address: Address = "unix:/run/disk.sock".parse()?;
//! let mut client = Client::connect(&address, "disk")?;
//! let mut first = [0; 4096];
//! client.read(0, &mut first)?;
//! client.write(4096, &first, false)?;
//! client.flush()?;
//! client.disconnect()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod handshake;
mod pipeline;
mod socket;

#[cfg(test)]
mod tests;

pub use error::ClientError;
pub use pipeline::Completion;
pub use socket::{Shutdown, Socket};

use std::time::Duration;

use socket::Transport;
use udm_nbd::address::Address;
use udm_nbd::client::{Handshake, ListedExport, MAX_WITHOUT_DATA, Pipeline, PipelineError, RemoteExport};
use udm_nbd::wire::{BlockSizes, Command, CommandFlags, Request, TransmissionFlags};

/// How long [`Client::connect`] and each wait after it take before they give up, unless [`Client::set_timeout`] says
/// otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// A connection to one export, in the transmission phase.
///
/// After an error that leaves the stream out of step (a timeout, a hangup, nonsense) every request answers
/// [`PipelineError::Broken`]. An error that the server sent is not of that kind.
#[derive(Debug)]
pub struct Client {
    transport: Transport,
    export: RemoteExport,
    pipeline: Pipeline,
}

impl Client {
    /// Connects and chooses an export; the empty name is the server's default one.
    ///
    /// # Errors
    /// No connection, a server that does not speak our protocol, or one that refuses the export.
    pub fn connect(address: &Address, export: &str) -> Result<Self, ClientError> {
        Self::over(Socket::connect(address, Some(DEFAULT_TIMEOUT))?, export, Some(DEFAULT_TIMEOUT))
    }

    /// The same, where each wait until the export is chosen takes at most `patience`.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub fn connect_within(address: &Address, export: &str, patience: Duration) -> Result<Self, ClientError> {
        let patience = patience.min(DEFAULT_TIMEOUT);
        let mut client = Self::over(Socket::connect(address, Some(patience))?, export, Some(patience))?;
        client.set_timeout(Some(DEFAULT_TIMEOUT))?;
        Ok(client)
    }

    /// What ends the connection from another thread: what waits for the server fails then.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn shutdown_handle(&self) -> Result<Shutdown, ClientError> {
        self.transport.shutdown_handle()
    }

    /// Chooses an export over a socket that is connected. No wait takes longer than `timeout`.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub fn over(
        socket: impl Into<Socket>,
        export: &str,
        timeout: Option<Duration>,
    ) -> Result<Self, ClientError> {
        let handshake = Handshake::choose(export)?;
        let mut transport = Transport::new(socket.into(), timeout)?;
        let export = handshake::run(&mut transport, handshake)?;
        Ok(Self { transport, export, pipeline: Pipeline::new() })
    }

    /// Asks a server for the names and descriptions of its exports.
    ///
    /// # Errors
    /// No connection, a server that does not speak our protocol, or one that does not tell.
    pub fn list(address: &Address) -> Result<Vec<ListedExport>, ClientError> {
        let socket = Socket::connect(address, Some(DEFAULT_TIMEOUT))?;
        handshake::run(&mut Transport::new(socket, Some(DEFAULT_TIMEOUT))?, Handshake::list())
    }

    /// What the server told about the export.
    pub fn export(&self) -> &RemoteExport {
        &self.export
    }

    /// The export's size in bytes.
    pub fn size(&self) -> u64 {
        self.export.size
    }

    /// What the export can do.
    pub fn flags(&self) -> TransmissionFlags {
        self.export.flags
    }

    /// The block sizes to keep to: the server's or, where it gave none, the protocol's defaults.
    pub fn block_sizes(&self) -> BlockSizes {
        self.export.block_sizes()
    }

    /// Bounds each wait from now on: without progress for that long, a call fails. `None` waits for ever.
    ///
    /// # Errors
    /// The system refuses; a duration of zero is one reason.
    pub fn set_timeout(&mut self, timeout: Option<Duration>) -> Result<(), ClientError> {
        self.transport.set_timeout(timeout)
    }

    /// Fills `data` from `offset` on. More than the server takes at once becomes several requests.
    ///
    /// # Errors
    /// What the server answered, or a broken connection. What `data` holds then is undefined.
    pub fn read(&mut self, offset: u64, data: &mut [u8]) -> Result<(), ClientError> {
        let mut at = offset;
        for part in data.chunks_mut(self.export.max_data() as usize) {
            self.call(CommandFlags::NONE, Command::Read, at, part.len() as u32, &[], part)?;
            at = at.wrapping_add(part.len() as u64);
        }
        Ok(())
    }

    /// Writes `data` at `offset`; with `fua`, the answer comes when it is on stable storage. More than the server takes
    /// at once becomes several requests.
    ///
    /// # Errors
    /// What the server answered, or a broken connection; [`ClientError::NotOffered`] for `fua` where the export has
    /// none.
    pub fn write(&mut self, offset: u64, data: &[u8], fua: bool) -> Result<(), ClientError> {
        let flags = if fua { CommandFlags::FUA } else { CommandFlags::NONE };
        self.export.check(Command::Write, flags)?;
        let mut at = offset;
        for part in data.chunks(self.export.max_data() as usize) {
            self.call(flags, Command::Write, at, part.len() as u32, part, &mut [])?;
            at = at.wrapping_add(part.len() as u64);
        }
        Ok(())
    }

    /// Makes stable every write that was answered.
    ///
    /// # Errors
    /// What the server answered, or a broken connection; [`ClientError::NotOffered`] where the export has no flush.
    pub fn flush(&mut self) -> Result<(), ClientError> {
        self.export.check(Command::Flush, CommandFlags::NONE)?;
        self.call(CommandFlags::NONE, Command::Flush, 0, 0, &[], &mut [])
    }

    /// Tells that the content of a range is no longer needed.
    ///
    /// # Errors
    /// What the server answered, or a broken connection; [`ClientError::NotOffered`] where the export has no trim.
    pub fn trim(&mut self, offset: u64, length: u64) -> Result<(), ClientError> {
        self.without_data(CommandFlags::NONE, Command::Trim, offset, length)
    }

    /// Writes zeroes to a range. `flags` may hold `FUA`, `NO_HOLE` and `FAST_ZERO`.
    ///
    /// # Errors
    /// What the server answered, or a broken connection; [`ClientError::NotOffered`] where the export cannot write
    /// zeroes, or not with these flags.
    pub fn write_zeroes(&mut self, offset: u64, length: u64, flags: CommandFlags) -> Result<(), ClientError> {
        self.without_data(flags, Command::WriteZeroes, offset, length)
    }

    /// Takes the answers that are still due, and ends the session as the protocol asks.
    ///
    /// # Errors
    /// A broken connection. Errors that the server answers to requests in flight are lost.
    pub fn disconnect(mut self) -> Result<(), ClientError> {
        let mut unread = Vec::new();
        while self.in_flight() > 0 {
            let _late = self.receive(&mut unread)?;
        }
        let request = self.pipeline.disconnect();
        self.transport.send(&request, &[], 0)
    }

    fn without_data(
        &mut self,
        flags: CommandFlags,
        command: Command,
        offset: u64,
        length: u64,
    ) -> Result<(), ClientError> {
        self.export.check(command, flags)?;
        let mut done = 0;
        while done < length {
            let part = (length - done).min(MAX_WITHOUT_DATA.into());
            self.call(flags, command, offset.wrapping_add(done), part as u32, &[], &mut [])?;
            done += part;
        }
        Ok(())
    }

    /// Sends one request and waits for its answer.
    fn call(
        &mut self,
        flags: CommandFlags,
        command: Command,
        offset: u64,
        length: u32,
        data: &[u8],
        answer: &mut [u8],
    ) -> Result<(), ClientError> {
        self.pipeline.check()?;
        if self.in_flight() > 0 {
            return Err(PipelineError::InFlight { count: self.in_flight() }.into());
        }
        let cookie = self.pipeline.next_cookie();
        self.send(Request { flags, command, cookie, offset, length }, data)?;
        match self.receive_into(answer)?.result {
            Ok(()) => Ok(()),
            Err(error) => Err(ClientError::Server(error)),
        }
    }
}
