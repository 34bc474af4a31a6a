//! Servers under many clients, in the long form of whole-program tests: how fair a server is to its clients, and cycles of
//! suspend, reload and key wipe while fio verifies.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::program::{self, passed_in};
use crate::{run, soak};

/// What these tests have in their names.
const TESTS: [&str; 2] = ["many_clients", "under_fio"];
/// What takes longer than this hangs.
const LIMIT: Duration = Duration::from_hours(2);

/// How long the form is.
#[derive(clap::Args)]
pub struct Length {
    /// How many cycles of suspend, reload and key wipe each device has
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    pub cycles: u32,
    /// How many jobs of fio verify meanwhile
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=32))]
    pub jobs: u32,
    /// How many clients there are at once, for one measurement of fairness after the other
    #[arg(long, default_value = "16,64,130,300")]
    pub clients: String,
    /// For how many seconds each number of clients is at work
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    pub seconds: u32,
    /// What the clients' requests come from; without it, one is taken from the clock
    #[arg(long)]
    pub seed: Option<u64>,
    /// Only tests whose names hold this
    pub only: Option<String>,
}

/// Builds the program and the tests, and runs those tests.
///
/// # Errors
/// Something does not build, a test fails or hangs, or not one ran.
pub fn run(length: &Length) -> Result<()> {
    let seed = length.seed.unwrap_or_else(soak::clock);
    run::run(&mut run::cargo(&["build", "--quiet", "--release", "-p", "udm-cli"]))?;
    let mut test = run::cargo(&["test", "--quiet", "-p", program::PACKAGE, "--test", "all", "--"]);
    test.args(["--nocapture", "--test-threads=1"]);
    match &length.only {
        Some(only) => test.arg(only),
        None => test.args(TESTS),
    };
    test.env("UDM_BIN", program::release_binary("udm")?).env("UDM_SEED", seed.to_string());
    test.env("UDM_CYCLES", length.cycles.to_string()).env("UDM_JOBS", length.jobs.to_string());
    test.env("UDM_CLIENTS", &length.clients).env("UDM_SECONDS", length.seconds.to_string());
    let mut test = run::within(LIMIT, &test);
    println!("{}", run::line(&test));
    let mut child = test.stdout(Stdio::piped()).spawn().with_context(|| run::line(&test))?;
    let mut passed = 0;
    for line in BufReader::new(child.stdout.take().context("a pipe")?).lines() {
        let line = line.context("what the tests print")?;
        // Most of the tests' programs have none of these.
        if !["", "running 0 tests"].contains(&&*line) && !line.contains(" 0 passed; 0 failed;") {
            println!("{line}");
        }
        passed += passed_in(&line)?;
    }
    run::judge(child.wait()?.code(), &test)?;
    ensure!(passed > 0, "not one test ran: there is none with that name");
    Ok(())
}
