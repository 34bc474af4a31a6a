//! `nbd-tester-client`, with which the authors of NBD's first server test that server, as a client of ours.
//!
//! Its parts have the names that they have in that server's test suite. Those that are missing here test what we have
//! not: its configuration files (`dirconfig`, `cfgnew`), trees of files, inetd, TLS, and its own client `nbd-client`.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::served::{Served, Setup};
use super::source::{self, Got, Tester};
use crate::done::Done;
use crate::run;
use crate::scratch::Scratch;

/// The bytes of a volume that is read or written once, 1 KiB a request, in MiB.
const SMALL_MIB: u64 = 4;
/// The bytes that the transaction logs are about, in MiB.
const LOGGED_MIB: u64 = 50;
/// How long one part may take.
const LIMIT: Duration = Duration::from_mins(2);
/// How many lines of a part are shown when it did not go as it must.
const SHOWN: usize = 5;

/// One call of the program.
struct Part {
    name: &'static str,
    words: &'static [&'static str],
    /// The transaction log that it plays.
    log: Option<&'static str>,
}

impl Part {
    const fn new(name: &'static str, words: &'static [&'static str]) -> Self {
        Self { name, words, log: None }
    }
}

/// Those that any volume will do for.
const PARTS: &[Part] = &[
    Part::new("cfg1", &[]),
    Part::new("write", &["-w"]),
    Part::new("flush", &["-w", "-f"]),
    Part::new("cfgsize", &["-o"]),
    Part::new("handshake", &["-h"]),
];
/// For an export that cannot be written to.
const READ_ONLY: Part = Part::new("cfgmulti", &[]);
/// A write that must be refused.
const REFUSED: Part = Part::new("rowrite", &["-w", "-F"]);
const WRITE: Part = Part::new("write", &["-w"]);
/// They begin with a volume of zeros. The second one has requests of up to 48 MiB.
const INTEGRITY: Part = Part { name: "integrity", words: &["-i"], log: Some("integrity-test.tr") };
const HUGE: Part = Part { name: "integrityhuge", words: &["-i"], log: Some("integrityhuge-test.tr") };

/// The way to a server.
#[derive(Clone, Copy)]
enum Way {
    Unix,
    Tcp,
}

/// The step of the checks, or why there is no such program.
///
/// # Errors
/// When a part does not go as it must.
pub fn step() -> Result<Done> {
    let tester = match source::tester()? {
        Got::Ready(tester) => tester,
        Got::Absent(why) => return Ok(Done::Skipped(why)),
    };
    let scratch = Scratch::new("udm-nbd-tester")?;
    let setup = Setup::new(scratch.path())?;
    let run = Run { tester: &tester, setup: &setup, folder: scratch.path() };
    run.in_memory()?;
    run.encrypted()?;
    Ok(Done::Checked)
}

struct Run<'a> {
    tester: &'a Tester,
    setup: &'a Setup<'a>,
    folder: &'a Path,
}

impl Run<'_> {
    fn in_memory(&self) -> Result<()> {
        let volume = format!("raw:ram:{SMALL_MIB}M");
        self.small("memory", &[&volume])?;
        let volume = format!("raw:ram:{LOGGED_MIB}M");
        for part in [&INTEGRITY, &HUGE] {
            let served = self.setup.serve(&[&volume])?;
            self.passes("memory", part, &served, Way::Unix)?;
            served.end_without_complaint()?;
        }
        Ok(())
    }

    fn encrypted(&self) -> Result<()> {
        let disk = ["disk", "--key-file", "key"];
        self.setup.format(SMALL_MIB)?;
        self.small("LUKS2", &disk)?;
        self.setup.format(LOGGED_MIB)?;
        // What was never written decrypts to noise, and the log's first reads expect zeros.
        let served = self.setup.serve(&disk)?;
        self.fails("LUKS2, not zeroed", &INTEGRITY, &served, "Bad reply data")?;
        served.end()?;
        for part in [&INTEGRITY, &HUGE] {
            self.setup.zero(LOGGED_MIB)?;
            let served = self.setup.serve(&disk)?;
            self.passes("LUKS2", part, &served, Way::Tcp)?;
            served.end_without_complaint()?;
        }
        Ok(())
    }

    /// What takes a small volume: all of it, also read-only.
    fn small(&self, volume: &str, device: &[&str]) -> Result<()> {
        let served = self.setup.serve(device)?;
        for way in [Way::Unix, Way::Tcp] {
            for part in PARTS {
                self.passes(volume, part, &served, way)?;
            }
        }
        served.end_without_complaint()?;
        let served = self.setup.serve(&[device, &["--read-only"]].concat())?;
        for part in [&READ_ONLY, &REFUSED] {
            self.passes(volume, part, &served, Way::Unix)?;
        }
        served.end_without_complaint()?;
        // Beside each stands one that must fail. Such a client leaves in the middle of its requests.
        let served = self.setup.serve(&[device, &["--read-only"]].concat())?;
        self.fails(&format!("{volume}, read-only"), &WRITE, &served, "Received error from server: 1 ")?;
        served.end()?;
        let served = self.setup.serve(device)?;
        self.fails(&format!("{volume}, writable"), &REFUSED, &served, "Could not run test")?;
        served.end().map(drop)
    }

    fn passes(&self, volume: &str, part: &Part, served: &Served, way: Way) -> Result<()> {
        let begin = Instant::now();
        let (status, told) = self.play(part, served, way)?;
        let way = if matches!(way, Way::Unix) { "Unix socket" } else { "TCP" };
        ensure!(status == Some(0), "{} on {volume}, {way}: exit status {status:?}\n{told}", part.name);
        println!("{:<13} {volume}, {way}: passed in {:.2} s", part.name, begin.elapsed().as_secs_f32());
        Ok(())
    }

    /// It must fail, with these words.
    fn fails(&self, volume: &str, part: &Part, served: &Served, words: &str) -> Result<()> {
        let (status, told) = self.play(part, served, Way::Unix)?;
        if status == Some(0) {
            bail!("{} on {volume}: passes where it must fail, and so shows nothing elsewhere", part.name);
        }
        ensure!(told.contains(words), "{} on {volume}: fails otherwise than it must:\n{told}", part.name);
        println!("{:<13} {volume}: fails, as it must", part.name);
        Ok(())
    }

    /// Plays one part: its exit status, and the end of what it says.
    fn play(&self, part: &Part, served: &Served, way: Way) -> Result<(Option<i32>, String)> {
        let mut client = Command::new(&self.tester.program);
        client.args(part.words).args(["-N", &served.export]).current_dir(self.folder);
        // Or it would say so for each request.
        client.env("NBD_TEST_SILENT", "1");
        if let Some(log) = part.log {
            client.arg("-t").arg(self.tester.logs.join(log));
        }
        match way {
            Way::Unix => client.args(["-u", "socket"]),
            Way::Tcp => client.args(["127.0.0.1", &served.port]),
        };
        let mut client = run::within(LIMIT, &client);
        let output = client.output().with_context(|| format!("cannot start `{}`", run::line(&client)))?;
        Ok((output.status.code(), last_lines(&[output.stdout, output.stderr].concat())))
    }
}

/// The last lines of a text, in which a carriage return ends a line, too.
fn last_lines(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let lines: Vec<&str> = text.split(['\r', '\n']).filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(SHOWN)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_those_that_say_something() {
        assert_eq!(last_lines(b"1: 1 \r1: 2 \r\n\nend\n"), "1: 1 \n1: 2 \nend");
        assert_eq!(last_lines(b"a\nb\nc\nd\ne\nf\n"), "b\nc\nd\ne\nf");
        assert_eq!(last_lines(b""), "");
    }
}
