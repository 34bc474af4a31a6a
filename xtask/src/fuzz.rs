//! Building and running the fuzz targets on the stable toolchain, without cargo-fuzz.
//!
//! The coverage instrumentation is LLVM's own, asked for by codegen options; the driver is libFuzzer, from the crate
//! `libfuzzer-sys`. Whether the two really work together is tried each time on a target with a planted fault.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};

use crate::scratch::Scratch;
use crate::{run, workers};

/// What makes LLVM count branches and report comparisons to libFuzzer.
const RUSTFLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
     -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 -Cdebug-assertions=on";
/// The target whose fault must be found, and what it says then.
const PLANTED: &str = "planted";
const PLANTED_FAULT: &str = "the planted fault was found";
/// How long finding the planted fault may take; it takes well under one.
const PLANTED_SECONDS: u32 = 30;
/// How long one input may take before libFuzzer calls it a fault.
const INPUT_SECONDS: u32 = 10;
/// How much of libFuzzer's output a failure shows, in lines.
const TAIL: usize = 40;

/// Builds all targets and runs each (or only `target`) for `seconds`.
///
/// # Errors
/// Something does not build, the planted fault is not found, a target has no seeds, or a target found a fault; the
/// error then names the input and the command that repeats it.
pub fn run(seconds: u32, seed: Option<u32>, target: Option<&str>) -> Result<()> {
    let root = run::root();
    let targets = choose(&targets_in(&root.join("fuzz/fuzz_targets"))?, target)?;
    let executables = build()?;
    try_instrumentation(&executables)?;
    let seed = seed.unwrap_or_else(seed_from_clock);
    // Each fuzzes on one processor.
    workers::each(&targets, |target| {
        let result = Session { name: target, seconds, seed }.run(&root.join("fuzz"), &executables)?;
        println!("{target}: no fault in {seconds} s with seed {seed}; {result}");
        Ok(())
    })?;
    Ok(())
}

/// The names of the targets in a folder, in order, without the one with the planted fault.
fn targets_in(folder: &Path) -> Result<Vec<String>> {
    let mut targets = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs")
            && let Some(name) = path.file_stem().and_then(|name| name.to_str())
            && name != PLANTED
        {
            targets.push(name.to_owned());
        }
    }
    targets.sort();
    Ok(targets)
}

fn choose(targets: &[String], only: Option<&str>) -> Result<Vec<String>> {
    ensure!(!targets.is_empty(), "there is no fuzz target");
    let Some(only) = only else { return Ok(targets.to_vec()) };
    ensure!(
        targets.iter().any(|target| target == only),
        "there is no fuzz target {only:?}; the targets are {}",
        targets.join(", ")
    );
    Ok(vec![only.to_owned()])
}

/// Builds all targets, and gives the folder of the executables.
fn build() -> Result<PathBuf> {
    // With an explicit target triple, cargo keeps the flags away from build scripts and procedural macros, which
    // have no libFuzzer to link to.
    let triple = run::host()?;
    let mut build = run::cargo(&["build", "--release", "--bins"]);
    build.args(["--manifest-path", "fuzz/Cargo.toml", "--target-dir", "fuzz/target", "--target", &triple]);
    build.env("RUSTFLAGS", RUSTFLAGS).env_remove("CARGO_ENCODED_RUSTFLAGS");
    run::run(&mut build)?;
    Ok(run::root().join("fuzz/target").join(triple).join("release"))
}

/// Fails unless the fuzzer finds a fault that only coverage can lead it to.
fn try_instrumentation(executables: &Path) -> Result<()> {
    let scratch = Scratch::new("udm-fuzz-planted")?;
    let mut fuzzer = Command::new(executables.join(PLANTED));
    fuzzer.arg(format!("-max_total_time={PLANTED_SECONDS}")).arg("-seed=1").env("RUST_BACKTRACE", "0");
    fuzzer.arg(format!("-artifact_prefix={}/", scratch.path().display())).arg(scratch.path());
    let (_, log) = fuzz(&fuzzer, PLANTED_SECONDS)?;
    let coverage = Coverage::in_log(&log).context("libFuzzer reports no coverage at all")?;
    if !log.contains(PLANTED_FAULT) || coverage.last <= coverage.first {
        bail!(
            "the fuzzer did not find the planted fault (coverage {} -> {}): its instrumentation is broken, so it \
             would find no other fault either; seen was\n{}",
            coverage.first,
            coverage.last,
            tail(&log)
        );
    }
    println!("{PLANTED}: the planted fault was found; coverage {} -> {}", coverage.first, coverage.last);
    Ok(())
}

/// One run of one target.
struct Session<'a> {
    name: &'a str,
    seconds: u32,
    seed: u32,
}

impl Session<'_> {
    /// Runs the target, and gives a line of figures.
    fn run(&self, folder: &Path, executables: &Path) -> Result<String> {
        let seeds = folder.join("seeds").join(self.name);
        let corpus = Scratch::new(&format!("udm-fuzz-{}", self.name))?;
        ensure!(
            copy_seeds(&seeds, corpus.path())? > 0,
            "{} holds no seed for the target {}",
            seeds.display(),
            self.name
        );
        let artifacts = folder.join("artifacts").join(self.name);
        fs::create_dir_all(&artifacts)?;
        let executable = executables.join(self.name);
        let mut fuzzer = Command::new(&executable);
        fuzzer.arg(format!("-max_total_time={}", self.seconds)).arg(format!("-seed={}", self.seed));
        fuzzer.arg(format!("-timeout={INPUT_SECONDS}")).arg("-print_final_stats=1");
        fuzzer.arg(format!("-artifact_prefix={}/", artifacts.display())).arg(corpus.path());
        let (status, log) = fuzz(&fuzzer, self.seconds)?;
        if status == Some(0) {
            return figures(&log);
        }
        eprintln!("{}", tail(&log));
        let name = self.name;
        match artifact(&log) {
            Some(input) => bail!(
                "the fuzz target {name} found a fault (seed {}); the input is {input}\nto repeat it: {} {input}",
                self.seed,
                executable.display()
            ),
            None => run::judge(status, &fuzzer).with_context(|| {
                format!(
                    "to repeat it: cargo xtask fuzz --seconds {} --seed {} {name}",
                    self.seconds, self.seed
                )
            })?,
        }
        bail!("the fuzz target {name} failed")
    }
}

/// Runs a fuzzer, and gives its exit status with all that it said.
fn fuzz(fuzzer: &Command, seconds: u32) -> Result<(Option<i32>, String)> {
    // libFuzzer ends by itself; the outer limit is for a target that hangs it.
    let limit = Duration::from_secs(u64::from(seconds) + u64::from(3 * INPUT_SECONDS));
    let output = run::within(limit, fuzzer)
        .stdout(Stdio::null())
        .output()
        .with_context(|| format!("cannot start `{}`", run::line(fuzzer)))?;
    Ok((output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned()))
}

/// Copies the committed seeds to where libFuzzer may write, and counts them.
fn copy_seeds(from: &Path, to: &Path) -> Result<usize> {
    let mut copied = 0;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
        copied += 1;
    }
    Ok(copied)
}

/// How many branches were seen with the first inputs, and at the end.
#[derive(Debug, PartialEq)]
struct Coverage {
    first: u64,
    last: u64,
}

impl Coverage {
    fn in_log(log: &str) -> Option<Self> {
        let mut counts = log.lines().filter_map(|line| {
            let (_, rest) = line.split_once(" cov: ")?;
            rest.split_whitespace().next()?.parse().ok()
        });
        let first = counts.next()?;
        Some(Self { first, last: counts.next_back().unwrap_or(first) })
    }
}

/// The figures of a run that found no fault.
fn figures(log: &str) -> Result<String> {
    let runs = log.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units: "));
    let runs = runs.context("libFuzzer does not say how many inputs it tried")?.trim();
    let coverage = Coverage::in_log(log).context("libFuzzer reports no coverage")?;
    Ok(format!("{runs} inputs, coverage {} -> {}", coverage.first, coverage.last))
}

/// The file that holds the input which made a target fail.
fn artifact(log: &str) -> Option<&str> {
    log.lines().find_map(|line| Some(line.split_once("Test unit written to ")?.1.trim()))
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(TAIL)..].join("\n")
}

fn seed_from_clock() -> u32 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // libFuzzer takes 0 for "choose one yourself".
    since.subsec_nanos().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "INFO: Seed: 1\n#2\tINITED cov: 8 ft: 8 corp: 1/1b\n#2817\tNEW    cov: 11 ft: 9 corp: 2/9b\n\
        stat::number_of_executed_units: 2900\n";

    #[test]
    fn coverage_is_read_from_the_first_and_the_last_report() {
        assert_eq!(Coverage::in_log(LOG), Some(Coverage { first: 8, last: 11 }));
        assert_eq!(figures(LOG).unwrap(), "2900 inputs, coverage 8 -> 11");
        assert_eq!(Coverage::in_log("INFO: Seed: 1\n"), None);
        assert!(figures("INFO: Seed: 1\n").is_err());
    }

    #[test]
    fn the_input_of_a_fault_is_found_in_what_libfuzzer_says() {
        let log = "==1== ERROR\nartifact_prefix='a/'; Test unit written to a/crash-12\nBase64: eA==\n";
        assert_eq!(artifact(log), Some("a/crash-12"));
        assert_eq!(artifact(LOG), None);
    }

    #[test]
    fn a_target_that_there_is_not_is_refused() {
        let targets = ["nbd_wire".to_owned(), "table".to_owned()];
        assert_eq!(choose(&targets, Some("table")).unwrap(), ["table"]);
        assert_eq!(choose(&targets, None).unwrap(), targets);
        assert!(choose(&targets, Some("tabel")).is_err());
        assert!(choose(&[], None).is_err());
    }
}
