//! Running other programs, with errors that name the command to repeat.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// What `timeout` exits with when the program had to be ended.
const TIMED_OUT: i32 = 124;
/// What a process exits with that `timeout` had to kill, because it did not end when asked to.
const KILLED: i32 = 128 + 9;

/// The folder of the repository.
pub fn root() -> PathBuf {
    let package = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&package).parent().map_or_else(PathBuf::new, Path::to_path_buf)
}

/// A cargo command in the repository, by the cargo that runs this program. It reads no input.
pub fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root()).stdin(Stdio::null());
    command
}

/// The target triple of this machine.
///
/// # Errors
/// rustc cannot be asked.
pub fn host() -> Result<String> {
    let output = Command::new("rustc").arg("-vV").current_dir(root()).output().context("cannot ask rustc")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc does not say what machine it runs on")?.to_owned())
}

/// `PATH` with the folders of system programs, which an ordinary user's often lacks.
pub fn path_with_system_programs() -> OsString {
    let mut folders: Vec<PathBuf> =
        env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default();
    for folder in ["/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"] {
        if !folders.iter().any(|known| known == Path::new(folder)) {
            folders.push(folder.into());
        }
    }
    env::join_paths(folders).unwrap_or_default()
}

/// The same command, ended after `limit` by coreutils' `timeout`, with all that it has started.
pub fn within(limit: Duration, command: &Command) -> Command {
    wrapped("timeout", &["--kill-after=5".to_owned(), limit.as_secs().to_string()], command)
}

/// The same command, run by `program` with `arguments` of its own.
fn wrapped(program: &str, arguments: &[String], command: &Command) -> Command {
    let mut wrapped = Command::new(program);
    wrapped.args(arguments).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(name, value),
            None => wrapped.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        wrapped.current_dir(folder);
    }
    wrapped.stdin(Stdio::null());
    wrapped
}

/// How much address space a test may take that could grow without end, in bytes.
const MEMORY: u64 = 8 << 30;

/// The same command with a bound on the memory of each process that it starts: a test that grows is to fail, and not to
/// take the machine with it.
pub fn with_bounded_memory(command: &Command) -> Command {
    wrapped("prlimit", &[format!("--as={MEMORY}")], command)
}

/// Runs a command to its end.
///
/// # Errors
/// It could not be started, or it failed; the error names the command.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start `{}`", line(command)))?;
    judge(status.code(), command)
}

/// Makes an error of an exit status (`None`: ended by a signal) that is not success.
///
/// # Errors
/// Whenever the status is not 0.
pub fn judge(status: Option<i32>, command: &Command) -> Result<()> {
    let limited = command.get_program() == "timeout";
    match status {
        Some(0) => Ok(()),
        Some(TIMED_OUT | KILLED) if limited => bail!("did not end in time: `{}`", line(command)),
        Some(status) => bail!("exit status {status} of `{}`", line(command)),
        None => bail!("a signal ended `{}`", line(command)),
    }
}

/// The command as one would type it into a shell, with the variables that were set for it.
pub fn line(command: &Command) -> String {
    let mut line = String::new();
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            let _ = write!(line, "{}={} ", name.to_string_lossy(), quoted(value));
        }
    }
    let program = Path::new(command.get_program());
    let is_cargo = program.file_name() == Some(OsStr::new("cargo"));
    line += &if is_cargo { "cargo".to_owned() } else { quoted(program.as_os_str()) };
    for argument in command.get_args() {
        line.push(' ');
        line += &quoted(argument);
    }
    line
}

fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./=:,+@%".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.into_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_one_would_type_it() {
        let mut command = Command::new("/somewhere/bin/cargo");
        command.args(["clippy", "--", "it's here"]).env("RUSTDOCFLAGS", "-D warnings").env_remove("HOME");
        assert_eq!(line(&command), r"RUSTDOCFLAGS='-D warnings' cargo clippy -- 'it'\''s here'");
    }

    #[test]
    fn a_failing_command_is_an_error_that_names_it() {
        let error = run(Command::new("sh").args(["-c", "exit 7"])).unwrap_err().to_string();
        assert_eq!(error, "exit status 7 of `sh -c 'exit 7'`");
        run(Command::new("sh").args(["-c", "exit 0"])).unwrap();
    }

    #[test]
    fn a_command_that_hangs_is_ended_and_said_to_have_hung() {
        let mut slow = Command::new("sleep");
        slow.arg("60");
        let error = run(&mut within(Duration::from_secs(1), &slow)).unwrap_err().to_string();
        assert!(error.starts_with("did not end in time"), "{error}");
    }
}
