//! Asks a server by its control socket.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::wire::{Answer, Request, read_answer};
use crate::cli::Failure;

/// Sends `request` to the server at `path`, and waits for its answer, however long a suspend takes.
pub(crate) fn ask(path: &Path, request: &Request) -> Result<Answer, Failure> {
    let fail = |what: &str, error: &io::Error| {
        Failure::work(format!(
            "{}: {what}: {error}; is it the --control socket of a udm serve that runs?",
            path.display()
        ))
    };
    let mut server = UnixStream::connect(path).map_err(|error| fail("cannot connect", &error))?;
    request.write(&mut server).map_err(|error| fail("cannot ask", &error))?;
    read_answer(&server).map_err(|error| fail("no answer", &error))
}
