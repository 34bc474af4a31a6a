//! The steps of `cargo xtask test`, in the order in which a fault costs least time to find.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::{cpus, fuzz, judges, miri, model, mutants, program, run, sanitize, tidy, vm};

/// How long the quickstart may take: a newcomer waits for it.
const QUICKSTART_LIMIT: Duration = Duration::from_mins(1);

/// How long the steps look that could look for ever.
pub struct Effort {
    /// For how long each fuzz target runs.
    pub fuzz_seconds: u32,
    /// How many schedules of each kind each model runs.
    pub model_schedules: u64,
    /// Whether the kernel's vectors run on emulated processors too.
    pub emulated_vectors: bool,
}

/// One thing that CI checks.
struct Step {
    name: &'static str,
    what: &'static str,
    check: fn(&Effort) -> Result<()>,
}

const STEPS: &[Step] = &[
    Step { name: "judges", what: "the programs that judge us are installed", check: |_| judges::check() },
    Step { name: "fmt", what: "rustfmt would change nothing", check: |_| formatting() },
    Step { name: "tidy", what: "the rules of style that a machine can keep", check: |_| tidy::run() },
    Step { name: "clippy", what: "no warning of clippy", check: |_| clippy() },
    Step { name: "doc", what: "no warning of rustdoc", check: |_| documentation() },
    Step { name: "unit", what: "unit tests", check: |_| unit_tests() },
    Step { name: "doctest", what: "the examples in the documentation", check: |_| doc_tests() },
    Step {
        name: "model",
        what: "the block layer under the model checker",
        check: |effort| model::run(effort.model_schedules, None, None, None),
    },
    Step { name: "mutants", what: "planted faults are found by the tests", check: |_| mutants::run(None) },
    Step {
        name: "sanitize",
        what: "the block layer under the address sanitizer",
        check: |_| sanitize::run(),
    },
    Step { name: "miri", what: "the block layer's unit tests under Miri", check: |_| miri::step() },
    Step {
        name: "cpus",
        what: "the best driver is chosen on processors with fewer features",
        check: |effort| cpus::run(effort.emulated_vectors),
    },
    Step { name: "program", what: "whole-program tests, unprivileged", check: |_| program::run() },
    Step { name: "vm-swap", what: "an emulated machine swaps on a served volume", check: |_| vm::step() },
    Step {
        name: "fuzz",
        what: "each fuzz target for a while",
        check: |effort| fuzz::run(effort.fuzz_seconds, None, None),
    },
    Step { name: "quickstart", what: "what the README tells a newcomer to run", check: |_| quickstart() },
];

/// How a step went.
struct Outcome {
    name: &'static str,
    passed: bool,
    took: Duration,
}

/// Runs the steps named in `only` (all of them, when it is empty), or lists them. True if none failed.
///
/// A failing step does not keep the later ones from running: one run shows everything that is wrong.
///
/// # Errors
/// `only` names a step that there is not.
pub fn run(only: &[String], list: bool, effort: &Effort) -> Result<bool> {
    let chosen = choose(only)?;
    if list {
        for step in chosen {
            println!("{:<11} {}", step.name, step.what);
        }
        return Ok(true);
    }
    let outcomes: Vec<Outcome> = chosen.into_iter().map(|step| check(step, effort)).collect();
    println!("\n{}", summary(&outcomes));
    Ok(outcomes.iter().all(|outcome| outcome.passed))
}

fn choose(only: &[String]) -> Result<Vec<&'static Step>> {
    if let Some(unknown) = only.iter().find(|name| STEPS.iter().all(|step| step.name != **name)) {
        let names: Vec<_> = STEPS.iter().map(|step| step.name).collect();
        bail!("there is no step {unknown:?}; the steps are {}", names.join(", "));
    }
    Ok(STEPS.iter().filter(|step| only.is_empty() || only.iter().any(|name| name == step.name)).collect())
}

fn check(step: &Step, effort: &Effort) -> Outcome {
    println!("\n== {}: {}", step.name, step.what);
    let start = Instant::now();
    let result = (step.check)(effort);
    let took = start.elapsed();
    match &result {
        Ok(()) => println!("== {}: passed in {:.1} s", step.name, took.as_secs_f64()),
        Err(error) => {
            println!("== {}: FAILED after {:.1} s: {error:#}", step.name, took.as_secs_f64());
            println!("== to repeat it: cargo xtask test --only {}", step.name);
        }
    }
    Outcome { name: step.name, passed: result.is_ok(), took }
}

fn summary(outcomes: &[Outcome]) -> String {
    use std::fmt::Write as _;
    let mut table = format!("{:<11} {:<7} {:>8}\n", "step", "result", "seconds");
    for outcome in outcomes {
        let result = if outcome.passed { "passed" } else { "FAILED" };
        let _ = writeln!(table, "{:<11} {result:<7} {:>8.1}", outcome.name, outcome.took.as_secs_f64());
    }
    let passed = outcomes.iter().filter(|outcome| outcome.passed).count();
    let _ = write!(table, "\nsteps: {passed} passed, {} failed", outcomes.len() - passed);
    table
}

fn formatting() -> Result<()> {
    run::run(&mut run::cargo(&["fmt", "--all", "--check"]))?;
    run::run(&mut run::cargo(&["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"]))
}

fn clippy() -> Result<()> {
    run::run(&mut run::cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
}

fn documentation() -> Result<()> {
    run::run(run::cargo(&["doc", "--no-deps", "--workspace"]).env("RUSTDOCFLAGS", "-D warnings"))
}

/// The whole-program tests have a step of their own: they need the release build and an unprivileged user.
const ALL_BUT_PROGRAM_TESTS: [&str; 3] = ["--workspace", "--exclude", program::PACKAGE];

fn unit_tests() -> Result<()> {
    if succeeds(&mut run::cargo(&["nextest", "--version"])) {
        return run::run(run::cargo(&["nextest", "run"]).args(ALL_BUT_PROGRAM_TESTS));
    }
    run::run(run::cargo(&["test", "--all-targets"]).args(ALL_BUT_PROGRAM_TESTS))
}

fn doc_tests() -> Result<()> {
    run::run(run::cargo(&["test", "--doc"]).args(ALL_BUT_PROGRAM_TESTS))
}

fn quickstart() -> Result<()> {
    // Built first, so that the limit is for the run alone.
    run::run(&mut run::cargo(&["build", "--release", "-p", "udm"]))?;
    let quickstart = run::cargo(&["run", "--release", "-p", "udm", "--", "quickstart"]);
    run::run(&mut run::within(QUICKSTART_LIMIT, &quickstart))
}

fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_chosen_by_name_in_their_own_order() {
        let names = |only: &[&str]| -> Vec<&str> {
            let only: Vec<String> = only.iter().map(ToString::to_string).collect();
            choose(&only).unwrap().iter().map(|step| step.name).collect()
        };
        assert_eq!(names(&["tidy", "judges"]), ["judges", "tidy"]);
        assert_eq!(names(&[]).len(), STEPS.len());
    }

    #[test]
    fn a_step_that_there_is_not_is_refused_with_those_that_there_are() {
        let error = choose(&["tiddy".to_owned()]).err().unwrap().to_string();
        assert!(error.contains("tiddy") && error.contains("tidy, clippy"), "{error}");
    }

    #[test]
    fn the_summary_ends_with_the_counts() {
        let outcome = |name, passed| Outcome { name, passed, took: Duration::from_millis(1250) };
        let table = summary(&[outcome("fmt", true), outcome("tidy", false)]);
        assert_eq!(
            table,
            "step        result   seconds\nfmt         passed       1.2\ntidy        FAILED       1.2\n\n\
             steps: 1 passed, 1 failed"
        );
    }

    #[test]
    fn a_failing_step_counts_as_failed() {
        let step = Step { name: "fmt", what: "always fails", check: |_| bail!("no") };
        assert!(
            !check(&step, &Effort { fuzz_seconds: 1, model_schedules: 1, emulated_vectors: false }).passed
        );
    }
}
