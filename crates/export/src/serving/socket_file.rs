//! A Unix socket at a path, which one server has at a time.
//!
//! A server that was killed leaves its socket behind, so a path where nobody listens may be taken. Between looking and
//! taking another server might take it too, and would lose it again. So servers take turns: whoever looks at a path, or
//! takes its socket away, holds a lock on the folder meanwhile (`flock(2)`), for some microseconds. A file for the lock
//! would be one more thing that a killed server leaves.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, Mode, flock};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

/// How long we wait for others that look at a socket in the same folder.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many clients may wait to be accepted.
const BACKLOG: i32 = 4096;

/// A Unix socket that listens. Its file goes when it is dropped, unless another file is there by then.
#[derive(Debug)]
pub struct SocketFile {
    listener: UnixListener,
    path: PathBuf,
    file: Option<FileId>,
}

/// What tells a file from one that comes to be under the same path: device and inode. The socket that listens keeps its
/// inode, so that no other file gets the number.
type FileId = (u64, u64);

impl SocketFile {
    /// Listens at `path`, without waiting in `accept`. A socket that is there is replaced if nobody listens at it. `mode`
    /// says who may connect, as far as the umask allows; without one that is the umask's to say.
    ///
    /// # Errors
    /// What is at the path, or why there can be no socket.
    pub fn bind(path: &Path, mode: Option<Mode>) -> Result<Self, String> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
            .map_err(|error| error.to_string())?;
        if let Some(mode) = mode {
            // The file takes it over: there is no moment in which others could connect.
            rustix::fs::fchmod(&socket, mode).map_err(|error| error.to_string())?;
        }
        let address = SocketAddrUnix::new(path).map_err(|error| match error {
            Errno::NAMETOOLONG => "a socket's path has at most 107 bytes; name a shorter one".into(),
            error => error.to_string(),
        })?;
        let lock = lock_folder(path);
        match rustix::net::bind(&socket, &address) {
            Err(Errno::ADDRINUSE) => {
                remove_if_stale(path, lock.as_ref().err())?;
                rustix::net::bind(&socket, &address)
            }
            bound => bound,
        }
        .and_then(|()| rustix::net::listen(&socket, BACKLOG))
        .map_err(|error| error.to_string())?;
        Ok(Self { listener: socket.into(), path: path.to_owned(), file: file_id(path) })
    }

    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The socket.
    pub fn listener(&self) -> &UnixListener {
        &self.listener
    }
}

impl AsFd for SocketFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Without the lock somebody could replace the file between the look and the end of it.
        let _lock = lock_folder(&self.path);
        if file_id(&self.path) == self.file {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn file_id(path: &Path) -> Option<FileId> {
    fs::symlink_metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

/// Locks the folder that `path` is in, until the file is dropped.
fn lock_folder(path: &Path) -> io::Result<File> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let folder = File::open(parent.unwrap_or(Path::new(".")))?;
    let end = Instant::now() + PATIENCE;
    loop {
        match flock(&folder, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(folder),
            Err(Errno::WOULDBLOCK) if Instant::now() < end => thread::sleep(Duration::from_millis(1)),
            Err(Errno::WOULDBLOCK) => return Err(io::Error::other("another program holds a lock on it")),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Removes the socket at `path` if nobody listens there. `unlocked` says why the folder is not ours meanwhile.
fn remove_if_stale(path: &Path, unlocked: Option<&io::Error>) -> Result<(), String> {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    if !is_socket {
        return Err("a file that is no socket is there; name another path".into());
    }
    match (knock(path), unlocked) {
        // Left behind by a server that was killed.
        (Err(Errno::CONNREFUSED), None) => fs::remove_file(path).map_err(|error| error.to_string()),
        (Err(Errno::CONNREFUSED), Some(why)) => Err(format!(
            "a socket is there that nobody listens at, and the folder cannot be locked to replace it ({why}); remove it"
        )),
        // Gone by itself meanwhile.
        (Err(Errno::NOENT), _) => Ok(()),
        // A server whose queue of clients is full is one too.
        (Ok(()) | Err(Errno::AGAIN), _) => {
            Err("a server listens there already; stop it, or name another path".into())
        }
        (Err(error), _) => Err(format!("a socket is there already, and {error} when asked who listens")),
    }
}

/// Whether somebody listens at `path`, without waiting to be let in.
fn knock(path: &Path) -> Result<(), Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)
}
