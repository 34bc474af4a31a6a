//! The client's connection: sending never waits for the server to be read from, because it reads meanwhile.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Read};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendFlags, SocketAddrUnix, SocketFlags, SocketType, recv,
    sendmsg,
};

use super::error::ClientError;
use udm_nbd::address::Address;

/// A connected socket of either kind.
#[derive(Debug)]
pub enum Socket {
    /// A Unix socket.
    Unix(UnixStream),
    /// TCP.
    Tcp(TcpStream),
}

impl From<UnixStream> for Socket {
    fn from(stream: UnixStream) -> Self {
        Self::Unix(stream)
    }
}

impl From<TcpStream> for Socket {
    fn from(stream: TcpStream) -> Self {
        Self::Tcp(stream)
    }
}

impl Socket {
    /// Connects to a server. Each address of a host is tried, each for at most `timeout`.
    ///
    /// # Errors
    /// What the system said of the last one tried.
    pub fn connect(address: &Address, timeout: Option<Duration>) -> Result<Self, ClientError> {
        let connected = match address {
            Address::Unix(path) => connect_unix(path, timeout).map(Self::Unix),
            Address::Tcp { host, port } => connect_tcp(host, *port, timeout).map(Self::Tcp),
        };
        connected.map_err(|source| ClientError::Connect { address: address.clone(), source })
    }

    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        match self {
            Self::Unix(stream) => stream.set_read_timeout(timeout),
            Self::Tcp(stream) => stream.set_read_timeout(timeout),
        }
    }
}

/// A server that takes no clients for now has a full queue of them, for which `connect` alone would wait for ever.
fn connect_unix(path: &Path, timeout: Option<Duration>) -> io::Result<UnixStream> {
    let Some(timeout) = timeout else { return UnixStream::connect(path) };
    let end = Instant::now() + timeout;
    let address = SocketAddrUnix::new(path)?;
    loop {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        match rustix::net::connect(&socket, &address) {
            Ok(()) => {
                let stream = UnixStream::from(socket);
                stream.set_nonblocking(false)?;
                return Ok(stream);
            }
            Err(Errno::AGAIN) if Instant::now() < end => std::thread::sleep(Duration::from_millis(10)),
            Err(Errno::AGAIN) => return Err(ErrorKind::TimedOut.into()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn connect_tcp(host: &str, port: u16, timeout: Option<Duration>) -> io::Result<TcpStream> {
    let mut last = io::Error::new(ErrorKind::NotFound, "the host has no address");
    for address in (host, port).to_socket_addrs()? {
        let connected = match timeout {
            Some(timeout) => TcpStream::connect_timeout(&address, timeout),
            None => TcpStream::connect(address),
        };
        match connected {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Unix(stream) => stream.as_fd(),
            Self::Tcp(stream) => stream.as_fd(),
        }
    }
}

impl Read for Socket {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.read(into),
            Self::Tcp(stream) => stream.read(into),
        }
    }
}

/// Ends a connection from another thread.
#[derive(Debug)]
pub struct Shutdown(OwnedFd);

impl Shutdown {
    /// Ends it, as if the server had hung up.
    pub fn shut_down(self) {
        // It may be over already.
        let _ = rustix::net::shutdown(&self.0, rustix::net::Shutdown::Both);
    }
}

/// A socket, and what was read from it ahead of time.
#[derive(Debug)]
pub(super) struct Transport {
    socket: Socket,
    /// Received while we were sending; the next bytes to read.
    ahead: VecDeque<u8>,
    timeout: Option<Duration>,
}

impl Transport {
    pub(super) fn new(socket: Socket, timeout: Option<Duration>) -> Result<Self, ClientError> {
        if let Socket::Tcp(stream) = &socket {
            // A request should not wait for the acknowledgement of the one before.
            stream.set_nodelay(true).map_err(|source| ClientError::io("setting TCP_NODELAY", source))?;
        }
        let mut transport = Self { socket, ahead: VecDeque::new(), timeout: None };
        transport.set_timeout(timeout)?;
        Ok(transport)
    }

    pub(super) fn shutdown_handle(&self) -> Result<Shutdown, ClientError> {
        let copy = self.socket.as_fd().try_clone_to_owned();
        copy.map(Shutdown).map_err(|source| ClientError::Io { doing: "taking a handle to it", source })
    }

    pub(super) fn set_timeout(&mut self, timeout: Option<Duration>) -> Result<(), ClientError> {
        let set = self.socket.set_read_timeout(timeout);
        set.map_err(|source| ClientError::Io { doing: "setting its timeout", source })?;
        self.timeout = timeout;
        Ok(())
    }

    /// Fills `into`.
    pub(super) fn receive(&mut self, into: &mut [u8], doing: &'static str) -> Result<(), ClientError> {
        let ahead = into.len().min(self.ahead.len());
        let (first, rest) = into.split_at_mut(ahead);
        let taken = self.ahead.read_exact(first).and_then(|()| self.socket.read_exact(rest));
        taken.map_err(|source| ClientError::io(doing, source))
    }

    /// Sends both parts. While the server takes nothing, up to `due` bytes of what it sends are read ahead: as many as
    /// the answers in flight have.
    pub(super) fn send(&mut self, header: &[u8], data: &[u8], due: u64) -> Result<(), ClientError> {
        let mut parts = [IoSlice::new(header), IoSlice::new(data)];
        let mut left = &mut parts[..];
        IoSlice::advance_slices(&mut left, 0);
        while !left.is_empty() {
            let mut control = SendAncillaryBuffer::default();
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            match sendmsg(&self.socket, left, &mut control, flags) {
                Ok(sent) => IoSlice::advance_slices(&mut left, sent),
                Err(Errno::AGAIN) => self.wait_to_send(due)?,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(ClientError::io("sending", errno.into())),
            }
        }
        Ok(())
    }

    /// Waits until the socket takes more, or until something was read ahead.
    fn wait_to_send(&mut self, due: u64) -> Result<(), ClientError> {
        let doing = "sending";
        let room = usize::try_from(due).unwrap_or(usize::MAX).saturating_sub(self.ahead.len());
        let wanted = if room > 0 { PollFlags::IN | PollFlags::OUT } else { PollFlags::OUT };
        let timeout = self.timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        let mut polled = [PollFd::new(&self.socket, wanted)];
        match poll(&mut polled, timeout.as_ref()) {
            Ok(0) => return Err(ClientError::TimedOut { doing }),
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(()),
            Err(errno) => return Err(ClientError::io(doing, errno.into())),
        }
        if room == 0 || !polled[0].revents().contains(PollFlags::IN) {
            return Ok(());
        }
        let mut piece = [0; 16 << 10];
        let room = room.min(piece.len());
        match recv(&self.socket, &mut piece[..room], RecvFlags::DONTWAIT) {
            Ok((0, _)) => Err(ClientError::HungUp { doing }),
            Ok((taken, _)) => {
                self.ahead.extend(&piece[..taken]);
                Ok(())
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(()),
            Err(errno) => Err(ClientError::io(doing, errno.into())),
        }
    }
}
