//! The NBD server: what the protocol adds to the serving core.
//!
//! | module | holds |
//! |---|---|
//! | `handshake` | [`Negotiation`](udm_nbd::negotiate::Negotiation) over a socket |
//! | `connection` | the transmission phase: the loop of a client's queue |
//! | `memory` | bios and buffers of requests |
//! | `request` | from a request on the wire to what it asks of the device |
//! | `steps` | the steps of a request that is long, or has parts of blocks |
//! | `progress` | a request's way through its steps to its reply |
//! | `guard` | which writes to the same blocks wait for each other |
//! | `range` | a long zeroing or trim, cut into pieces |
//! | `ranges` | those of one client, in turns |
//! | `replies` | from bios that ended to the wire |
//! | `input`, `socket` | bytes from and to the socket |

mod connection;
mod export;
mod guard;
mod handshake;
mod input;
mod memory;
mod progress;
mod range;
mod ranges;
mod replies;
mod request;
mod socket;
mod steps;
#[cfg(test)]
mod tests;

pub use export::Export;

use std::error::Error;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use connection::{Connection, Hangup};
use handshake::{Choice, Handshake};
use input::Input;
use udm_nbd::address::Address;
use udm_nbd::negotiate::{ExportInfoError, check_exports};

use crate::serving::{
    BindError, Core, GreetingError, MemoryLockGuard, Protocol, SEALED_LONGEST, SocketServer, Step, Stopper,
};

/// Why a server could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// It cannot listen.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// An export that a client cannot be told of.
    #[error(transparent)]
    Export(#[from] ExportInfoError),
}

/// A server that listens.
pub struct Server(SocketServer<Nbd>);

/// The protocol, and what is served by it.
struct Nbd {
    exports: Vec<Export>,
}

impl Server {
    /// Listens at `addresses` to serve `exports`, of which the first is the default one.
    ///
    /// # Errors
    /// When it cannot listen, or an export does not fit the protocol.
    pub fn bind(
        addresses: &[Address],
        exports: Vec<Export>,
        max_connections: usize,
    ) -> Result<Self, ServeError> {
        Self::make(addresses, exports, max_connections, None)
    }

    /// The same for devices that are swapped to: each connection takes all of its memory before its first request, and
    /// `lock_guard` is told of them. The exports offer at most [`SEALED_LONGEST`].
    ///
    /// # Errors
    /// Those of [`Server::bind`].
    pub fn bind_sealed(
        addresses: &[Address],
        exports: Vec<Export>,
        max_connections: usize,
        lock_guard: Arc<dyn MemoryLockGuard>,
    ) -> Result<Self, ServeError> {
        let exports = exports.into_iter().map(|export| export.of_at_most(SEALED_LONGEST)).collect();
        Self::make(addresses, exports, max_connections, Some(lock_guard))
    }

    fn make(
        addresses: &[Address],
        mut exports: Vec<Export>,
        max_connections: usize,
        lock_guard: Option<Arc<dyn MemoryLockGuard>>,
    ) -> Result<Self, ServeError> {
        let infos: Vec<_> = exports.iter().map(|export| export.info.clone()).collect();
        check_exports(&infos)?;
        Export::share_guards(&mut exports);
        Ok(Self(SocketServer::bind(addresses, Nbd { exports }, max_connections, lock_guard)?))
    }

    /// Where it listens.
    ///
    /// # Errors
    /// What the system says.
    pub fn addresses(&self) -> io::Result<Vec<Address>> {
        self.0.addresses()
    }

    /// What stops it.
    pub fn stopper(&self) -> Stopper {
        self.0.stopper()
    }

    /// Serves until it is stopped: see [`SocketServer::run`].
    ///
    /// # Errors
    /// Those of [`SocketServer::run`].
    pub fn run(self) -> io::Result<()> {
        self.0.run()
    }
}

impl Protocol for Nbd {
    type Greeting = Handshake;
    type Choice = Choice;

    const THREAD: &'static str = "udm-nbd";

    fn greet(&self) -> Handshake {
        Handshake::new()
    }

    fn go_on(
        &self,
        handshake: &mut Handshake,
        socket: BorrowedFd<'_>,
        full: Option<usize>,
    ) -> Result<Step<Choice>, GreetingError> {
        handshake.go_on(socket, || self.exports.iter().map(Export::info_now).collect(), full)
    }

    fn serve(&self, choice: Choice, socket: &OwnedFd, peer: &str, core: &Core) -> Result<(), Box<dyn Error>> {
        rustix::io::ioctl_fionbio(socket, true)?;
        let memory = core.memory();
        let queue = memory.queue()?;
        let registered = core.register(queue.home().clone());
        let input = Input::new(&choice.received);
        let export = &self.exports[choice.export];
        let member = export.guard.join();
        tracing::info!(peer, export = export.name(), "a client connected");
        let (budget, source) = (memory.budget(), memory.source());
        let connection =
            Connection::new(socket.as_fd(), queue, export, core.ending(), input, budget, &source)?;
        memory.begin()?;
        let hangup = connection.run(core.goodbye());
        memory.end();
        match hangup {
            hangup @ (Hangup::Clean | Hangup::Closed | Hangup::Stopped) => tracing::info!(peer, "{hangup}"),
            hangup => return Err(hangup.into()),
        }
        drop((registered, member));
        Ok(())
    }
}
