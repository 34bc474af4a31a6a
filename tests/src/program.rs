//! The program `udm`: run to its end, or served in the background.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};

/// How long a test waits for something that must come. It measures nothing: only what never comes takes so long.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// How long a server may take for what waits for nobody. One that waits in vain for a client or a device does so for 30
/// seconds; a bound that is much shorter would measure how busy the machine and its disk are.
pub const SOON: Duration = Duration::from_secs(20);

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
    assert!(
        path.exists(),
        "{} is missing: build it (cargo build -p udm-cli), or set UDM_BIN",
        path.display()
    );
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

    /// What it says there from now on.
    ///
    /// # Panics
    /// When stderr is no pipe, or was taken before.
    pub fn log(&mut self) -> Log {
        Log::of(self.stderr().expect("a pipe"))
    }

    /// From now on it has the descriptors that it has, and gets no other. Whoever starts it with such a limit would have
    /// to know how many it needs itself, and how many for each client.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn leave_no_descriptor(&self) {
        let open = std::fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("a process that runs");
        let numbers = open.map(|fd| fd.expect("a descriptor").file_name().into_string().expect("a number"));
        let open: Vec<u64> = numbers.map(|number| number.parse().expect("a number")).collect();
        // The system gives the least number that is free, and none from the limit on.
        self.limit_descriptors((0..=open.len() as u64).find(|number| !open.contains(number)));
    }

    /// It gets as many descriptors as this process again.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn allow_descriptors(&self) {
        self.limit_descriptors(getrlimit(Resource::Nofile).current);
    }

    fn limit_descriptors(&self, current: Option<u64>) {
        let limit = Rlimit { current, ..getrlimit(Resource::Nofile) };
        prlimit(Some(Pid::from_child(&self.child)), Resource::Nofile, limit).expect("a process of ours");
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

/// What a program says on stderr. A thread reads it, so that the program never waits for the test.
pub struct Log {
    lines: mpsc::Receiver<String>,
    said: Vec<String>,
}

impl Log {
    /// Begins to read.
    pub fn of(stderr: ChildStderr) -> Self {
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            let lines = BufReader::new(stderr).lines().map_while(Result::ok);
            // A test that has failed takes no more of them.
            lines.map(|line| sender.send(line)).take_while(Result::is_ok).for_each(drop);
        });
        Self { lines, said: Vec::new() }
    }

    /// Waits for the next line with `part` in it.
    ///
    /// # Panics
    /// When it does not come.
    pub fn wait_for(&mut self, part: &str) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let line = self.lines.recv_timeout(end.saturating_duration_since(Instant::now()));
            let line = line.unwrap_or_else(|why| panic!("{part:?} was not said ({why}): {:#?}", self.said));
            self.said.push(line.clone());
            if line.contains(part) {
                return line;
            }
        }
    }

    /// Waits until the program has closed it: all lines.
    pub fn end(mut self) -> Vec<String> {
        self.said.extend(self.lines);
        self.said
    }
}

/// Waits until `program` listens at a Unix socket. Its file is there a moment before that, when nobody can connect yet; and
/// to try it by connecting would use up a server of one client.
///
/// # Panics
/// When the program ends, or does not listen.
pub fn until_it_listens(program: &mut Child, socket: &Path) {
    // The flag of a socket that accepts (`__SO_ACCEPTCON`).
    const LISTENS: u32 = 0x1_0000;
    let listens = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.get(7).is_some_and(|path| Path::new(path) == socket)
            && u32::from_str_radix(words[3], 16).is_ok_and(|flags| flags & LISTENS != 0)
    };
    // Not all paths are text.
    let sockets = || std::fs::read("/proc/net/unix").expect("all sockets");
    let begin = Instant::now();
    while !String::from_utf8_lossy(&sockets()).lines().any(listens) {
        assert!(program.try_wait().expect("a child").is_none(), "it ended before it listened");
        assert!(begin.elapsed() < PATIENCE, "it does not listen at {}", socket.display());
        thread::sleep(Duration::from_millis(5));
    }
}
