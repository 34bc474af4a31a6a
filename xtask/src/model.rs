//! Running the model checker over the block layer: `crates/block/tests/model`, built with `--cfg shuttle`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::run;

/// What has `crates/block/src/sync.rs` take the checker's locks, atomics and threads.
const RUSTFLAGS: &str = "--cfg shuttle";
/// The variables that `crates/block/tests/model/check.rs` reads.
const SCHEDULES: &str = "UDM_MODEL_SCHEDULES";
const SEED: &str = "UDM_MODEL_SEED";
const FAILURES: &str = "UDM_MODEL_FAILURES";
const REPLAY: &str = "UDM_MODEL_REPLAY";
/// How long the models may take beside their schedules, and how many schedules they run a second at the least: what
/// takes longer hangs where the checker does not see it.
const SLACK: Duration = Duration::from_mins(10);
const SCHEDULES_A_SECOND: u64 = 50;

/// Runs each model, or those whose names hold `only`, under `schedules` random and as many PCT schedules.
///
/// # Errors
/// A model does not build, or a schedule fails; what is printed then names the file that `replay` takes.
pub fn run(schedules: u64, seed: Option<u64>, only: Option<&str>, replay: Option<&Path>) -> Result<()> {
    let failures = target_dir().join("failures");
    std::fs::create_dir_all(&failures)?;
    let mut test = command(&target_dir(), "model");
    test.env(SCHEDULES, schedules.to_string()).env(FAILURES, failures);
    if let Some(seed) = seed {
        test.env(SEED, seed.to_string());
    }
    if let Some(file) = replay {
        test.env(REPLAY, std::path::absolute(file)?);
    }
    test.arg("--").args(only).arg("--show-output");
    let limit = SLACK + Duration::from_secs(schedules / SCHEDULES_A_SECOND);
    run::run(&mut run::within(limit, &run::with_bounded_memory(&test)))?;
    // loom tries every order: it has no schedules to choose.
    if only.is_none() { run::run(&mut command(&target_dir(), "loom")) } else { Ok(()) }
}

/// Its own, since the flags of the checker are those of every crate.
pub fn target_dir() -> PathBuf {
    run::root().join("target/model")
}

/// The cargo command that builds the `tests` of a checker into `target_dir`, and runs them.
pub fn command(target_dir: &Path, tests: &str) -> Command {
    let mut test =
        run::cargo(&["test", "--quiet", "--profile", "checked", "-p", "udm-block", "--test", tests]);
    test.arg("--target-dir").arg(target_dir);
    test.env("RUSTFLAGS", RUSTFLAGS).env_remove("CARGO_ENCODED_RUSTFLAGS");
    test
}
