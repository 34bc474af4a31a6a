//! The control socket: for its owner alone, a thread a connection, and few of them.

use std::fs::{Permissions, symlink_metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use udm_dm::managed::ManagedDevice;

use super::request::Devices;
use super::wire::{Request, write_answer};
use crate::device::Files;

/// How many requests there may be at once: one that suspends may take long, and others look meanwhile.
const MAX_CONNECTIONS: usize = 8;
/// How long a client may take for its request, and to read a piece of our answer.
const PATIENCE: Duration = Duration::from_secs(5);
const THREAD_NAME: &str = "udm-control";

/// The socket, which goes when this is dropped.
pub(crate) struct Control {
    path: PathBuf,
}

impl Control {
    /// Listens at `path` for requests about `devices`; tables that are loaded find their devices in `files`.
    ///
    /// # Errors
    /// When it cannot listen there.
    pub(crate) fn start(path: &Path, all: Vec<Arc<ManagedDevice>>, files: Files) -> io::Result<Self> {
        let listener = bind(path)?;
        let control = Self { path: path.to_owned() };
        let devices = Arc::new(Devices { all, files: files.into() });
        let taken = Arc::new(AtomicUsize::new(0));
        thread::Builder::new().name(THREAD_NAME.into()).spawn(move || {
            for client in listener.incoming() {
                match client {
                    Ok(client) => start(client, &devices, &taken),
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept on the control socket");
                        thread::sleep(Duration::from_millis(100));
                    }
                }
            }
        })?;
        Ok(control)
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A socket that only its owner can reach, from its first moment on.
fn bind(path: &Path) -> io::Result<UnixListener> {
    // What a server that was killed left behind is nobody's; one that lives answers. Another file is somebody's.
    let is_socket = symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    let refuses =
        || UnixStream::connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
    if is_socket && refuses() {
        std::fs::remove_file(path)?;
    }
    // The umask is the process's: no other thread makes a file yet.
    let before = rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    let listener = UnixListener::bind(path);
    rustix::process::umask(before);
    let listener = listener?;
    std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Serves a client on a thread of its own, unless there are too many.
fn start(client: UnixStream, devices: &Arc<Devices>, taken: &Arc<AtomicUsize>) {
    if taken.fetch_add(1, Ordering::SeqCst) >= MAX_CONNECTIONS {
        taken.fetch_sub(1, Ordering::SeqCst);
        tracing::warn!("hung up on a control client: {MAX_CONNECTIONS} are connected");
        return;
    }
    let (devices, seat) = (Arc::clone(devices), Seat(Arc::clone(taken)));
    let serve = move || {
        if let Err(error) = serve(&client, &devices) {
            tracing::debug!(%error, "a control client");
        }
        drop(seat);
    };
    if let Err(error) = thread::Builder::new().name(THREAD_NAME.into()).spawn(serve) {
        tracing::warn!(%error, "cannot start a thread for a control client");
    }
}

/// A connection's place among the few.
struct Seat(Arc<AtomicUsize>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// One request and its answer.
fn serve(client: &UnixStream, devices: &Devices) -> io::Result<()> {
    client.set_write_timeout(Some(PATIENCE))?;
    let answer = match Request::read(Patient { client, end: Instant::now() + PATIENCE }) {
        Ok(request) => {
            let answer = devices.answer(&request);
            tracing::info!(
                command = request.command.name(),
                device = request.name,
                ok = answer.is_ok(),
                "control"
            );
            answer
        }
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err((22, error.to_string())),
        Err(error) => return Err(error),
    };
    write_answer(&answer, &mut &*client)
}

/// A client that is read until a moment, however small the pieces are that it sends.
struct Patient<'a> {
    client: &'a UnixStream,
    end: Instant,
}

impl io::Read for Patient<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let left = self.end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.client.set_read_timeout(Some(left))?;
        self.client.read(to)
    }
}
