//! A program under bad conditions: little memory, descriptors that are closed or take nothing, a full disk, signals.
//!
//! `Condition` says how the program is started, `run` runs it to its end, and `verdict` judges the end by itself. What must be
//! in the files then is the matter of `rows`, and `place` has the files.

mod cell;
pub mod place;
pub mod rows;

pub use cell::{Cells, Ordinary};

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long a run may take before it counts as hung.
pub const LIMIT: Duration = Duration::from_secs(30);
/// How often a run is looked at.
const LOOK: Duration = Duration::from_millis(1);

/// What is bad.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Condition {
    /// Nothing.
    Ordinary,
    /// The address space has at most so many KiB.
    Memory(u64),
    /// This descriptor is closed.
    Closed(u8),
    /// The three of them are.
    AllClosed,
    /// This one is a pipe whose reader has gone.
    Unread(u8),
    /// This one is a file on a disk that is full.
    Full(u8),
    /// Stdout and stderr are.
    BothFull,
    /// No file may have more than so many bytes.
    DiskFull(u64),
    /// This signal comes after this time; at a server, after it has greeted a client.
    Signal(Signal, Duration),
}

impl Condition {
    /// The words of the shell that make it so, before and behind the command.
    fn shell(self) -> (String, &'static str) {
        match self {
            Self::Memory(kib) => (format!("ulimit -v {kib}; "), ""),
            Self::DiskFull(bytes) => (format!("ulimit -f {}; ", bytes / 512), ""),
            Self::Closed(0) => (String::new(), " <&-"),
            Self::Closed(1) => (String::new(), " >&-"),
            Self::Closed(_) => (String::new(), " 2>&-"),
            Self::AllClosed => (String::new(), " <&- >&- 2>&-"),
            Self::Full(1) => (String::new(), " >/dev/full"),
            Self::Full(_) => (String::new(), " 2>/dev/full"),
            Self::BothFull => (String::new(), " >/dev/full 2>/dev/full"),
            Self::Ordinary | Self::Unread(_) | Self::Signal(..) => (String::new(), ""),
        }
    }

    /// Whether what the program writes to stdout arrives.
    pub fn has_stdout(self) -> bool {
        !matches!(self, Self::Closed(1) | Self::AllClosed | Self::Unread(1) | Self::Full(1) | Self::BothFull)
    }

    /// Whether what it writes to stderr does.
    fn has_stderr(self) -> bool {
        !matches!(self, Self::Closed(2) | Self::AllClosed | Self::Unread(2) | Self::Full(2) | Self::BothFull)
    }

    /// The signal that the program may die by.
    fn signal(self) -> Option<Signal> {
        match self {
            Self::Signal(signal, _) => Some(signal),
            Self::Unread(1) => Some(Signal::PIPE),
            _ => None,
        }
    }
}

/// How a run ended.
pub struct Outcome {
    /// Its status; none where it hung, and was killed.
    pub status: Option<ExitStatus>,
    /// What arrived of its stdout.
    pub stdout: Vec<u8>,
    /// What arrived of its stderr.
    pub stderr: String,
    /// Whether it greeted a client, where it was to serve some.
    pub greeted: bool,
    /// How long it ran.
    pub took: Duration,
}

/// What is to be run.
#[derive(Clone, Copy)]
pub struct Run<'a> {
    /// The program with its first words.
    pub program: &'a [&'a str],
    /// The other words.
    pub words: &'a [String],
    /// Where it may make temporary files.
    pub temporary: &'a Path,
    /// Where it serves NBD clients, if it is to be a server until it has greeted one.
    pub socket: Option<&'a Path>,
    /// How long it may take.
    pub limit: Duration,
}

/// The end of a pipe that nobody reads.
fn unread() -> Stdio {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    writer.into()
}

/// Runs a program to its end under a condition.
///
/// # Panics
/// When it cannot be started.
pub fn run(what: Run<'_>, condition: Condition) -> Outcome {
    let (before, behind) = condition.shell();
    let stdio = |number| if condition == Condition::Unread(number) { unread() } else { Stdio::piped() };
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{before}exec \"$0\" \"$@\"{behind}")]).args(what.program).args(what.words);
    command.env("TMPDIR", what.temporary).env_remove("UDM_LOG").stdin(Stdio::null());
    // Where descriptors are closed, the log says all that it can, and none of it may get into a file.
    if matches!(condition, Condition::Closed(_) | Condition::AllClosed) {
        command.env("UDM_LOG", "trace");
    }
    let begin = Instant::now();
    let mut child = command.stdout(stdio(1)).stderr(stdio(2)).spawn().expect("a shell");
    let all = |pipe: Option<Box<dyn Read + Send>>| {
        let mut bytes = Vec::new();
        pipe.map(|mut pipe| pipe.read_to_end(&mut bytes));
        bytes
    };
    let (out, err) = (child.stdout.take(), child.stderr.take());
    thread::scope(|scope| {
        let out = scope.spawn(move || all(out.map(|pipe| Box::new(pipe) as _)));
        let err = scope.spawn(move || all(err.map(|pipe| Box::new(pipe) as _)));
        let (status, greeted) = wait(&mut child, what, condition, begin);
        let took = begin.elapsed();
        let stderr = String::from_utf8_lossy(&err.join().expect("a reader")).into_owned();
        Outcome { status, stdout: out.join().expect("a reader"), stderr, greeted, took }
    })
}

/// Waits for the end, and sends what ends it: the status, and whether it greeted a client.
fn wait(
    child: &mut Child,
    what: Run<'_>,
    condition: Condition,
    begin: Instant,
) -> (Option<ExitStatus>, bool) {
    let mut signal = match condition {
        Condition::Signal(signal, after) => Some((signal, after)),
        _ => what.socket.map(|_| (Signal::TERM, Duration::ZERO)),
    };
    let mut greeted = false;
    loop {
        if let Some(status) = child.try_wait().expect("a child") {
            return (Some(status), greeted);
        }
        if begin.elapsed() > what.limit {
            child.kill().expect("a child");
            child.wait().expect("a child");
            return (None, greeted);
        }
        if let Some(socket) = what.socket {
            greeted |= greets(socket);
        }
        let is_ready = what.socket.is_none() || greeted;
        if is_ready && let Some((number, _)) = signal.take_if(|(_, after)| begin.elapsed() >= *after) {
            // It has not been waited for, so it is still this process.
            let _ = kill_process(Pid::from_child(child), number);
        }
        thread::sleep(LOOK);
    }
}

/// Whether an NBD server says its first word there.
fn greets(socket: &Path) -> bool {
    let Ok(mut client) = UnixStream::connect(socket) else { return false };
    let mut word = [0; 8];
    client.set_read_timeout(Some(Duration::from_secs(1))).is_ok()
        && client.read_exact(&mut word).is_ok()
        && &word == b"NBDMAGIC"
}

/// How a program may end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// By exit status 0.
    Done,
    /// By another exit status.
    Error(i32),
    /// By the signal that came.
    Dies(i32),
}

/// Judges the end of a run, without its files.
///
/// # Errors
/// What is wrong with it.
pub fn verdict(outcome: &Outcome, condition: Condition) -> Result<Verdict, String> {
    let status = outcome.status.ok_or("it hangs")?;
    if let Some(signal) = status.signal() {
        let is_sent = condition.signal().is_some_and(|sent| sent.as_raw() == signal);
        return if is_sent { Ok(Verdict::Dies(signal)) } else { Err(format!("it dies by signal {signal}")) };
    }
    if outcome.stderr.contains("panicked") {
        return Err("it panics".into());
    }
    match status.code() {
        Some(0) => Ok(Verdict::Done),
        Some(code @ (1 | 2)) => {
            if condition.has_stderr() && outcome.stderr.matches("udm: ").count() != 1 {
                return Err("it does not say in one sentence what is wrong".into());
            }
            Ok(Verdict::Error(code))
        }
        code => Err(format!("its exit status is {code:?}")),
    }
}
