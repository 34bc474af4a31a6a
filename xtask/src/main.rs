//! `cargo xtask`: the project's own chores. `cargo xtask --help` lists them; CONTRIBUTING.md says when to use which.

mod fuzz;
mod judges;
mod program;
mod run;
mod scratch;
mod steps;
mod tidy;
mod vm;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// For how many seconds `test` and `fuzz` run each fuzz target.
const FUZZ_SECONDS: u32 = 10;
/// For how many seconds `nightly` runs each fuzz target.
const FUZZ_SECONDS_NIGHTLY: u32 = 60;

/// The project's own chores.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Run everything that CI runs, what is cheap first
    Test(Choice),
    /// As `test`, with longer fuzzing
    Nightly(Choice),
    /// Check the rules of style that a machine can keep
    Tidy,
    /// Check that the programs that judge us are installed, and as root install what is missing
    Deps,
    /// In an emulated machine, swap on an encrypted volume that the machine serves to itself
    VmSwap(vm::Options),
    /// Build and run the fuzz targets
    Fuzz {
        /// How long each target runs
        #[arg(long, default_value_t = FUZZ_SECONDS, value_parser = clap::value_parser!(u32).range(1..))]
        seconds: u32,
        /// The seed of libFuzzer's generator; without it, one is taken from the clock
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
        seed: Option<u32>,
        /// Only this target
        target: Option<String>,
    },
}

/// Which steps to run.
#[derive(clap::Args)]
struct Choice {
    /// Run only this step (may be given several times)
    #[arg(long, value_name = "STEP")]
    only: Vec<String>,
    /// List the steps, and run none
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().chore {
        Chore::Test(choice) => steps::run(&choice.only, choice.list, FUZZ_SECONDS),
        Chore::Nightly(choice) => steps::run(&choice.only, choice.list, FUZZ_SECONDS_NIGHTLY),
        Chore::Tidy => tidy::run().map(|()| true),
        Chore::Deps => judges::check().map(|()| true),
        Chore::VmSwap(options) => vm::run(&options).map(|()| true),
        Chore::Fuzz { seconds, seed, target } => fuzz::run(seconds, seed, target.as_deref()).map(|()| true),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        // What failed stands in the summary, which is the last that is printed.
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
