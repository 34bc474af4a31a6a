//! A server at sockets: accepts clients, gives each a thread, and stops without losing what it acknowledged.

use std::io;
use std::sync::Arc;

use udm_nbd::address::Address;

use super::accept::Acceptor;
use super::core::{Core, Stopper};
use super::listen::{ListenError, Listener};
use super::protocol::Protocol;
use super::sealed::MemoryLockGuard;

/// A server that listens, and speaks the protocol `P`.
pub struct SocketServer<P: Protocol> {
    pub(crate) listeners: Vec<Listener>,
    pub(crate) protocol: Arc<P>,
    pub(crate) core: Arc<Core>,
}

/// Why a server does not listen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// An address.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The system.
    #[error("cannot serve: {0}")]
    Io(#[from] io::Error),
}

impl<P: Protocol> SocketServer<P> {
    /// Listens at `addresses`, for at most `max_connections` clients. With a `lock_guard`, each connection takes all of its
    /// memory before its first request, and the guard is told of it.
    ///
    /// # Errors
    /// When it cannot listen.
    pub fn bind(
        addresses: &[Address],
        protocol: P,
        max_connections: usize,
        lock_guard: Option<Arc<dyn MemoryLockGuard>>,
    ) -> Result<Self, BindError> {
        let listeners = addresses.iter().map(Listener::bind).collect::<Result<_, _>>()?;
        let core = Arc::new(Core::new(max_connections, lock_guard)?);
        Ok(Self { listeners, protocol: Arc::new(protocol), core })
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
        Stopper::new(&self.core)
    }

    /// Serves until it is stopped; then finishes the requests that it took, answers them, and hangs up. Of long zeroings
    /// and trims it finishes the piece that the device has. What was acknowledged is not flushed by this: the caller does
    /// that with the devices.
    ///
    /// # Errors
    /// When the listening sockets fail, or the device does not end requests of clients; their threads go on then.
    pub fn run(self) -> io::Result<()> {
        let mut acceptor = Acceptor::new(&self.listeners, &self.protocol, &self.core);
        let result = loop {
            if self.core.ending.is_asked() {
                break Ok(());
            }
            if let Err(error) = acceptor.step() {
                break Err(error);
            }
        };
        let threads = acceptor.end();
        drop(self.listeners);
        Stopper::new(&self.core).stop();
        result.and(self.core.ending.wait_for(threads, self.core.patience.device))
    }
}
