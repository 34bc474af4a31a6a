//! The steps of `cargo xtask test`, in the order in which a fault costs least time to find.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::done::Done;
use crate::scratch::Scratch;
use crate::{clients, cpus, fuzz, judges, miri, model, mutants, package, program, run, sanitize, tidy, vm};

/// How long the quickstart may take: a newcomer waits for it.
const QUICKSTART_LIMIT: Duration = Duration::from_mins(1);

/// Linux tells the time that processes took in hundredths of a second, whatever its own clock.
const MILLISECONDS_A_TICK: u64 = 10;

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
    /// It gets the file that its tests write to when they cannot run (`udm_testkit::skip`).
    check: fn(&Effort, &Path) -> Result<Done>,
    /// Whether CI may skip it, because what it needs cannot be installed everywhere. `UDM_REQUIRE` may name it all the same.
    optional: bool,
}

impl Step {
    const fn new(name: &'static str, what: &'static str, check: fn(&Effort, &Path) -> Result<Done>) -> Self {
        Self { name, what, check, optional: false }
    }
}

const STEPS: &[Step] = &[
    Step::new("judges", "the reference tools are installed", |_, _| judges::check().map(checked)),
    Step::new("fmt", "rustfmt would change nothing", |_, _| formatting().map(checked)),
    Step::new("tidy", "the rules of style that a machine can keep", |_, _| tidy::run().map(checked)),
    Step::new("clippy", "no warning of clippy", |_, _| clippy().map(checked)),
    Step::new("doc", "no warning of rustdoc", |_, _| documentation().map(checked)),
    Step::new("unit", "unit tests", |_, skipped| unit_tests(skipped).map(checked)),
    Step::new("doctest", "the examples in the documentation", |_, _| doc_tests().map(checked)),
    Step::new("package", "the crates as packages, and the last release's items", |_, _| {
        package::run().map(checked)
    }),
    Step::new("model", "the block layer under the model checker", |effort, _| {
        model::run(effort.model_schedules, None, None, None).map(checked)
    }),
    Step::new("mutants", "planted faults are found by the tests", |_, _| mutants::run(None).map(checked)),
    Step::new("sanitize", "the block layer under the address sanitizer", |_, _| sanitize::run().map(checked)),
    Step::new("miri", "what reaches memory by address, under Miri", |_, _| miri::step()),
    Step::new("cpus", "the best driver is chosen on processors with fewer features", |effort, _| {
        cpus::run(effort.emulated_vectors)
    }),
    Step::new("program", "whole-program tests, unprivileged", |_, skipped| {
        program::run(skipped).map(checked)
    }),
    // It is in no binary package, and not every archive gives its source.
    Step {
        optional: true,
        ..Step::new("nbd-tester", "the client with which NBD's authors test their server", |_, _| {
            clients::nbd_tester()
        })
    },
    // The kernel of a container may have no FUSE device.
    Step {
        optional: true,
        ..Step::new("nbdfuse", "a LUKS volume as a file that e2fsprogs and the kernel use", |_, _| {
            clients::nbdfuse()
        })
    },
    Step::new("vm-swap", "an emulated machine swaps on a served volume", |_, _| vm::step()),
    Step::new("fuzz", "each fuzz target for a while", |effort, _| {
        fuzz::run(effort.fuzz_seconds, None, None).map(checked)
    }),
    Step::new("quickstart", "what the README tells a newcomer to run", |_, _| quickstart().map(checked)),
];

fn checked((): ()) -> Done {
    Done::Checked
}

/// How a step went.
enum Verdict {
    Passed,
    Failed,
    /// It checked nothing, for this reason.
    Skipped(String),
}

/// A step's verdict, with what it left out.
struct Outcome {
    name: &'static str,
    verdict: Verdict,
    /// The tests that said that they cannot run here, and why.
    left_out: Vec<String>,
    took: Duration,
    /// What all processors did for it.
    worked: Duration,
}

/// What the programs that this one has started, and that have ended, took of all processors.
fn processor_time() -> Duration {
    let told = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    Duration::from_millis(children_ticks(&told) * MILLISECONDS_A_TICK)
}

/// The ticks of children in user and in kernel mode, of a line of `proc_pid_stat(5)`: fields 16 and 17. The name before them
/// may hold anything, and ends with the last parenthesis.
fn children_ticks(stat: &str) -> u64 {
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    after_name.split_whitespace().skip(13).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum()
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
    let in_ci = env::var_os("CI").is_some();
    let required = env::var("UDM_REQUIRE").unwrap_or_default();
    let must_run = |step: &Step| required.split(',').any(|word| word == step.name) || in_ci && !step.optional;
    let scratch = Scratch::new("udm-skipped")?;
    let report = scratch.path().join("skipped");
    let outcomes: Vec<Outcome> =
        chosen.into_iter().map(|step| check(step, effort, must_run(step), &report)).collect();
    println!("\n{}", summary(&outcomes));
    Ok(outcomes.iter().all(|outcome| !matches!(outcome.verdict, Verdict::Failed)))
}

fn choose(only: &[String]) -> Result<Vec<&'static Step>> {
    if let Some(unknown) = only.iter().find(|name| STEPS.iter().all(|step| step.name != **name)) {
        let names: Vec<_> = STEPS.iter().map(|step| step.name).collect();
        bail!("there is no step {unknown:?}; the steps are {}", names.join(", "));
    }
    Ok(STEPS.iter().filter(|step| only.is_empty() || only.iter().any(|name| name == step.name)).collect())
}

/// Carries out a step. Its tests append what they skip to the file `report`.
fn check(step: &Step, effort: &Effort, must_run: bool, report: &Path) -> Outcome {
    println!("\n== {}: {}", step.name, step.what);
    let (start, before) = (Instant::now(), processor_time());
    let result = begin_report(report).and_then(|()| (step.check)(effort, report));
    let (took, worked) = (start.elapsed(), processor_time().saturating_sub(before));
    let left_out = read_report(report);
    let verdict = match result {
        Ok(Done::Checked) => {
            println!("== {}: passed in {:.1} s", step.name, took.as_secs_f64());
            Verdict::Passed
        }
        Ok(Done::Skipped(why)) if must_run => {
            println!("== {}: FAILED: it was skipped, and must run here: {why}", step.name);
            Verdict::Failed
        }
        Ok(Done::Skipped(why)) => {
            println!("== {}: SKIPPED: {why}", step.name);
            Verdict::Skipped(why)
        }
        Err(error) => {
            println!("== {}: FAILED after {:.1} s: {error:#}", step.name, took.as_secs_f64());
            println!("== to repeat it: cargo xtask test --only {}", step.name);
            Verdict::Failed
        }
    };
    Outcome { name: step.name, verdict, left_out, took, worked }
}

fn begin_report(report: &Path) -> Result<()> {
    fs::write(report, "").with_context(|| format!("cannot write {}", report.display()))
}

fn read_report(report: &Path) -> Vec<String> {
    let told = fs::read_to_string(report).unwrap_or_default();
    let mut lines: Vec<String> = told.lines().map(str::to_owned).collect();
    lines.sort_unstable();
    lines.dedup();
    lines
}

/// A line a step with its time and that of all processors, the reasons of those that were skipped, and the tests that the others left out.
fn summary(outcomes: &[Outcome]) -> String {
    use std::fmt::Write as _;
    let mut table = format!("{:<11} {:<7} {:>8} {:>9}\n", "step", "result", "seconds", "processor");
    for outcome in outcomes {
        let result = match outcome.verdict {
            Verdict::Passed => "passed",
            Verdict::Failed => "FAILED",
            Verdict::Skipped(_) => "SKIPPED",
        };
        let (took, worked) = (outcome.took.as_secs_f64(), outcome.worked.as_secs_f64());
        let _ = writeln!(table, "{:<11} {result:<7} {took:>8.1} {worked:>9.1}", outcome.name);
        if let Verdict::Skipped(why) = &outcome.verdict {
            let _ = writeln!(table, "            {why}");
        }
        for line in &outcome.left_out {
            let _ = writeln!(table, "            not tested: {line}");
        }
    }
    let count = |is: fn(&Verdict) -> bool| outcomes.iter().filter(|outcome| is(&outcome.verdict)).count();
    let passed = count(|verdict| matches!(verdict, Verdict::Passed));
    let failed = count(|verdict| matches!(verdict, Verdict::Failed));
    let _ = write!(table, "\nsteps: {passed} passed, {failed} failed");
    let is_skipped = |outcome: &&Outcome| matches!(outcome.verdict, Verdict::Skipped(_));
    let skipped: Vec<_> = outcomes.iter().filter(is_skipped).map(|outcome| outcome.name).collect();
    if !skipped.is_empty() {
        let _ = write!(table, ", {} skipped: {}", skipped.len(), skipped.join(", "));
    }
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

/// All but the whole-program tests, which have a step of their own: they need the release build and an unprivileged user.
fn unit_tests(skipped: &Path) -> Result<()> {
    if succeeds(&mut run::cargo(&["nextest", "--version"])) {
        // All are built, and so with the features that other steps build them with.
        let others = format!("not package({})", program::PACKAGE);
        let mut nextest = run::cargo(&["nextest", "run", "--workspace", "-E", &others]);
        return run::run(nextest.env(program::SKIPPED, skipped));
    }
    let mut test = run::cargo(&["test", "--all-targets", "--workspace", "--exclude", program::PACKAGE]);
    run::run(test.env(program::SKIPPED, skipped))
}

fn doc_tests() -> Result<()> {
    run::run(&mut run::cargo(&["test", "--doc", "--workspace"]))
}

fn quickstart() -> Result<()> {
    // Built first, so that the limit is for the run alone.
    run::run(&mut run::cargo(&["build", "--release", "-p", "udm-cli"]))?;
    let quickstart = run::cargo(&["run", "--release", "-p", "udm-cli", "--", "quickstart"]);
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

    fn outcome(name: &'static str, verdict: Verdict) -> Outcome {
        Outcome {
            name,
            verdict,
            left_out: Vec::new(),
            took: Duration::from_millis(1250),
            worked: Duration::from_secs(2),
        }
    }

    #[test]
    fn the_time_of_children_is_read_behind_any_name() {
        let line = "7 (a ) b 9 9) S 1 7 7 0 -1 0 1 2 3 4 5 6 70 80 20 0 1";
        assert_eq!(children_ticks(line), 150);
        assert_eq!(children_ticks(""), 0);
    }

    #[test]
    fn the_summary_ends_with_the_counts() {
        let table = summary(&[outcome("fmt", Verdict::Passed), outcome("tidy", Verdict::Failed)]);
        assert_eq!(
            table,
            "step        result   seconds processor\nfmt         passed       1.2       2.0\n\
             tidy        FAILED       1.2       2.0\n\n\
             steps: 1 passed, 1 failed"
        );
    }

    #[test]
    fn what_was_skipped_is_named_in_the_summary_and_in_its_last_line() {
        let mut unit = outcome("unit", Verdict::Passed);
        unit.left_out = vec!["driver vaes512: this processor lacks VAES".to_owned()];
        let table = summary(&[unit, outcome("miri", Verdict::Skipped("no Miri".to_owned()))]);
        assert_eq!(
            table,
            "step        result   seconds processor\nunit        passed       1.2       2.0\n            \
             not tested: driver vaes512: this processor lacks VAES\n\
             miri        SKIPPED      1.2       2.0\n            no Miri\n\n\
             steps: 1 passed, 0 failed, 1 skipped: miri"
        );
    }

    fn verdict(step: &Step, must_run: bool) -> Outcome {
        let scratch = Scratch::new(&format!("udm-steps-test-{}-{must_run}", step.name)).unwrap();
        let effort = Effort { fuzz_seconds: 1, model_schedules: 1, emulated_vectors: false };
        check(step, &effort, must_run, &scratch.path().join("skipped"))
    }

    #[test]
    fn a_failing_step_counts_as_failed() {
        let step = Step::new("fmt", "always fails", |_, _| bail!("no"));
        assert!(matches!(verdict(&step, false).verdict, Verdict::Failed));
    }

    #[test]
    fn a_skipped_step_fails_where_it_must_run() {
        let skipped = |_: &Effort, _: &Path| Ok(Done::Skipped("no machine".to_owned()));
        let step = Step::new("vm", "needs a machine", skipped);
        assert!(matches!(verdict(&step, false).verdict, Verdict::Skipped(_)));
        assert!(matches!(verdict(&step, true).verdict, Verdict::Failed));
    }
}
