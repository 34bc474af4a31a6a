//! Tests under Miri that reach memory by address: bios and queues, cipher requests and jobs, clones of mapped devices. By both of
//! its models of who may touch what (Stacked and Tree Borrows).

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::done::Done;
use crate::{run, workers};

/// How long the tests of one run may take: some ten times as long as they take.
const LIMIT: Duration = Duration::from_mins(20);

/// The toolchain that has Miri.
const TOOLCHAIN: &str = "+nightly";

/// Where a toolchain has the source of the standard library, of which Miri makes its own.
const SOURCE: &str = "lib/rustlib/src/rust/library";

/// Why this machine cannot.
pub fn obstacle() -> Option<String> {
    let told = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).arg(TOOLCHAIN).args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let has_miri = told("cargo", &["miri", "--version"]).is_some();
    let sysroot = told("rustc", &["--print", "sysroot"]);
    let is_there = has_miri && sysroot.is_some_and(|sysroot| Path::new(&sysroot).join(SOURCE).is_dir());
    (!is_there).then(|| "`cargo xtask deps`, which installs it, has not been run".to_owned())
}

/// The models, and how Miri is told of them. By the second one some tests take several times as long.
const MODELS: [Model; 2] = [
    Model { name: "Stacked Borrows", flag: "" },
    Model { name: "Tree Borrows", flag: " -Zmiri-tree-borrows" },
];

#[derive(Clone, Copy)]
struct Model {
    name: &'static str,
    flag: &'static str,
}

/// What is run, and with which further flags, the longest first. Tests with real ciphers take Miri minutes, so most are left
/// out.
const RUNS: [(&[&str], &str); 4] = [
    (&["-p", "udm-dm", "--test", "all", "--", "small::"], ""),
    (&["-p", "udm-block", "--lib"], ""),
    (&["-p", "udm-block", "--test", "all", "--", "queue_end::"], ""),
    // The threads of the pool stay until the program's end, with what they hold.
    (&["-p", "udm-crypto", "--lib", "--test", "all", "--", "threads::", "cuts::"], " -Zmiri-ignore-leaks"),
];

/// A test that races with this variable set, and what Miri must say of it then. Without it, it is one of the others.
const PLANTED: [&str; 6] =
    ["-p", "udm-block", "--lib", "--", "--exact", "span::copy::tests::each_byte_has_one_writer"];
const PLANTS: &str = "UDM_TWO_WRITERS";
const PLANTED_FAULT: &str = "Undefined Behavior: Data race detected";

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
/// There is no Miri, it does not find a planted fault, or it finds another.
pub fn run() -> Result<()> {
    run_by(&MODELS)
}

fn run_by(models: &[Model]) -> Result<()> {
    ensure!(obstacle().is_none(), "there is no Miri: {}", obstacle().unwrap_or_default());
    try_miri()?;
    let runs: Vec<_> =
        models.iter().flat_map(|model| RUNS.map(|(what, more)| (*model, what, more))).collect();
    workers::each(&runs, |(model, what, more)| {
        let mut test = run::within(LIMIT, &command(what, &[model.flag, more].concat()));
        let output = test.output().with_context(|| format!("cannot start `{}`", run::line(&test)))?;
        // As a whole, since others run meanwhile.
        print!("by {}: {}\n{}", model.name, what.join(" "), String::from_utf8_lossy(&output.stdout));
        run::judge(output.status.code(), &test)
            .with_context(|| format!("by {}:\n{}", model.name, String::from_utf8_lossy(&output.stderr)))
    })?;
    Ok(())
}

/// Fails unless Miri finds the planted fault.
fn try_miri() -> Result<()> {
    // It is built without the variable: what is set while Miri builds is set in all later runs of that build.
    run::run(&mut command(&["-p", "udm-block", "--lib", "--no-run"], ""))?;
    let mut planted = run::within(LIMIT, command(&PLANTED, "").env(PLANTS, "1"));
    let output = planted.output().with_context(|| format!("cannot start `{}`", run::line(&planted)))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        !output.status.success() && said.contains(PLANTED_FAULT),
        "Miri does not find the planted fault; `{}` says:\n{}{said}",
        run::line(&planted),
        String::from_utf8_lossy(&output.stdout),
    );
    println!("the planted fault was found");
    Ok(())
}

/// The command that runs tests under Miri.
fn command(what: &[&str], flags: &str) -> Command {
    // By its name, since the cargo that runs this is of another toolchain.
    let mut miri = Command::new("cargo");
    miri.args([TOOLCHAIN, "miri", "test", "--quiet", "--target-dir", "target/miri"]);
    miri.args(what).current_dir(run::root()).stdin(Stdio::null());
    // Time and descriptors are real ones.
    miri.env("MIRIFLAGS", format!("-Zmiri-disable-isolation{flags}"));
    // Some tests panic on purpose: the trace of one takes Miri seconds. Of a fault of its own kind it shows one all the same.
    miri.env("RUST_BACKTRACE", "0");
    for variable in ["RUSTUP_TOOLCHAIN", "CARGO", "RUSTC"] {
        miri.env_remove(variable);
    }
    miri
}

/// Installs Miri, where it is missing, by rustup.
///
/// # Errors
/// There is no rustup, or it cannot.
pub fn install() -> Result<()> {
    if obstacle().is_none() {
        println!("Miri is installed");
        return Ok(());
    }
    let mut rustup = Command::new("rustup");
    rustup.args(["toolchain", "install", "nightly", "--profile", "minimal", "--component", "miri,rust-src"]);
    run::run(&mut rustup).context("installing Miri")
}
