//! Asking the person at the terminal before something is lost.

use std::fs::File;
use std::path::Path;

use udm_luks::signature::{Found, probe};

use crate::cli::Failure;
use crate::terminal::{Echo, Terminal};

/// Asks whether to go on, after `warning`. Only YES, in capital letters and nothing else, is an answer that goes on.
pub(super) fn confirm(warning: &str) -> Result<(), Failure> {
    let Some(terminal) = Terminal::open() else {
        let would_do = "there is no terminal to ask whether to go on; --batch-mode goes on without asking";
        return Err(Failure::request(format!("{warning}: {would_do}")));
    };
    match terminal.ask(&format!("{warning}.\nGo on? Type YES: "), Echo::On) {
        Ok(answer) if answer[..] == *b"YES" => Ok(()),
        Ok(_) => Err(Failure::request("nothing was changed, as the answer was not YES")),
        Err(error) => Err(Failure::request(format!("nothing was changed: {error}"))),
    }
}

/// What `path` says that it is, apart from what is called `expected`, in blkid's words: "p has the signature ext4 (an ext4
/// file system)". Nothing, where it has no signature or cannot be read.
pub(super) fn signatures(path: &Path, expected: Option<&str>) -> Option<String> {
    let found = File::open(path).and_then(|file| probe(&file)).unwrap_or_default();
    let others =
        found.iter().map(|Found { signature, .. }| signature).filter(|other| Some(other.name) != expected);
    let told: Vec<_> = others.map(|other| format!("{} ({})", other.name, other.title)).collect();
    match &told[..] {
        [] => None,
        [one] => Some(format!("{} has the signature {one}", path.display())),
        more => Some(format!("{} has the signatures {}", path.display(), more.join(", "))),
    }
}
