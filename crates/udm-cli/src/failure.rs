//! How the program fails: with a sentence on stderr and an exit status.

use std::io;
use std::process::ExitCode;

use serde_json::json;
use signal_hook::consts::SIGPIPE;
use udm_dm::table::TableError;

use crate::log;
use udm::device::DeviceError;

/// Why the program ends without having done what it was asked.
#[derive(Debug)]
pub struct Failure {
    status: u8,
    text: String,
    table: Option<Box<TableError>>,
    /// Whether nobody reads stdout any more.
    is_unread: bool,
}

impl Failure {
    /// The work failed: exit status 1.
    #[expect(clippy::needless_pass_by_value, reason = "so that `map_err` takes it by name")]
    pub fn work(text: impl ToString) -> Self {
        Self { status: 1, text: text.to_string(), table: None, is_unread: false }
    }

    /// The request was wrong: exit status 2.
    #[expect(clippy::needless_pass_by_value, reason = "so that `map_err` takes it by name")]
    pub fn request(text: impl ToString) -> Self {
        Self { status: 2, text: text.to_string(), table: None, is_unread: false }
    }

    /// The system gives no thread: exit status 1.
    pub fn thread(error: &io::Error) -> Self {
        Self::work(format!(
            "cannot start a thread: {error}; raise the limit of threads (ulimit -u) or of memory (ulimit -v), or end other \
             programs"
        ))
    }

    /// Stdout could not be written: exit status 1. Where its reader has gone, the program ends by SIGPIPE, as others do.
    pub fn stdout(error: &io::Error) -> Self {
        let is_unread = error.kind() == io::ErrorKind::BrokenPipe;
        Self { is_unread, ..Self::work(format!("writing to stdout: {error}")) }
    }

    /// Ends the program: says what failed, and gives the exit status.
    pub fn end(&self, json: bool) -> ExitCode {
        if self.is_unread {
            log::finish();
            // The shell knows this end, and says nothing of it.
            let _ = signal_hook::low_level::emulate_default_handler(SIGPIPE);
        }
        self.tell(json);
        log::finish();
        self.code()
    }

    /// The exit status.
    pub fn code(&self) -> ExitCode {
        self.status.into()
    }

    /// Says it on stderr; for a program as one line of JSON.
    pub fn tell(&self, json: bool) {
        if !json {
            return log::say(&format!("udm: {}", self.text));
        }
        let mut told = json!({ "error": self.text, "status": self.status });
        if let Some(table) = &self.table {
            told["error"] = json!(table.message());
            told["line"] = json!(table.line());
            told["column"] = json!(table.column());
            told["found"] = json!(table.found());
            told["hint"] = json!(table.hint());
        }
        log::say(&told.to_string());
    }
}

impl From<TableError> for Failure {
    fn from(error: TableError) -> Self {
        let text = error.to_string();
        Self { table: Some(Box::new(error)), ..Self::request(text) }
    }
}

impl From<DeviceError> for Failure {
    fn from(error: DeviceError) -> Self {
        match error {
            DeviceError::Table(error) => error.into(),
            error if error.is_request() => Self::request(error),
            error => Self::work(error),
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}
