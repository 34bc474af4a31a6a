//! Messages: how every line gets to stderr.
//!
//! A command writes its lines itself. A server has a thread for them, since a line must not cost a client anything: not
//! when nobody reads the log's pipe, not when its reader has gone, not when its disk is full. Lines wait for that thread
//! in a buffer of fixed size. Those that find no room and those that cannot be written are counted, and the number is
//! written when it can be. Nothing here fails, and nothing here allocates.

mod buffer;

use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::allocator;
use buffer::{Buffer, Taken};

/// How many bytes are written at once.
const CHUNK: usize = 4096;
/// The stack of the log's thread, in bytes.
const STACK: usize = 128 << 10;
/// How long the end of the program waits for a log that is not read.
const PATIENCE: Duration = Duration::from_millis(500);

static LOG: Log = Log {
    state: Mutex::new(State { buffer: Buffer::new(), has_thread: false, writes: false }),
    changed: Condvar::new(),
};

/// Where all lines go.
struct Log {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    buffer: Buffer,
    has_thread: bool,
    /// The thread has taken lines out that are not written yet.
    writes: bool,
}

/// Has the messages of the library written, from errors alone (0) to everything. `UDM_LOG` names levels for parts of it
/// (`udm_export=debug`).
pub(crate) fn start(level: usize) {
    const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];
    let level = LEVELS[level.min(LEVELS.len() - 1)];
    let filter = EnvFilter::try_from_env("UDM_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(Lines)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .without_time()
        // It would say on stderr that stderr cannot be written.
        .log_internal_errors(false)
        .init();
}

/// Writes a line.
pub(crate) fn say(line: &str) {
    LOG.put(&[line.as_bytes(), b"\n"]);
}

/// From here on a thread writes the lines, and nobody waits for it: for a server. Panics go by it too.
///
/// # Errors
/// When the system gives no thread; then each line is written by the thread that says it.
pub(crate) fn start_thread() -> io::Result<()> {
    let mut state = LOG.lock();
    state.buffer.reserve();
    let thread = thread::Builder::new().name("udm-log".into()).stack_size(STACK);
    thread.spawn(|| LOG.write_for_ever())?;
    state.has_thread = true;
    drop(state);
    std::panic::set_hook(Box::new(|panic| {
        allocator::end_if_short();
        let thread = thread::current();
        let trace = std::backtrace::Backtrace::capture();
        say(&format!("thread '{}' {panic}", thread.name().unwrap_or("without a name")));
        if trace.status() == std::backtrace::BacktraceStatus::Captured {
            say(&trace.to_string());
        }
    }));
    Ok(())
}

/// Waits until all lines are written, or half a second: for the end of the program.
pub(crate) fn finish() {
    let end = Instant::now() + PATIENCE;
    let mut state = LOG.lock();
    while state.has_thread && (state.writes || !state.buffer.is_empty()) {
        let Some(left) = end.checked_duration_since(Instant::now()) else { return };
        state = LOG.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
    }
}

impl Log {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a line, in parts.
    fn put(&self, parts: &[&[u8]]) {
        let mut state = self.lock();
        if state.has_thread {
            state.buffer.put(parts);
            self.changed.notify_all();
        } else {
            // Lines of several threads stay whole, as the lock is held.
            for part in parts {
                let _ = write_all(part);
            }
        }
    }

    /// What the log's thread does.
    fn write_for_ever(&self) {
        let mut chunk = [0; CHUNK];
        let mut state = self.lock();
        loop {
            let taken = state.buffer.take(&mut chunk);
            let (Taken::Lines(len) | Taken::Notice { len, .. }) = taken else {
                self.changed.notify_all();
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            state.writes = true;
            drop(state);
            let written = write_all(&chunk[..len]);
            state = self.lock();
            state.writes = false;
            match (written, taken) {
                (Ok(()), Taken::Notice { lost, .. }) => state.buffer.told(lost),
                (Ok(()), _) => {}
                (Err((_, error)), Taken::Notice { .. }) => state.buffer.lose(&[], error),
                (Err((unwritten, error)), _) => state.buffer.lose(&chunk[len - unwritten..len], error),
            }
        }
    }
}

/// Writes all of `bytes` to stderr, however long that takes; what is left of them when it cannot be.
fn write_all(mut bytes: &[u8]) -> Result<(), (usize, Errno)> {
    let stderr = io::stderr();
    while !bytes.is_empty() {
        match rustix::io::write(stderr.as_fd(), bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::INTR) => {}
            // Whoever shares it with us has made it so.
            Err(Errno::AGAIN) => {
                let _ = poll(&mut [PollFd::from_borrowed_fd(stderr.as_fd(), PollFlags::OUT)], None);
            }
            Err(error) => return Err((bytes.len(), error)),
        }
    }
    Ok(())
}

/// What `tracing` writes to: it has each line whole.
struct Lines;

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        Self
    }
}

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        LOG.put(&[line]);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
