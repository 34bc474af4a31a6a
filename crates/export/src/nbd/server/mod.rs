//! The NBD server: listens, gives each client a queue thread, and stops without losing what it acknowledged.
//!
//! | module | holds |
//! |---|---|
//! | `listen` | sockets that listen |
//! | `handshake` | [`Negotiation`](super::negotiate::Negotiation) over a socket |
//! | `connection` | the transmission phase: the loop of a queue thread |
//! | `request` | from a request on the wire to what it asks of the device |
//! | `steps` | the steps of a request that is long, or has parts of blocks |
//! | `progress` | a request's way through its steps to its reply |
//! | `guard` | which writes to the same blocks wait for each other |
//! | `replies` | from bios that ended to the wire |
//! | `sealed` | connections that take all of their memory before their first request |
//! | `input`, `socket` | bytes from and to the socket |

mod connection;
mod export;
mod guard;
mod handshake;
mod input;
mod listen;
mod progress;
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
pub use sealed::{Attendant, SEALED_LONGEST, SEALED_MEMORY, stock_pages};

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, eventfd, poll};
use udm_block::memory::{Heap, Source};
use udm_block::queue::{Home, PollFlags, Queue};

use super::address::Address;
use super::negotiate::{ExportInfo, ExportInfoError, check_exports};
use connection::{Connection, Hangup};
use handshake::{Deadline, HandshakeError, handshake};
use input::Input;
use listen::Listener;
use sealed::Supply;

/// What the thread of a client is called.
const THREAD_NAME: &str = "udm-nbd";

/// How many clients there may be at once, unless it is said.
pub const MAX_CONNECTIONS: usize = 16;

/// The most clients that there may be at once: each has a queue thread, and others need some too.
pub const LIMIT_OF_CONNECTIONS: usize = udm_block::queue::MAX_QUEUES - 8;

/// Why a server could not be made.
#[derive(Debug, thiserror::Error)]
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
    attendant: Option<Arc<dyn Attendant>>,
    max_connections: usize,
    patience: Patience,
    stop: AtomicBool,
    bell: OwnedFd,
    clients: Mutex<Vec<Home>>,
    /// How many clients have a seat.
    seats_taken: AtomicUsize,
}

/// How long a client may keep a thread that is done with it, or not yet.
#[derive(Clone, Copy)]
struct Patience {
    /// For all of the handshake.
    handshake: Duration,
    /// To read the last replies, once the device has ended its requests.
    goodbye: Duration,
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
    /// `attendant` stands by. The exports offer at most [`SEALED_LONGEST`].
    ///
    /// # Errors
    /// Those of [`Server::bind`].
    pub fn bind_sealed(
        addresses: &[Address],
        exports: Vec<Export>,
        max_connections: usize,
        attendant: Arc<dyn Attendant>,
    ) -> Result<Self, ServeError> {
        let exports = exports.into_iter().map(|export| export.of_at_most(SEALED_LONGEST)).collect();
        Self::make(addresses, exports, max_connections, Some(attendant))
    }

    fn make(
        addresses: &[Address],
        mut exports: Vec<Export>,
        max_connections: usize,
        attendant: Option<Arc<dyn Attendant>>,
    ) -> Result<Self, ServeError> {
        let infos: Vec<_> = exports.iter().map(|export| export.info.clone()).collect();
        check_exports(&infos)?;
        Export::share_guards(&mut exports);
        let max_connections = max_connections.min(LIMIT_OF_CONNECTIONS);
        for export in &exports {
            export.guard.reserve(max_connections * DEPTH);
        }
        let listeners = addresses.iter().map(Listener::bind).collect::<Result<_, _>>()?;
        let shared = Shared {
            exports,
            source: Arc::new(Heap),
            attendant,
            max_connections,
            patience: Patience { handshake: Duration::from_secs(30), goodbye: Duration::from_secs(5) },
            stop: AtomicBool::new(false),
            bell: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(io::Error::from)?,
            clients: Mutex::new(Vec::new()),
            seats_taken: AtomicUsize::new(0),
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

    /// Serves until it is stopped; then finishes the requests that it took, answers them, and hangs up. What was
    /// acknowledged is not flushed by this: the caller does that with the devices.
    ///
    /// # Errors
    /// When the listening sockets fail.
    pub fn run(self) -> io::Result<()> {
        let mut threads: Vec<JoinHandle<()>> = Vec::new();
        let result = loop {
            if self.shared.stop.load(Ordering::SeqCst) {
                break Ok(());
            }
            threads.retain(|thread| !thread.is_finished());
            if let Err(error) = self.take_clients(&mut threads) {
                break Err(error);
            }
        };
        drop(self.listeners);
        Stopper(self.shared).stop();
        for thread in threads {
            // A panic was caught and logged in the thread.
            let _ = thread.join();
        }
        result
    }

    /// Waits for clients, and starts their threads.
    fn take_clients(&self, threads: &mut Vec<JoinHandle<()>>) -> io::Result<()> {
        let sockets =
            self.listeners.iter().map(|listener| PollFd::from_borrowed_fd(listener.as_fd(), PollFlags::IN));
        let mut fds: Vec<_> =
            [PollFd::new(&self.shared.bell, PollFlags::IN)].into_iter().chain(sockets).collect();
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for listener in &self.listeners {
            match listener.accept() {
                Ok(Some((client, peer))) => threads.extend(self.start(client, peer)),
                Ok(None) => {}
                Err(error) => {
                    // No descriptor or no memory is left: a client that leaves makes room.
                    tracing::warn!(%error, "cannot accept a client");
                    thread::sleep(Duration::from_millis(100));
                }
            }
        }
        Ok(())
    }

    /// Starts the thread of a client, unless there are too many.
    fn start(&self, client: OwnedFd, peer: String) -> Option<JoinHandle<()>> {
        let Some(seat) = Seat::take(&self.shared) else {
            let most = self.shared.max_connections;
            tracing::warn!(peer, "hung up on a client: {most} are connected, and no more are allowed");
            return None;
        };
        let serve = move || {
            seat.0.serve(&client, &peer);
            // Who sees that we hung up may come again at once, and finds the seat free.
            drop(seat);
            drop(client);
        };
        let builder = thread::Builder::new().name(THREAD_NAME.into());
        let builder =
            if self.shared.attendant.is_some() { builder.stack_size(sealed::STACK) } else { builder };
        let thread = builder.spawn(serve);
        thread.inspect_err(|error| tracing::warn!(%error, "cannot start a thread for a client")).ok()
    }
}

impl Stopper {
    /// Has the server stop. It returns at once.
    pub fn stop(&self) {
        self.0.stop.store(true, Ordering::SeqCst);
        let _ = rustix::io::write(&self.0.bell, &1u64.to_ne_bytes());
        for client in self.0.clients() {
            client.wake();
        }
    }
}

impl Shared {
    fn clients(&self) -> Vec<Home> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A client's thread. Whatever happens here, the server serves on.
    fn serve(&self, client: &OwnedFd, peer: &str) {
        let served = std::panic::catch_unwind(AssertUnwindSafe(|| self.serve_client(client, peer)));
        match served {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(peer, "hung up on a client: {error}"),
            Err(_) => tracing::error!(peer, "a fault of the server ended the connection"),
        }
    }

    fn serve_client(&self, client: &OwnedFd, peer: &str) -> Result<(), Box<dyn std::error::Error>> {
        rustix::io::ioctl_fionbio(client, true)?;
        let queue = Queue::enter()?;
        let registered = Registered::new(self, queue.home());
        let mut input = Input::new();
        let end = Deadline { queue: &queue, stop: &self.stop, at: Instant::now() + self.patience.handshake };
        let infos: Vec<ExportInfo> = self.exports.iter().map(Export::info_now).collect();
        let (chosen, min) = match handshake(client.as_fd(), &end, &infos, &mut input) {
            Ok(Some(chosen)) => (&self.exports[chosen.export], chosen.least_block(&infos)),
            Ok(None) | Err(HandshakeError::Stopped) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        tracing::info!(peer, export = chosen.name(), "a client connected");
        let supply = Supply::new(&self.source, self.attendant.as_deref());
        let (room, source) = (supply.room(), supply.source());
        let connection =
            Connection::new(client.as_fd(), &queue, (chosen, min), &self.stop, input, room, &source)?;
        supply.begin(&connection)?;
        let hangup = connection.run(self.patience.goodbye);
        supply.end();
        match hangup {
            hangup @ (Hangup::Clean | Hangup::Closed | Hangup::Stopped) => tracing::info!(peer, "{hangup}"),
            hangup => return Err(hangup.into()),
        }
        drop(registered);
        Ok(())
    }
}

/// One of the places for clients, from the moment that one is accepted.
struct Seat(Arc<Shared>);

impl Seat {
    /// A seat, if one is free. The thread that accepts is the only one that takes any.
    fn take(shared: &Arc<Shared>) -> Option<Self> {
        if shared.seats_taken.load(Ordering::SeqCst) >= shared.max_connections {
            return None;
        }
        shared.seats_taken.fetch_add(1, Ordering::SeqCst);
        Some(Self(Arc::clone(shared)))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.seats_taken.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A client's place in the list of those that a stop wakes.
struct Registered<'a>(&'a Shared, Home);

impl<'a> Registered<'a> {
    fn new(shared: &'a Shared, home: Home) -> Self {
        shared.clients.lock().unwrap_or_else(PoisonError::into_inner).push(home);
        Self(shared, home)
    }
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        self.0.clients.lock().unwrap_or_else(PoisonError::into_inner).retain(|home| *home != self.1);
    }
}
