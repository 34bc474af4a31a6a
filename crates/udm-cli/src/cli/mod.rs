//! The command line: what can be asked for, and how an answer or a failure is told.
//!
//! Exit status: 0 done, 1 the work failed, 2 the request was wrong. Data goes to stdout, messages to stderr.

mod args;
mod convert;
mod device;
mod dm;
mod given;
mod input;
mod luks;

pub(crate) use crate::failure::Failure;
pub use args::*;
pub use convert::*;
pub use device::*;
pub(crate) use device::{Named, read_secret, read_table};
pub use dm::*;
pub(crate) use given::{About, Given, refused};
pub(crate) use input::parse_descriptor;
pub use input::{NamedInput, OutputPath};
pub use luks::*;
pub(crate) use udm::human;

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory, FromArgMatches};
use signal_hook::consts::SIGXFSZ;

use crate::{allocator, commands, log, output};

/// Runs the program that `udm` is.
pub fn main() -> ExitCode {
    allocator::start();
    let (cli, given) = match parse() {
        Ok(parsed) => parsed,
        Err(code) => return code,
    };
    if cli.json {
        allocator::tell_json();
    }
    // A file at its limit is an error of the write, and not the program's end.
    let _ = signal_hook::flag::register(SIGXFSZ, Arc::default());
    // A service says what happens; what is done at a prompt says what it was asked for.
    let level = if matches!(cli.command, Command::Serve(_)) { 2 } else { 1 };
    log::start(if cli.quiet { 0 } else { level + usize::from(cli.verbose) });
    match run(cli.command, &given, cli.json, cli.quiet) {
        Ok(()) => log::finish(),
        Err(failure) => return failure.end(cli.json),
    }
    ExitCode::SUCCESS
}

/// What the arguments ask for; or help was printed, or what is wrong with them.
fn parse() -> Result<(Cli, Given), ExitCode> {
    let mut command = Cli::command();
    let told = |error: clap::Error| {
        let printed = error.print();
        if error.use_stderr() {
            return ExitCode::from(error.exit_code() as u8);
        }
        // Help is data, which was asked for.
        match output::stdout().and_then(|_| printed.map_err(|error| Failure::stdout(&error))) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => failure.end(false),
        }
    };
    let matches = command.try_get_matches_from_mut(std::env::args_os()).map_err(told)?;
    if let Err(failure) = input::check_files(&command, &matches) {
        return Err(failure.end(matches.get_flag("json")));
    }
    let mut cli = Cli::from_arg_matches(&matches).map_err(|error| told(error.format(&mut command)))?;
    if let (Command::Convert(args), Some(matches)) = (&mut cli.command, matches.subcommand_matches("convert"))
    {
        args.given = Asked::of(matches);
    }
    Ok((cli, Given::of(&command, &matches)))
}

fn run(command: Command, given: &Given, json: bool, quiet: bool) -> Result<(), Failure> {
    match command {
        Command::Quickstart(args) => commands::quickstart::run(&args, json),
        Command::Serve(args) => commands::serve::run(&args, given, json),
        Command::Read(args) => commands::read::run(&args, given),
        Command::Write(args) => commands::write::run(&args, given, json),
        Command::Convert(args) => commands::convert::run(&args, given, json),
        Command::Table(args) => commands::table::run(&args, given, json),
        Command::Dm(args) => commands::dm::run(&args, json),
        Command::Luks(args) => commands::luks::run(&args, json, quiet),
        Command::Ciphers(args) => commands::ciphers::run(&args, json),
        Command::Verify(args) => commands::verify::run(&args, given, json),
        Command::Bench(args) => commands::bench::run(&args, json),
        Command::Completions(args) => commands::manual::completions(args.shell),
        Command::Man(args) => commands::manual::man(&args),
    }
}

/// Prints a line of data.
pub(crate) fn print(line: &str) -> Result<(), Failure> {
    let mut out = output::stdout()?;
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(|error| Failure::stdout(&error))
}
