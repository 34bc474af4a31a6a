//! The control socket: for its owner alone, a thread a connection, and few of them.

use std::io;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::Mode;
use udm_dm::managed::ManagedDevice;
use udm_export::serving::socket_file::SocketFile;

use super::request::Devices;
use super::wire::{Request, write_answer};
use udm::device::Files;

/// How many requests there may be at once: one that suspends may take long, and others look meanwhile.
const MAX_CONNECTIONS: usize = 8;
/// How long a client may take for its request, and to read a piece of our answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// The errno of an answer where the request met a fault of ours.
const EIO: i32 = 5;
const THREAD_NAME: &str = "udm-control";

/// The socket, which goes when this is dropped.
pub(crate) struct Control {
    /// Its file goes with it.
    _socket: SocketFile,
}

impl Control {
    /// Listens at `path` for requests about `devices`; tables that are loaded find their devices in `files`.
    ///
    /// # Errors
    /// When it cannot listen there.
    pub(crate) fn start(path: &Path, all: Vec<Arc<ManagedDevice>>, files: Files) -> io::Result<Self> {
        // Only its owner can reach it.
        let socket = SocketFile::bind(path, Some(Mode::RUSR | Mode::WUSR)).map_err(io::Error::other)?;
        let listener = socket.listener().try_clone()?;
        listener.set_nonblocking(false)?;
        let control = Self { _socket: socket };
        let devices = Arc::new(Devices { all, files: Mutex::new(Box::new(files)) });
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

/// Serves a client on a thread of its own, unless there are too many.
fn start(client: UnixStream, devices: &Arc<Devices>, taken: &Arc<AtomicUsize>) {
    if taken.fetch_add(1, Ordering::SeqCst) >= MAX_CONNECTIONS {
        taken.fetch_sub(1, Ordering::SeqCst);
        tracing::warn!("hung up on a control client: {MAX_CONNECTIONS} are connected");
        return;
    }
    let (devices, slot) = (Arc::clone(devices), ConnectionSlot(Arc::clone(taken)));
    let serve = move || {
        if let Err(error) = serve(&client, &devices) {
            tracing::debug!(%error, "a control client");
        }
        drop(slot);
    };
    if let Err(error) = thread::Builder::new().name(THREAD_NAME.into()).spawn(serve) {
        tracing::warn!(%error, "cannot start a thread for a control client");
    }
}

/// A connection's place among the few.
struct ConnectionSlot(Arc<AtomicUsize>);

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// One request and its answer.
fn serve(client: &UnixStream, devices: &Devices) -> io::Result<()> {
    client.set_write_timeout(Some(PATIENCE))?;
    let answer = match Request::read(Patient { client, end: Instant::now() + PATIENCE }) {
        Ok(request) => {
            let answer = catch_unwind(AssertUnwindSafe(|| devices.answer(&request))).unwrap_or_else(|_| {
                Err((EIO, "udm has a fault that this request met; the server's log says where".to_owned()))
            });
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
