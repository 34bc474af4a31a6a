//! A folder for the files of a command that leaves nothing behind: it goes with its owner, and when a signal ends the program.

use std::fs;
use std::path::Path;
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;
use tempfile::TempDir;

use crate::cli::Failure;

/// The stack of the thread that hears signals, in bytes.
const STACK: usize = 256 << 10;

/// A folder in `TMPDIR`, or in /tmp.
pub(crate) struct Scratch(TempDir);

impl Scratch {
    /// A new folder, whose name begins with `prefix`.
    ///
    /// # Errors
    /// When it cannot be made, or the system gives no thread that hears of signals.
    pub(crate) fn new(prefix: &str) -> Result<Self, Failure> {
        let failed = |error| {
            let place = std::env::temp_dir();
            Failure::work(format!(
                "{}: no folder can be made here: {error}; name another with TMPDIR",
                place.display()
            ))
        };
        let folder = TempDir::with_prefix(prefix).map_err(failed)?;
        remove_at_signals(folder.path())?;
        Ok(Self(folder))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

/// Removes the folder when a signal comes that ends the program, and has it end the program.
fn remove_at_signals(folder: &Path) -> Result<(), Failure> {
    let ignored = ignored();
    let ends = [SIGINT, SIGHUP, SIGTERM].into_iter().filter(|signal| ignored >> (signal - 1) & 1 == 0);
    let mut signals =
        Signals::new(ends).map_err(|error| Failure::work(format!("catching signals: {error}")))?;
    let folder = folder.to_owned();
    let remove = move || {
        if let Some(signal) = signals.forever().next() {
            // What the command makes there at this moment may keep the folder from going at once.
            let _ = (0..3).any(|_| fs::remove_dir_all(&folder).is_ok());
            let _ = emulate_default_handler(signal);
        }
    };
    let thread = thread::Builder::new().name("udm-signals".into()).stack_size(STACK);
    thread.spawn(remove).map(drop).map_err(|error| Failure::thread(&error))
}

/// The signals that the process was told to ignore, a bit each from 1 on (`proc_pid_status(5)`); none where that cannot
/// be read.
pub(crate) fn ignored() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    line.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).unwrap_or(0)
}
