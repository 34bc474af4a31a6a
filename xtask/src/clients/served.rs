//! A volume, and `udm serve` in the background with what it says.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::{program, run};

/// The cheapest costs that a passphrase may have.
const COSTS: [&str; 6] = ["--pbkdf", "argon2id", "--pbkdf-force-iterations", "4", "--pbkdf-memory", "32"];
/// The bytes before a LUKS2 volume's data, in MiB.
const HEADER_MIB: u64 = 16;

/// The folder of one run, with the program.
pub struct Setup<'a> {
    udm: PathBuf,
    folder: &'a Path,
}

impl<'a> Setup<'a> {
    /// Builds the program.
    ///
    /// # Errors
    /// When it does not build.
    pub fn new(folder: &'a Path) -> Result<Self> {
        run::run(&mut run::cargo(&["build", "--release", "-p", "udm-cli"]))?;
        fs::write(folder.join("key"), "a passphrase")?;
        Ok(Self { udm: program::release_binary("udm")?, folder })
    }

    /// A file of the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Makes a LUKS2 volume of `mib` MiB as udm makes them by default: `disk`, opened by `key`.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn format(&self, mib: u64) -> Result<()> {
        let _ = fs::remove_file(self.path("disk"));
        let size = format!("{}M", HEADER_MIB + mib);
        let mut command = self.udm(["--quiet", "luks", "format", "disk", "key", "--size", &size]);
        run::run(command.args(COSTS))
    }

    /// Writes zeros to all of `disk`, which has `mib` MiB. Until then it reads as noise: what was never written decrypts to
    /// that.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn zero(&self, mib: u64) -> Result<()> {
        File::create(self.path("zeros"))?.set_len(mib << 20)?;
        let words = ["write", "disk", "--key-file", "key", "--offset", "0", "-i", "zeros"];
        run::run(&mut self.udm(words))
    }

    /// Serves `words` on a Unix socket and on the loopback.
    ///
    /// # Errors
    /// When it ends before it serves.
    pub fn serve(&self, words: &[&str]) -> Result<Served> {
        let log = self.path("log");
        let socket = self.path("socket").display().to_string();
        let mut command = self.udm(["serve", "--nbd", &socket, "--nbd", "127.0.0.1:0"]);
        command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(File::create(&log)?);
        let mut child = command.spawn().with_context(|| format!("cannot start `{}`", run::line(&command)))?;
        let told = child.stdout.take().context("no pipe")?;
        let uris: Vec<String> = BufReader::new(told).lines().take(2).map_while(Result::ok).collect();
        let mut served =
            Served { child, log, uri: String::new(), export: String::new(), port: String::new() };
        let address = uris.get(1).and_then(|uri| parts(uri));
        let Some((port, export)) = address else {
            bail!("`{}` does not serve: {}", run::line(&command), served.log());
        };
        (served.port, served.export) = (port.to_owned(), export.to_owned());
        served.uri.clone_from(&uris[0]);
        Ok(served)
    }

    fn udm(&self, words: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let mut command = Command::new(&self.udm);
        command.args(words).current_dir(self.folder);
        command
    }
}

/// The port and the export of an `nbd://HOST:PORT/EXPORT`.
fn parts(uri: &str) -> Option<(&str, &str)> {
    uri.strip_prefix("nbd://")?.rsplit_once(':')?.1.split_once('/')
}

/// A server in the background, killed when it is dropped.
pub struct Served {
    child: Child,
    log: PathBuf,
    /// The URI of the export on the Unix socket.
    pub uri: String,
    /// The export's name.
    pub export: String,
    /// The port on the loopback.
    pub port: String,
}

impl Served {
    /// Ends the server. It must end well, and have complained of none of its clients.
    ///
    /// # Errors
    /// When it does not, or has.
    pub fn end_without_complaint(self) -> Result<()> {
        let log = self.end()?;
        let complaints: Vec<&str> = log.lines().filter(|line| is_complaint(line)).collect();
        ensure!(complaints.is_empty(), "the server complained of good clients:\n{}", complaints.join("\n"));
        Ok(())
    }

    /// Ends the server, which must end well: what it said.
    ///
    /// # Errors
    /// When it ends otherwise.
    pub fn end(mut self) -> Result<String> {
        let pid = self.child.id().to_string();
        run::run(Command::new("bash").args(["-c", "kill -TERM \"$0\"", &pid]))?;
        let status = self.child.wait()?;
        ensure!(status.success(), "the server ended with {status}:\n{}", self.log());
        Ok(self.log())
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is_complaint(line: &str) -> bool {
    line.split_whitespace().next().is_none_or(|level| level != "INFO")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_port_and_an_export() {
        assert_eq!(parts("nbd://127.0.0.1:39739/volume"), Some(("39739", "volume")));
        assert_eq!(parts("nbd+unix:///volume?socket=socket"), None);
    }

    #[test]
    fn all_but_plain_news_is_a_complaint() {
        assert!(!is_complaint(" INFO a client connected peer=\"socket\""));
        assert!(is_complaint(" WARN hung up on a client"));
        assert!(is_complaint("thread 'udm' panicked at"));
    }
}
