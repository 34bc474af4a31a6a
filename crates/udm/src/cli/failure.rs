//! How the program fails: with a sentence on stderr and an exit status.

use std::process::ExitCode;

use serde_json::json;
use udm_dm::table::TableError;

use crate::device::DeviceError;

/// Why the program ends without having done what it was asked.
#[derive(Debug)]
pub struct Failure {
    status: u8,
    text: String,
    table: Option<Box<TableError>>,
}

impl Failure {
    /// The work failed: exit status 1.
    #[expect(clippy::needless_pass_by_value, reason = "so that `map_err` takes it by name")]
    pub fn work(text: impl ToString) -> Self {
        Self { status: 1, text: text.to_string(), table: None }
    }

    /// The request was wrong: exit status 2.
    #[expect(clippy::needless_pass_by_value, reason = "so that `map_err` takes it by name")]
    pub fn request(text: impl ToString) -> Self {
        Self { status: 2, text: text.to_string(), table: None }
    }

    /// The exit status.
    pub fn code(&self) -> ExitCode {
        self.status.into()
    }

    /// Says it on stderr; for a program as one line of JSON.
    pub fn tell(&self, json: bool) {
        if !json {
            return eprintln!("udm: {}", self.text);
        }
        let mut told = json!({ "error": self.text, "status": self.status });
        if let Some(table) = &self.table {
            told["error"] = json!(table.message());
            told["line"] = json!(table.line());
            told["column"] = json!(table.column());
            told["found"] = json!(table.found());
            told["hint"] = json!(table.hint());
        }
        eprintln!("{told}");
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
