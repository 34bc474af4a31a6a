//! Sockets that listen, and the clients that they bring.

use std::io;
use std::net::{TcpListener, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;

use super::socket_file::SocketFile;
use udm_nbd::address::Address;

/// A socket that cannot listen.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen at {address}: {why}")]
pub struct ListenError {
    /// Where.
    pub address: Address,
    /// What is wrong, and what would do.
    pub why: String,
}

/// A socket that listens.
pub(crate) enum Listener {
    Unix(SocketFile),
    Tcp(TcpListener),
}

impl Listener {
    /// Listens at `address`. The file of a Unix socket that nobody listens at is replaced.
    pub(super) fn bind(address: &Address) -> Result<Self, ListenError> {
        let bound = match address {
            Address::Unix(path) => SocketFile::bind(path, None).map(Self::Unix),
            Address::Tcp { host, port } => bind_tcp(host, *port).map(Self::Tcp),
        };
        bound.map_err(|why| ListenError { address: address.clone(), why })
    }

    /// Where it listens: with the port that the system gave.
    pub(super) fn address(&self) -> io::Result<Address> {
        Ok(match self {
            Self::Unix(socket) => Address::Unix(socket.path().to_owned()),
            Self::Tcp(socket) => {
                let local = socket.local_addr()?;
                Address::Tcp { host: local.ip().to_string(), port: local.port() }
            }
        })
    }

    /// The next client and how it is called; `None` when there is none now.
    pub(crate) fn accept(&self) -> io::Result<Option<(OwnedFd, String)>> {
        let accepted = match self {
            Self::Unix(socket) => {
                let peer = || socket.path().display().to_string();
                socket.listener().accept().map(|(client, _)| (OwnedFd::from(client), peer()))
            }
            Self::Tcp(socket) => socket.accept().and_then(|(client, peer)| {
                client.set_nodelay(true)?;
                // A client whose machine has died is found out some day, and its connection slot is free again.
                rustix::net::sockopt::set_socket_keepalive(&client, true)?;
                Ok((OwnedFd::from(client), peer.to_string()))
            }),
        };
        match accepted {
            Ok(client) => Ok(Some(client)),
            Err(error) if is_transient(&error) => Ok(None),
            // The system looks for a descriptor before it looks for a client. Where nobody waits, it is no matter that there is
            // none.
            Err(_) if !self.has_client() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether a client waits to be accepted.
    fn has_client(&self) -> bool {
        let mut fds = [PollFd::new(self, PollFlags::IN)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        retry_on_intr(|| poll(&mut fds, Some(&now))).is_err() || !fds[0].revents().is_empty()
    }
}

/// Whether a failed accept says nothing of the next one.
fn is_transient(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, WouldBlock};
    matches!(error.kind(), WouldBlock | Interrupted | ConnectionAborted | ConnectionReset)
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Unix(socket) => socket.as_fd(),
            Self::Tcp(socket) => socket.as_fd(),
        }
    }
}

fn bind_tcp(host: &str, port: u16) -> Result<TcpListener, String> {
    let addresses: Vec<_> = (host, port).to_socket_addrs().map_err(|error| error.to_string())?.collect();
    let socket = TcpListener::bind(&addresses[..]).map_err(|error| error.to_string())?;
    socket.set_nonblocking(true).map_err(|error| error.to_string())?;
    Ok(socket)
}
