//! Asking the person at the terminal before something is lost.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};

use crate::cli::Failure;

/// Asks whether to go on, after `warning`. Only YES, in capital letters, is an answer that goes on.
pub(super) fn confirm(warning: &str) -> Result<(), Failure> {
    let nobody = |_| {
        let would_do = "there is no terminal to ask whether to go on; --batch-mode goes on without asking";
        Failure::request(format!("{warning}: {would_do}"))
    };
    let mut terminal = File::options().read(true).write(true).open("/dev/tty").map_err(nobody)?;
    write!(terminal, "{warning}.\nGo on? Type YES: ").map_err(nobody)?;
    let mut answer = String::new();
    BufReader::new(terminal).read_line(&mut answer).map_err(nobody)?;
    match answer.trim_end() {
        "YES" => Ok(()),
        _ => Err(Failure::request("nothing was changed, as the answer was not YES")),
    }
}
