//! The long form of what the block layer promises: round after round, each from a seed of its own, until the time is
//! over.

use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};

use crate::{model, run};

/// How many I/Os each run of the test without memory has in a round.
const IOS: u32 = 20_000;
/// How many schedules of each kind each model runs in a round.
const SCHEDULES: u64 = 2_000;
/// What takes longer than this hangs.
const LIMIT: Duration = Duration::from_mins(30);

/// Runs rounds for `minutes`, the first from `seed`: pools of one and no memory; the simulator's faults and power cuts;
/// the models. A round that began is ended.
///
/// # Errors
/// Something failed; the error names the command that repeats it, and the seed.
pub fn run(minutes: u32, seed: u64) -> Result<()> {
    let until = Instant::now() + Duration::from_mins(u64::from(minutes));
    for round in 0.. {
        if round > 0 && Instant::now() > until {
            println!("soaked for {round} rounds from seed {seed}; nothing failed");
            break;
        }
        // Any step that is odd and large goes through all numbers.
        let seed = seed.wrapping_add(u64::wrapping_mul(round, 0x9E37_79B9_7F4A_7C15));
        println!("\n== round {round}, seed {seed}");
        one_round(seed).with_context(|| format!("round {round}, seed {seed}"))?;
    }
    Ok(())
}

/// A seed that no other run has.
pub fn clock() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

fn one_round(seed: u64) -> Result<()> {
    let seed_text = seed.to_string();
    let mut no_memory = tests("udm-dm");
    no_memory.args(["--test", "no_memory", "--", "--nocapture"]);
    no_memory.env("UDM_SEED", &seed_text).env("UDM_IOS", IOS.to_string());
    run::run(&mut run::within(LIMIT, &no_memory))?;
    let mut simulated = tests("udm-sim");
    simulated.env("UDM_SIM_SEED", &seed_text);
    run::run(&mut run::within(LIMIT, &simulated))?;
    model::run(SCHEDULES, Some(seed), None, None)
}

/// Tests with optimisation and debug assertions.
fn tests(package: &str) -> std::process::Command {
    run::cargo(&["test", "--quiet", "--profile", "checked", "-p", package])
}
