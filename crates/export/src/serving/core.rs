//! What the threads of a server share, whatever protocol they speak.

use std::error::Error;
use std::io;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::event::{EventfdFlags, eventfd};
use udm_block::Home;
use udm_block::memory::{Heap, Source};

use super::ending::Ending;
use super::sealed::{ConnectionMemory, MemoryLockGuard};

/// How many clients there may be at once, unless it is said.
pub const MAX_CONNECTIONS: usize = 16;

/// The most clients that there may be at once.
pub const MOST_CONNECTIONS: usize = 4096;

/// What the threads of a server share.
pub struct Core {
    pub(crate) source: Source,
    lock_guard: Option<Arc<dyn MemoryLockGuard>>,
    pub(crate) max_connections: usize,
    pub(crate) patience: Patience,
    pub(super) ending: Ending,
    /// An eventfd that wakes the accepting thread.
    pub(super) wakeup: OwnedFd,
    /// The queues of clients.
    clients: Mutex<Vec<Home>>,
    /// How many clients have not chosen what they want.
    #[cfg(test)]
    pub(crate) negotiating: AtomicUsize,
    /// How many clients have a connection slot.
    pub(crate) slots_taken: AtomicUsize,
}

/// How long a client may keep a thread that is done with it, or not yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// For all of the handshake.
    pub(crate) handshake: Duration,
    /// To read the last replies, once the device has ended its requests.
    pub(crate) goodbye: Duration,
    /// For the device to end a request, when the server stops.
    pub(crate) device: Duration,
}

/// Stops a server, from any thread or from a signal's.
#[derive(Clone)]
pub struct Stopper(Arc<Core>);

impl Core {
    /// For at most `max_connections` clients. With a `lock_guard`, each connection takes all of its memory before its first
    /// request, and the guard is told of it.
    ///
    /// # Errors
    /// When the system has no descriptor left.
    pub(super) fn new(
        max_connections: usize,
        lock_guard: Option<Arc<dyn MemoryLockGuard>>,
    ) -> io::Result<Self> {
        Ok(Self {
            source: Arc::new(Heap),
            lock_guard,
            max_connections: max_connections.min(MOST_CONNECTIONS),
            patience: Patience {
                handshake: Duration::from_secs(30),
                goodbye: Duration::from_secs(5),
                device: Duration::from_secs(30),
            },
            ending: Ending::default(),
            wakeup: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            clients: Mutex::new(Vec::new()),
            #[cfg(test)]
            negotiating: AtomicUsize::new(0),
            slots_taken: AtomicUsize::new(0),
        })
    }

    /// Whether connections take all of their memory before their first request.
    pub fn is_sealed(&self) -> bool {
        self.lock_guard.is_some()
    }

    /// The memory of a connection, and what its queue is made by.
    pub fn memory(&self) -> ConnectionMemory<'_> {
        ConnectionMemory::new(&self.source, self.lock_guard.as_deref())
    }

    /// Whether the server is to end, and what is left to do then.
    pub fn ending(&self) -> &Ending {
        &self.ending
    }

    /// How long a client has to read its last replies.
    pub fn goodbye(&self) -> Duration {
        self.patience.goodbye
    }

    /// Has the stop wake a client's queue, as long as what is returned is there.
    pub fn register(&self, home: Home) -> Registered<'_> {
        self.lock_clients().push(home.clone());
        Registered(self, home)
    }

    /// Serves a client on this thread by `serve`. Whatever happens there, the server serves on.
    pub(super) fn serve(&self, peer: &str, serve: impl FnOnce(&Self) -> Result<(), Box<dyn Error>>) {
        match catch_unwind(AssertUnwindSafe(|| serve(self))) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(peer, "hung up on a client: {error}"),
            Err(_) => tracing::error!(peer, "a fault of the server ended the connection"),
        }
    }

    /// The queues of clients.
    pub(crate) fn clients(&self) -> Vec<Home> {
        self.lock_clients().clone()
    }

    fn lock_clients(&self) -> std::sync::MutexGuard<'_, Vec<Home>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stopper {
    /// Of the server with this core.
    pub(crate) fn new(core: &Arc<Core>) -> Self {
        Self(Arc::clone(core))
    }

    /// Has the server stop. It returns at once.
    pub fn stop(&self) {
        self.0.ending.ask();
        let _ = rustix::io::write(&self.0.wakeup, &1u64.to_ne_bytes());
        for client in self.0.clients() {
            client.wake();
        }
    }

    /// The core, for tests.
    #[cfg(test)]
    pub(crate) fn core(&self) -> &Core {
        &self.0
    }
}

/// A client's place in the list of those that a stop wakes.
pub struct Registered<'a>(&'a Core, Home);

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        self.0.lock_clients().retain(|home| *home != self.1);
    }
}
