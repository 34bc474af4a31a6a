//! Programs that others wrote.

use std::ffi::OsStr;
use std::process::{Command, Output, Stdio};

/// Runs a judge and gives what it printed; its failure is the test's.
///
/// # Panics
/// When it is missing or fails: `cargo xtask deps` installs it.
pub fn judge(program: &str, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> String {
    let output = try_judge(program, args);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program}: {}\n{out}\n{err}", output.status);
    out.into_owned()
}

/// The same, whether it fails or not.
///
/// # Panics
/// When it is missing.
pub fn try_judge(program: &str, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Output {
    // Debian has some of the judges where only root looks.
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let output = Command::new(program).args(args).env("PATH", path).stdin(Stdio::null()).output();
    output
        .unwrap_or_else(|error| panic!("{program} does not run ({error}): install it with cargo xtask deps"))
}
