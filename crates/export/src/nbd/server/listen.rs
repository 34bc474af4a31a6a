//! Sockets that listen, and the clients that they bring.

use std::io;
use std::net::{TcpListener, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::nbd::address::Address;

/// A socket that cannot listen.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen at {address}: {why}")]
pub struct ListenError {
    /// Where.
    pub address: Address,
    /// What is wrong, and what would do.
    pub why: String,
}

/// A socket that listens. A Unix socket's file goes when it is dropped, unless another file is there by then.
pub(super) enum Listener {
    Unix { socket: UnixListener, path: PathBuf, file: Option<FileId> },
    Tcp(TcpListener),
}

/// What tells a file from one that comes to be under the same path: device and inode.
type FileId = (u64, u64);

impl Listener {
    /// Listens at `address`. The file of a Unix socket that nobody listens at is replaced.
    pub(super) fn bind(address: &Address) -> Result<Self, ListenError> {
        let bound = match address {
            Address::Unix(path) => {
                bind_unix(path).map(|socket| Self::Unix { socket, path: path.clone(), file: file_id(path) })
            }
            Address::Tcp { host, port } => bind_tcp(host, *port).map(Self::Tcp),
        };
        bound.map_err(|why| ListenError { address: address.clone(), why })
    }

    /// Where it listens: with the port that the system gave.
    pub(super) fn address(&self) -> io::Result<Address> {
        Ok(match self {
            Self::Unix { path, .. } => Address::Unix(path.clone()),
            Self::Tcp(socket) => {
                let local = socket.local_addr()?;
                Address::Tcp { host: local.ip().to_string(), port: local.port() }
            }
        })
    }

    /// The next client and how it is called; `None` when there is none now.
    pub(super) fn accept(&self) -> io::Result<Option<(OwnedFd, String)>> {
        let accepted = match self {
            Self::Unix { socket, path, .. } => {
                socket.accept().map(|(client, _)| (OwnedFd::from(client), path.display().to_string()))
            }
            Self::Tcp(socket) => socket.accept().and_then(|(client, peer)| {
                client.set_nodelay(true)?;
                // A client whose machine has died is found out some day, and its seat is free again.
                rustix::net::sockopt::set_socket_keepalive(&client, true)?;
                Ok((OwnedFd::from(client), peer.to_string()))
            }),
        };
        match accepted {
            Ok(client) => Ok(Some(client)),
            Err(error) if is_transient(&error) => Ok(None),
            Err(error) => Err(error),
        }
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
            Self::Unix { socket, .. } => socket.as_fd(),
            Self::Tcp(socket) => socket.as_fd(),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Self::Unix { path, file, .. } = self
            && file_id(path) == *file
        {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn file_id(path: &Path) -> Option<FileId> {
    std::fs::symlink_metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

fn bind_unix(path: &Path) -> Result<UnixListener, String> {
    let bound = UnixListener::bind(path);
    let socket = match bound {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let is_socket = std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
            if !is_socket {
                return Err("a file that is no socket is there; name another path".into());
            }
            match knock(path) {
                // Left behind by a server that was killed.
                Err(Errno::CONNREFUSED) => std::fs::remove_file(path).map_err(|error| error.to_string())?,
                // Gone by itself meanwhile.
                Err(Errno::NOENT) => {}
                // A server whose queue of clients is full is one too.
                Ok(()) | Err(Errno::AGAIN) => {
                    return Err("a server listens there already; stop it, or name another path".into());
                }
                Err(error) => {
                    return Err(format!("a socket is there already, and {error} when asked who listens"));
                }
            }
            UnixListener::bind(path)
        }
        other => other,
    }
    .map_err(|error| error.to_string())?;
    socket.set_nonblocking(true).map_err(|error| error.to_string())?;
    Ok(socket)
}

/// Whether somebody listens at `path`, without waiting to be let in.
fn knock(path: &Path) -> Result<(), Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)
}

fn bind_tcp(host: &str, port: u16) -> Result<TcpListener, String> {
    let addresses: Vec<_> = (host, port).to_socket_addrs().map_err(|error| error.to_string())?.collect();
    let socket = TcpListener::bind(&addresses[..]).map_err(|error| error.to_string())?;
    socket.set_nonblocking(true).map_err(|error| error.to_string())?;
    Ok(socket)
}
