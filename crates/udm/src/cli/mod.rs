//! The command line: what can be asked for, and how an answer or a failure is told.
//!
//! Exit status: 0 done, 1 the work failed, 2 the request was wrong. Data goes to stdout, messages to stderr.

mod args;
mod convert;
mod device;
mod dm;
mod failure;
mod luks;

pub use args::*;
pub use convert::*;
pub use device::*;
pub(crate) use device::{is_plain, read_secret, read_table};
pub use dm::*;
pub use failure::Failure;
pub use luks::*;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};
use tracing_subscriber::EnvFilter;

use crate::commands;

/// Runs the program that `udm` is.
pub fn main() -> ExitCode {
    let matches = Cli::command().get_matches();
    let mut cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    if let (Command::Convert(args), Some(matches)) = (&mut cli.command, matches.subcommand_matches("convert"))
    {
        args.given = Given::of(matches);
    }
    // A service says what happens; what is done at a prompt says what it was asked for.
    let level = if matches!(cli.command, Command::Serve(_)) { 2 } else { 1 };
    start_log(if cli.quiet { 0 } else { level + usize::from(cli.verbose) });
    match run(cli.command, cli.json, cli.quiet) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.tell(cli.json);
            failure.code()
        }
    }
}

fn run(command: Command, json: bool, quiet: bool) -> Result<(), Failure> {
    match command {
        Command::Quickstart(args) => commands::quickstart::run(&args, json),
        Command::Serve(args) => commands::serve::run(&args, json),
        Command::Read(args) => commands::read::run(&args),
        Command::Write(args) => commands::write::run(&args, json),
        Command::Convert(args) => commands::convert::run(&args, json),
        Command::Table(args) => commands::table::run(&args, json),
        Command::Dm(args) => commands::dm::run(&args, json),
        Command::Luks(args) => commands::luks::run(&args, json, quiet),
        Command::Ciphers => commands::ciphers::run(json),
        Command::Verify(args) => commands::verify::run(&args, json),
        Command::Bench(args) => commands::bench::run(&args, json),
        Command::Completions(args) => commands::manual::completions(args.shell),
        Command::Man(args) => commands::manual::man(args.directory.as_deref()),
    }
}

/// Messages of the library go to stderr, from errors alone (0) to everything. `UDM_LOG` names levels for parts of it
/// (`udm_export=debug`).
fn start_log(level: usize) {
    const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];
    let level = LEVELS[level.min(LEVELS.len() - 1)];
    let filter = EnvFilter::try_from_env("UDM_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .without_time()
        .init();
}

/// Prints a line of data. A reader that has gone away ends the program's work, not its manners.
pub(crate) fn print(line: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")
        .and_then(|()| out.flush())
        .map_err(|error| Failure::work(format!("stdout: {error}")))
}

/// A number of bytes for a person: `1.5 MiB`.
pub(crate) fn human(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let power = UNITS.len().min((bytes.max(1).ilog2() / 10) as usize + 1) - 1;
    let number = bytes as f64 / (1u64 << (10 * power)) as f64;
    if bytes.is_multiple_of(1 << (10 * power)) {
        format!("{number:.0} {}", UNITS[power])
    } else {
        format!("{number:.1} {}", UNITS[power])
    }
}
