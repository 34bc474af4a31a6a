//! The program `udm`: run to its end, or served in the background.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Where the program is: `UDM_BIN`, or beside the tests.
///
/// # Panics
/// When there is none.
pub fn path() -> PathBuf {
    if let Some(path) = std::env::var_os("UDM_BIN") {
        return path.into();
    }
    let mut path = std::env::current_exe().expect("this program");
    path.pop();
    if path.ends_with("deps") {
        path.pop();
    }
    path.push("udm");
    assert!(path.exists(), "{} is missing: build it (cargo build -p udm), or set UDM_BIN", path.display());
    path
}

/// Runs `udm` with `args` to its end.
///
/// # Panics
/// When it cannot be run.
pub fn run(args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Output {
    Command::new(path()).args(args).stdin(Stdio::null()).output().expect("udm runs")
}

/// A server in the background, killed when it is dropped.
pub struct Served {
    child: Child,
    /// The URIs that it printed, one an export.
    pub uris: Vec<String>,
}

impl Served {
    /// Starts `udm serve` with `args` and waits for `exports` URIs on its stdout.
    ///
    /// # Panics
    /// When it ends before it has printed them.
    pub fn start(args: impl IntoIterator<Item = impl AsRef<OsStr>>, exports: usize) -> Self {
        Self::of(Command::new(path()).args(["--quiet", "serve"]).args(args), exports)
    }

    /// Starts `command`, which becomes a server, and waits for `exports` URIs on its stdout.
    ///
    /// # Panics
    /// When it ends before it has printed them.
    pub fn of(command: &mut Command, exports: usize) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut child = child.expect("udm starts");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let uris: Vec<String> = lines.take(exports).map(|line| line.expect("a line of the server")).collect();
        assert_eq!(uris.len(), exports, "the server ended before it served: {:?}", child.wait());
        Self { child, uris }
    }

    /// Serves the table in `table` on a Unix socket beside it.
    pub fn table(table: &Path) -> Self {
        let socket = table.with_extension("sock");
        Self::start(["--table-file".as_ref(), table.as_os_str(), "--nbd".as_ref(), socket.as_os_str()], 1)
    }

    /// The one URI.
    pub fn uri(&self) -> &str {
        &self.uris[0]
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its end of stderr, where that is a pipe.
    pub fn stderr(&mut self) -> Option<ChildStderr> {
        self.child.stderr.take()
    }

    /// How long its threads have had a processor so far.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn processor_time(&self) -> Duration {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.pid())).expect("a process that runs");
        let times = threads.flatten().filter_map(|thread| {
            let text = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
            text.split_whitespace().next()?.parse::<u64>().ok()
        });
        Duration::from_nanos(times.sum())
    }

    /// A line of its `/proc/PID/status`, in KiB.
    ///
    /// # Panics
    /// When there is no such line.
    pub fn status_kib(&self, line: &str) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("a process that runs");
        let found = status.lines().find_map(|text| text.strip_prefix(line)?.strip_prefix(':'));
        let number =
            found.and_then(|text| text.trim().strip_suffix(" kB")).unwrap_or_else(|| panic!("no {line}"));
        number.parse().expect("a number")
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("a process that runs");
    }

    /// Ends it with SIGTERM: its exit status, and how long it took.
    ///
    /// # Panics
    /// When it does not end.
    pub fn stop(self) -> (Option<i32>, Duration) {
        self.end_by(Signal::TERM)
    }

    /// Ends it with a signal: its exit status, and how long it took.
    ///
    /// # Panics
    /// When it does not end.
    pub fn end_by(mut self, signal: Signal) -> (Option<i32>, Duration) {
        let begin = Instant::now();
        self.signal(signal);
        let status = self.child.wait().expect("a process that ends");
        (status.code(), begin.elapsed())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
