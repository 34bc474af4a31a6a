//! The NBD server: listens, gives each client a thread with a queue, and stops without losing what it acknowledged.
//!
//! | module | holds |
//! |---|---|
//! | `listen` | sockets that listen |
//! | `accept` | the thread that accepts, and carries on all handshakes |
//! | `handshake` | [`Negotiation`](udm_nbd::negotiate::Negotiation) over a socket |
//! | `connection` | the transmission phase: the loop of a client's queue |
//! | `memory` | bios and buffers of requests |
//! | `request` | from a request on the wire to what it asks of the device |
//! | `steps` | the steps of a request that is long, or has parts of blocks |
//! | `progress` | a request's way through its steps to its reply |
//! | `guard` | which writes to the same blocks wait for each other |
//! | `ranges` | long zeroings and trims, piece by piece |
//! | `replies` | from bios that ended to the wire |
//! | `ending` | what is waited for in the end |
//! | `sealed` | connections that take all of their memory before their first request |
//! | `input`, `socket` | bytes from and to the socket |

mod accept;
mod connection;
mod ending;
mod export;
mod guard;
mod handshake;
mod input;
mod listen;
mod memory;
mod progress;
mod ranges;
mod replies;
mod request;
mod sealed;
mod socket;
mod steps;
#[cfg(test)]
mod tests;

pub use connection::{DEPTH, MEMORY as MEMORY_PER_CONNECTION};
pub use export::{Export, LONGEST};
pub use listen::ListenError;
pub use sealed::{MemoryLockGuard, SEALED_LONGEST, SEALED_MEMORY, stock_pages};

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::event::{EventfdFlags, eventfd};
use udm_block::Home;
use udm_block::memory::{Heap, Source};

use accept::Acceptor;
use connection::{Connection, Hangup};
use ending::Ending;
use input::Input;
use listen::Listener;
use sealed::ConnectionMemory;
use udm_nbd::address::Address;
use udm_nbd::negotiate::{ExportInfoError, check_exports};

/// What the thread of a client is called.
const THREAD_NAME: &str = "udm-nbd";

/// How many clients there may be at once, unless it is said.
pub const MAX_CONNECTIONS: usize = 16;

/// The most clients that there may be at once.
pub const MOST_CONNECTIONS: usize = 4096;

/// Why a server could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// An address.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// An export that a client cannot be told of.
    #[error(transparent)]
    Export(#[from] ExportInfoError),
    /// The system.
    #[error("cannot serve: {0}")]
    Io(#[from] io::Error),
}

/// A server that listens.
pub struct Server {
    listeners: Vec<Listener>,
    shared: Arc<Shared>,
}

/// Stops a server, from any thread or from a signal's.
#[derive(Clone)]
pub struct Stopper(Arc<Shared>);

/// What the threads of a server share.
struct Shared {
    exports: Vec<Export>,
    source: Source,
    lock_guard: Option<Arc<dyn MemoryLockGuard>>,
    max_connections: usize,
    patience: Patience,
    ending: Ending,
    /// An eventfd that wakes the accepting thread.
    wakeup: OwnedFd,
    /// The queues of clients.
    clients: Mutex<Vec<Home>>,
    /// How many clients have not chosen an export.
    #[cfg(test)]
    negotiating: AtomicUsize,
    /// How many clients have a connection slot.
    slots_taken: AtomicUsize,
}

/// How long a client may keep a thread that is done with it, or not yet.
#[derive(Clone, Copy)]
struct Patience {
    /// For all of the handshake.
    handshake: Duration,
    /// To read the last replies, once the device has ended its requests.
    goodbye: Duration,
    /// For the device to end a request, when the server stops.
    device: Duration,
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
        let max_connections = max_connections.min(MOST_CONNECTIONS);
        let listeners = addresses.iter().map(Listener::bind).collect::<Result<_, _>>()?;
        let shared = Shared {
            exports,
            source: Arc::new(Heap),
            lock_guard,
            max_connections,
            patience: Patience {
                handshake: Duration::from_secs(30),
                goodbye: Duration::from_secs(5),
                device: Duration::from_secs(30),
            },
            ending: Ending::default(),
            wakeup: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(io::Error::from)?,
            clients: Mutex::new(Vec::new()),
            #[cfg(test)]
            negotiating: AtomicUsize::new(0),
            slots_taken: AtomicUsize::new(0),
        };
        Ok(Self { listeners, shared: Arc::new(shared) })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// What the system says.
    pub fn addresses(&self) -> io::Result<Vec<Address>> {
        self.listeners.iter().map(Listener::address).collect()
    }

    /// What stops it.
    pub fn stopper(&self) -> Stopper {
        Stopper(Arc::clone(&self.shared))
    }

    /// Serves until it is stopped; then finishes the requests that it took, answers them, and hangs up. Of long zeroings
    /// and trims it finishes the piece that the device has. What was acknowledged is not flushed by this: the caller does
    /// that with the devices.
    ///
    /// # Errors
    /// When the listening sockets fail, or the device does not end requests of clients; their threads go on then.
    pub fn run(self) -> io::Result<()> {
        let mut acceptor = Acceptor::new(&self.listeners, &self.shared);
        let result = loop {
            if self.shared.ending.is_asked() {
                break Ok(());
            }
            if let Err(error) = acceptor.step() {
                break Err(error);
            }
        };
        let threads = acceptor.end();
        drop(self.listeners);
        Stopper(Arc::clone(&self.shared)).stop();
        result.and(self.shared.ending.wait_for(threads, self.shared.patience.device))
    }
}

impl Stopper {
    /// Has the server stop. It returns at once.
    pub fn stop(&self) {
        self.0.ending.ask();
        let _ = rustix::io::write(&self.0.wakeup, &1u64.to_ne_bytes());
        for client in self.0.clients() {
            client.wake();
        }
    }
}

impl Shared {
    fn clients(&self) -> Vec<Home> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A client's thread; `export` is the export's number. Whatever happens here, the server serves on.
    fn serve(&self, client: &OwnedFd, peer: &str, export: usize, received: &[u8]) {
        let serve = || self.serve_client(client, peer, export, received);
        let served = std::panic::catch_unwind(AssertUnwindSafe(serve));
        match served {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(peer, "hung up on a client: {error}"),
            Err(_) => tracing::error!(peer, "a fault of the server ended the connection"),
        }
    }

    fn serve_client(
        &self,
        client: &OwnedFd,
        peer: &str,
        export: usize,
        received: &[u8],
    ) -> Result<(), Box<dyn std::error::Error>> {
        rustix::io::ioctl_fionbio(client, true)?;
        let memory = ConnectionMemory::new(&self.source, self.lock_guard.as_deref());
        let queue = memory.queue()?;
        let registered = Registered::new(self, queue.home().clone());
        let input = Input::new(received);
        let export = &self.exports[export];
        let member = export.guard.join();
        tracing::info!(peer, export = export.name(), "a client connected");
        let (budget, source) = (memory.budget(), memory.source());
        let connection =
            Connection::new(client.as_fd(), queue, export, &self.ending, input, budget, &source)?;
        memory.begin()?;
        let hangup = connection.run(self.patience.goodbye);
        memory.end();
        match hangup {
            hangup @ (Hangup::Clean | Hangup::Closed | Hangup::Stopped) => tracing::info!(peer, "{hangup}"),
            hangup => return Err(hangup.into()),
        }
        drop((registered, member));
        Ok(())
    }
}

/// One of the places for clients, from the moment that one has chosen an export.
struct ConnectionSlot(Arc<Shared>);

impl ConnectionSlot {
    /// A connection slot, if one is free. The thread that accepts is the only one that takes any.
    fn take(shared: &Arc<Shared>) -> Option<Self> {
        if !Self::is_free(shared) {
            return None;
        }
        shared.slots_taken.fetch_add(1, Ordering::SeqCst);
        Some(Self(Arc::clone(shared)))
    }

    fn is_free(shared: &Shared) -> bool {
        shared.slots_taken.load(Ordering::SeqCst) < shared.max_connections
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.0.slots_taken.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A client's place in the list of those that a stop wakes.
struct Registered<'a>(&'a Shared, Home);

impl<'a> Registered<'a> {
    fn new(shared: &'a Shared, home: Home) -> Self {
        shared.clients.lock().unwrap_or_else(PoisonError::into_inner).push(home.clone());
        Self(shared, home)
    }
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        self.0.clients.lock().unwrap_or_else(PoisonError::into_inner).retain(|home| *home != self.1);
    }
}
