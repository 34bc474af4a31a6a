//! Tests under Miri that reach memory by address: bios and queues, cipher requests and jobs, clones of mapped devices; by both of its models of who may touch what (Stacked and Tree Borrows).

use anyhow::{Context, Result, ensure};

use crate::run;
use crate::steps::Done;

/// The toolchain that has Miri.
const TOOLCHAIN: &str = "+nightly";

/// Why this machine cannot.
pub fn obstacle() -> Option<String> {
    let asked = std::process::Command::new("cargo").args([TOOLCHAIN, "miri", "--version"]).output();
    let there = asked.is_ok_and(|output| output.status.success());
    (!there).then(|| "`rustup component add miri rust-src --toolchain nightly` has not been run".to_owned())
}

/// The models, and how Miri is told of them. The second one takes several times as long.
const MODELS: [(&str, &str); 2] = [("Stacked Borrows", ""), ("Tree Borrows", " -Zmiri-tree-borrows")];

/// What is run, and with which further flags. Tests with real ciphers take Miri minutes, so most are left out.
const RUNS: [(&[&str], &str); 3] = [
    (&["-p", "udm-block", "--lib", "--test", "queue_end"], ""),
    // The threads of the pool stay until the program's end, with what they hold.
    (
        &[
            "-p",
            "udm-crypto",
            "--lib",
            "--test",
            "cuts",
            "--",
            "threads::",
            "cuts_",
            "--skip",
            "slots_backlog",
        ],
        " -Zmiri-ignore-leaks",
    ),
    (&["-p", "udm-dm", "--test", "small"], ""),
];

/// As a step of the checks: a run by the first model, or why this machine cannot.
///
/// # Errors
/// Those of [`run()`].
pub fn step() -> Result<Done> {
    if let Some(why) = obstacle() {
        return Ok(Done::Skipped(format!("there is no Miri: {why}")));
    }
    run_by(&MODELS[..1])?;
    Ok(Done::Checked)
}

/// Runs the tests by each model.
///
/// # Errors
/// There is no Miri, or it found something.
pub fn run() -> Result<()> {
    run_by(&MODELS)
}

fn run_by(models: &[(&str, &str)]) -> Result<()> {
    ensure!(obstacle().is_none(), "there is no Miri: {}", obstacle().unwrap_or_default());
    for (model, flag) in models {
        for (what, more) in RUNS {
            println!("by {model}: {}", what.join(" "));
            // By its name, since the cargo that runs this is of another toolchain.
            let mut miri = std::process::Command::new("cargo");
            miri.args([TOOLCHAIN, "miri", "test", "--quiet", "--target-dir", "target/miri"]);
            miri.args(what).current_dir(run::root());
            // Time and descriptors are real ones.
            miri.env("MIRIFLAGS", format!("-Zmiri-disable-isolation{flag}{more}"));
            for variable in ["RUSTUP_TOOLCHAIN", "CARGO", "RUSTC"] {
                miri.env_remove(variable);
            }
            run::run(&mut miri).with_context(|| format!("by {model}: {}", what.join(" ")))?;
        }
    }
    Ok(())
}

/// Installs Miri, where it is missing, by rustup.
///
/// # Errors
/// There is no rustup, or it cannot.
pub fn install() -> Result<()> {
    if obstacle().is_none() {
        return Ok(());
    }
    let mut rustup = std::process::Command::new("rustup");
    rustup.args(["toolchain", "install", "nightly", "--profile", "minimal", "--component", "miri,rust-src"]);
    run::run(&mut rustup).context("installing Miri")
}
