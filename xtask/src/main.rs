//! `cargo xtask`: the project's own chores. `cargo xtask --help` lists them; CONTRIBUTING.md says when to use which.

mod bench;
mod clients;
mod cpus;
mod done;
mod fuzz;
mod judges;
mod load;
mod miri;
mod model;
mod mutants;
mod package;
mod program;
mod queues;
mod run;
mod sanitize;
mod scratch;
mod semver;
mod soak;
mod steps;
mod tidy;
mod vm;
mod workers;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use steps::Effort;

/// For how many seconds `test` and `fuzz` run each fuzz target.
const FUZZ_SECONDS: u32 = 10;
/// For how many seconds `nightly` runs each fuzz target.
const FUZZ_SECONDS_NIGHTLY: u32 = 60;

/// How many schedules of each kind `test` and `model` run each model under.
const MODEL_SCHEDULES: u64 = 500;
/// How many schedules of each kind `nightly` runs each model under.
const MODEL_SCHEDULES_NIGHTLY: u64 = 100_000;

const SHORT: Effort =
    Effort { fuzz_seconds: FUZZ_SECONDS, model_schedules: MODEL_SCHEDULES, emulated_vectors: false };
const LONG: Effort = Effort {
    fuzz_seconds: FUZZ_SECONDS_NIGHTLY,
    model_schedules: MODEL_SCHEDULES_NIGHTLY,
    emulated_vectors: true,
};

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
    /// As `test`, with longer fuzzing and more schedules
    Nightly(Choice),
    /// Check the rules of style that a machine can keep
    Tidy,
    /// Check that the programs that judge us are installed, and as root install what is missing; install Miri
    Deps,
    /// In an emulated machine, swap on an encrypted volume that the machine serves to itself
    VmSwap(vm::Options),
    /// Run the model checker over the block layer
    Model {
        /// How many random schedules each model runs, and as many of PCT
        #[arg(long, default_value_t = MODEL_SCHEDULES, value_parser = clap::value_parser!(u64).range(1..))]
        schedules: u64,
        /// The seed of the schedules; without it, one is taken from the clock
        #[arg(long)]
        seed: Option<u64>,
        /// Run one schedule again: a file that a failing model wrote; with the model's name
        #[arg(long, value_name = "FILE", requires = "only")]
        replay: Option<std::path::PathBuf>,
        /// Only models whose names hold this
        only: Option<String>,
    },
    /// On emulated processors with fewer features, check which cipher drivers are chosen
    Cpus {
        /// And run the kernel's vectors there, which takes minutes
        #[arg(long)]
        vectors: bool,
    },
    /// Run what the block layer promises from ever new seeds
    Soak {
        /// For how long
        #[arg(long, default_value_t = 60)]
        minutes: u32,
        /// Where the seeds begin; without it, at the clock
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Run servers under many clients: how fair they are, and cycles of suspend, reload and key wipe while fio verifies
    Load(load::Length),
    /// Compare what a bio costs on each of 1 to 16 queues of one device: time, instructions, cache misses
    Queues,
    /// Plant faults in a copy of the source, and check that the tests find them
    Mutants {
        /// Only mutants whose names hold this
        only: Option<String>,
    },
    /// Package the crates, and build targets from the packages alone
    Package,
    /// Compare the public items of the crates with those of the last release
    Semver {
        /// A commit to compare with, in place of the last tag v*
        #[arg(long, value_name = "REVISION")]
        against: Option<String>,
    },
    /// Run the block layer's tests under the address sanitizer
    Sanitize,
    /// Run the block layer's unit tests under Miri, by Stacked and by Tree Borrows
    Miri,
    /// Measure the speed that is promised, each figure beside its target
    Bench {
        /// Fail where a figure falls short
        #[arg(long)]
        check: bool,
        /// Write the figures, tables and pictures into docs/performance.md
        #[arg(long, conflicts_with = "only")]
        write: bool,
        /// Only figures whose names hold this
        only: Option<String>,
    },
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
        Chore::Test(choice) => steps::run(&choice.only, choice.list, &SHORT),
        Chore::Nightly(choice) => steps::run(&choice.only, choice.list, &LONG),
        Chore::Tidy => tidy::run().map(|()| true),
        Chore::Deps => judges::check().and_then(|()| miri::install()).map(|()| true),
        Chore::VmSwap(options) => vm::run(&options).map(|()| true),
        Chore::Model { schedules, seed, replay, only } => {
            model::run(schedules, seed, only.as_deref(), replay.as_deref()).map(|()| true)
        }
        Chore::Cpus { vectors } => cpus::run(vectors).map(|_| true),
        Chore::Soak { minutes, seed } => soak::run(minutes, seed.unwrap_or_else(soak::clock)).map(|()| true),
        Chore::Load(length) => load::run(&length).map(|()| true),
        Chore::Queues => queues::run().map(|()| true),
        Chore::Mutants { only } => mutants::run(only.as_deref()).map(|()| true),
        Chore::Package => package::run().map(|()| true),
        Chore::Semver { against } => semver::run(against.as_deref()).map(|()| true),
        Chore::Sanitize => sanitize::run().map(|()| true),
        Chore::Miri => miri::run().map(|()| true),
        Chore::Bench { check, write, only } => {
            bench::run(bench::Use { check, write }, only.as_deref()).map(|()| true)
        }
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
