//! Planting faults in a copy of the source, to show that the tests find them.
//!
//! The product holds no hook for this: a mutant is a text that is replaced in one file (`table`). A text that is not found
//! exactly once is an error, so that a mutant cannot outlive the code that it was made for. All mutants are in one build of
//! the copy, and an environment variable says which one is on (`plant`).

mod borrow;
mod copy;
mod plant;
mod table;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::{model, program, run, workers};

/// How long one test may take; with the fault it may also hang, which is a way to fail that is not ours.
const LIMIT: Duration = Duration::from_mins(2);
/// How many lines of a test that found another fault than the planted one are shown.
const TAIL: usize = 30;
/// The files that get the switch. The second one takes a file of the first one's crate in.
const SWITCHED: [&str; 2] = ["crates/block/src/lib.rs", "crates/block/tests/loom/main.rs"];

/// One fault.
struct Mutant {
    /// What is wrong with it.
    name: &'static str,
    file: &'static str,
    /// What stands in the file exactly once, in a function, and what stands there instead.
    find: &'static str,
    replace: &'static str,
    build: Build,
    /// The test that must fail, by its full name, and what it must say.
    test: &'static str,
    says: &'static str,
}

/// How the test is built that finds a mutant.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Build {
    /// With the model checker's locks and threads.
    Model,
    /// With loom's atomics, which know the orders of memory.
    Orders,
    /// As the ordinary tests of a package: `--lib`, or `--test=NAME`.
    Tests { package: &'static str, target: &'static str },
}

/// A test's executable, and the folder that it runs in.
#[derive(Clone, Debug)]
struct Executable {
    path: PathBuf,
    folder: PathBuf,
}

/// Plants the faults, and runs for each whose name holds `only` its test.
///
/// # Errors
/// A text is not found exactly once, the copy does not build, a test fails without the fault, or does not fail as the
/// table says with it.
pub fn run(only: Option<&str>) -> Result<()> {
    // Numbered as in the table, so that one alone builds nothing anew.
    let all: Vec<(u32, &Mutant)> = (0..).zip(table::all()).collect();
    let is_chosen = |mutant: &Mutant| only.is_none_or(|only| mutant.name.contains(only));
    let chosen: Vec<_> = all.iter().copied().filter(|(_, mutant)| is_chosen(mutant)).collect();
    ensure!(!chosen.is_empty(), "no mutant's name holds {:?}", only.unwrap_or_default());
    let copy = folder().join("source");
    copy::copy_source(&run::root(), &copy, &planted(&all)?)?;
    let builds: HashSet<Build> = chosen.iter().map(|(_, mutant)| mutant.build).collect();
    let executables = build(&copy, &builds)?;
    let mut tests = HashSet::new();
    let sound = chosen.iter().filter(|(_, mutant)| tests.insert((mutant.build, mutant.test)));
    let sound: Vec<_> = sound.map(|(_, mutant)| (None, *mutant)).collect();
    let mutants: Vec<_> = chosen.iter().map(|(number, mutant)| (Some(*number), *mutant)).collect();
    for work in [sound, mutants] {
        workers::each(&work, |(number, mutant)| mutant.check(&executables[&mutant.build], *number))?;
    }
    println!("{} mutants, each found by its test", chosen.len());
    Ok(())
}

/// Where the copy is, and what is built of it.
fn folder() -> PathBuf {
    run::root().join("target/mutants")
}

/// The files with mutants in them, and that with the switch.
fn planted(all: &[(u32, &'static Mutant)]) -> Result<HashMap<&'static str, String>> {
    let files: BTreeSet<&str> = all.iter().map(|(_, mutant)| mutant.file).collect();
    let mut planted = HashMap::new();
    for file in files {
        let here: Vec<_> = all.iter().filter(|(_, mutant)| mutant.file == file).copied().collect();
        let of = if file.starts_with("crates/block/") { "crate" } else { "udm_block" };
        let source = fs::read_to_string(run::root().join(file))?;
        planted.insert(file, plant::plant(&source, &here, &format!("{of}::{}", plant::SWITCH))?);
    }
    for file in SWITCHED {
        ensure!(!planted.contains_key(file), "{file} has the switch, and can have no mutant");
        planted.insert(file, fs::read_to_string(run::root().join(file))? + plant::MODULE);
    }
    Ok(planted)
}

/// Builds the tests of the copy: their executables. It builds where nothing sound is built: cargo names what it builds by
/// the place within a workspace, and would take the copy's crates for the sound ones.
fn build(copy: &Path, builds: &HashSet<Build>) -> Result<HashMap<Build, Executable>> {
    let target_dir = folder().join("build");
    borrow::borrow(&program::target_folder()?.join("debug"), &target_dir.join("debug"))?;
    borrow::borrow(&model::target_dir().join("checked"), &target_dir.join("checked"))?;
    let mut executables = HashMap::new();
    let packages: BTreeSet<_> = builds.iter().filter_map(Build::package).collect();
    if !packages.is_empty() {
        let targets: BTreeSet<_> = builds.iter().filter_map(Build::target).collect();
        let mut tests = run::cargo(&["test", "--quiet"]);
        for package in packages {
            tests.args(["-p", package]);
        }
        tests.args(targets).arg("--target-dir").arg(&target_dir);
        let found = executables_of(&mut tests, copy)?;
        for build in builds.iter().filter(|build| build.package().is_some()) {
            executables.insert(*build, build.among(&found)?);
        }
    }
    for (build, name) in [(Build::Model, "model"), (Build::Orders, "loom")] {
        if builds.contains(&build) {
            let found = executables_of(&mut model::command(&target_dir, name), copy)?;
            let of = Build::Tests { package: "udm-block", target: name };
            executables.insert(build, of.among(&found)?);
        }
    }
    Ok(executables)
}

/// What cargo tells of each test that `build` makes in `copy`.
fn executables_of(build: &mut Command, copy: &Path) -> Result<Vec<serde_json::Value>> {
    build
        .args(["--no-run", "--message-format=json-render-diagnostics"])
        .current_dir(copy)
        .stdin(Stdio::null());
    let output = build.output().with_context(|| format!("cannot start `{}`", run::line(build)))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the mutants do not build:\n{said}");
    let messages = String::from_utf8_lossy(&output.stdout).into_owned();
    let messages =
        messages.lines().map(|line| serde_json::from_str(line).context("cargo's message is not JSON"));
    messages
        .filter(|message| message.as_ref().map_or(true, |it: &serde_json::Value| !it["executable"].is_null()))
        .collect()
}

impl Build {
    fn package(&self) -> Option<&'static str> {
        if let Self::Tests { package, .. } = self { Some(package) } else { None }
    }

    fn target(&self) -> Option<&'static str> {
        if let Self::Tests { target, .. } = self { Some(target) } else { None }
    }

    /// Its executable, of those that cargo tells of.
    fn among(&self, found: &[serde_json::Value]) -> Result<Executable> {
        let (Some(package), Some(target)) = (self.package(), self.target()) else {
            bail!("{self:?} has no executable of its own");
        };
        let name = target.strip_prefix("--test=").unwrap_or(target);
        let is_it = |message: &&serde_json::Value| {
            let of = message["package_id"].as_str().unwrap_or_default();
            let kind = if target == "--lib" { "lib" } else { "test" };
            let is_named = target == "--lib" || message["target"]["name"] == name;
            of.contains(&format!("#{package}@")) && message["target"]["kind"][0] == kind && is_named
        };
        let message = found.iter().find(is_it).with_context(|| format!("{package} has no {target}"))?;
        let path =
            |member: &str| message[member].as_str().map(PathBuf::from).context("a message without a path");
        let folder =
            path("manifest_path")?.parent().map(Path::to_owned).context("a manifest in no folder")?;
        Ok(Executable { path: path("executable")?, folder })
    }
}

impl Mutant {
    /// `source` with the fault.
    fn mutated(&self, source: &str) -> Result<String> {
        let count = source.matches(self.find).count();
        ensure!(
            count == 1,
            "the mutant \"{}\" replaces a text that {} holds {count} times; bring the row in \
             xtask/src/mutants/table up to date:\n{}",
            self.name,
            self.file,
            self.find
        );
        Ok(source.replace(self.find, self.replace))
    }

    /// With its number, the test must fail as the row says; without one, it must pass.
    fn check(&self, executable: &Executable, number: Option<u32>) -> Result<()> {
        let failed =
            self.test(executable, number).with_context(|| format!("the mutant \"{}\"", self.name))?;
        match (number, failed) {
            (None, None) => {}
            (None, Some(said)) => bail!("{} fails without a fault:\n{}", self.test, tail(&said)),
            (Some(_), None) => bail!("{} does not find the mutant \"{}\"", self.test, self.name),
            (Some(_), Some(said)) => {
                let is_it = said.contains(self.says);
                ensure!(is_it, "{} fails otherwise with \"{}\":\n{}", self.test, self.name, tail(&said));
                println!("found: {} ({})", self.name, self.test);
            }
        }
        Ok(())
    }

    /// Runs the test: what it said, if it failed.
    fn test(&self, executable: &Executable, number: Option<u32>) -> Result<Option<String>> {
        let mut test = Command::new(&executable.path);
        test.args(["--exact", self.test]).current_dir(&executable.folder).env("RUST_BACKTRACE", "0");
        if let Some(number) = number {
            test.env("UDM_MUTANT", number.to_string());
        }
        let ran = run::within(LIMIT, &run::with_bounded_memory(&test)).output()?;
        let said = String::from_utf8_lossy(&ran.stdout) + String::from_utf8_lossy(&ran.stderr);
        if ran.status.success() {
            ensure!(said.contains("1 passed"), "there is no test {}", self.test);
            return Ok(None);
        }
        Ok(Some(said.into_owned()))
    }
}

fn tail(output: &str) -> String {
    let lines: Vec<&str> = output.lines().collect();
    lines[lines.len().saturating_sub(TAIL)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_names_code_that_is_there_in_a_function() {
        planted(&(0..).zip(table::all()).collect::<Vec<_>>()).unwrap();
    }
}
