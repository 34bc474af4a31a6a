//! Planting faults in a copy of the source, to show that the tests find them.
//!
//! The product holds no hook for this: a mutant is a text that is replaced in one file (`table.rs`, `backend.rs`). A text that is not
//! found exactly once is an error, so that a mutant cannot outlive the code that it was made for.

mod backend;
mod table;

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::{model, run};

/// How long one test may take; with the fault it may also hang, which is a way to fail that is not ours.
const LIMIT: Duration = Duration::from_mins(2);
/// How many lines of a test that found another fault than the planted one are shown.
const TAIL: usize = 30;
/// Data that tests read and no mutant touches: linked, not copied.
const DATA: &str = "vectors/";

/// Every mutant.
fn all() -> impl Iterator<Item = &'static Mutant> {
    table::ALL.iter().chain(backend::ALL)
}

/// One fault.
struct Mutant {
    /// What is wrong with it.
    name: &'static str,
    file: &'static str,
    /// What stands in the file exactly once, and what stands there instead.
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

impl Build {
    /// The cargo command that builds the tests, and runs them. It builds where nothing sound is built: cargo names what
    /// it builds by the place within a workspace, and would take a mutant of the copy for the crate itself.
    fn command(self) -> Command {
        let target_dir = folder().join("build");
        match self {
            Self::Model => model::command(&target_dir, "model"),
            Self::Orders => model::command(&target_dir, "loom"),
            Self::Tests { package, target } => {
                let mut test = run::cargo(&["test", "--quiet", "-p", package, target, "--target-dir"]);
                test.arg(target_dir);
                test
            }
        }
    }
}

/// Plants each fault whose name holds `only`, one after the other, and runs its test.
///
/// # Errors
/// A text is not found exactly once, a mutant does not build, a test fails without the fault, or does not fail as the
/// table says with it.
pub fn run(only: Option<&str>) -> Result<()> {
    let chosen: Vec<_> = all().filter(|mutant| only.is_none_or(|only| mutant.name.contains(only))).collect();
    ensure!(!chosen.is_empty(), "no mutant's name holds {:?}", only.unwrap_or_default());
    for mutant in &chosen {
        mutant.mutated(&fs::read_to_string(run::root().join(mutant.file))?)?;
    }
    let copy = folder().join("source");
    copy_source(&run::root(), &copy)?;
    let mut tests = HashSet::new();
    for mutant in chosen.iter().filter(|mutant| tests.insert((mutant.build, mutant.test))) {
        if let Some(output) = mutant.test(&copy)? {
            bail!("{} fails without a fault:\n{}", mutant.test, tail(&output));
        }
    }
    for mutant in &chosen {
        mutant.check(&copy).with_context(|| format!("the mutant \"{}\"", mutant.name))?;
        println!("found: {} ({})", mutant.name, mutant.test);
    }
    println!("{} mutants, each found by its test", chosen.len());
    Ok(())
}

/// Where the copy is, and what is built of it.
fn folder() -> PathBuf {
    run::root().join("target/mutants")
}

impl Mutant {
    /// `source` with the fault.
    fn mutated(&self, source: &str) -> Result<String> {
        let count = source.matches(self.find).count();
        ensure!(
            count == 1,
            "the mutant \"{}\" replaces a text that {} holds {count} times; bring the row in \
             xtask/src/mutants/table.rs up to date:\n{}",
            self.name,
            self.file,
            self.find
        );
        Ok(source.replace(self.find, self.replace))
    }

    /// Plants the fault in the copy, runs the test, and takes the fault out again.
    fn check(&self, copy: &Path) -> Result<()> {
        let file = copy.join(self.file);
        let sound = fs::read_to_string(&file)?;
        fs::write(&file, self.mutated(&sound)?)?;
        let output = self.test(copy);
        fs::write(&file, sound)?;
        let output = output?.with_context(|| format!("{} does not find it", self.test))?;
        ensure!(output.contains(self.says), "{} fails otherwise:\n{}", self.test, tail(&output));
        Ok(())
    }

    /// Builds and runs the test: what it said, if it failed.
    fn test(&self, copy: &Path) -> Result<Option<String>> {
        let mut only_build = self.build.command();
        only_build.arg("--no-run").current_dir(copy);
        let built = only_build.stdin(Stdio::null()).output()?;
        ensure!(built.status.success(), "it does not build:\n{}", String::from_utf8_lossy(&built.stderr));
        let mut test = self.build.command();
        test.args(["--", "--exact", self.test]).current_dir(copy).env("RUST_BACKTRACE", "0");
        let ran = run::within(LIMIT, &run::with_bounded_memory(&test)).output()?;
        let said = String::from_utf8_lossy(&ran.stdout) + String::from_utf8_lossy(&ran.stderr);
        if ran.status.success() {
            ensure!(said.contains("1 passed"), "there is no test {}", self.test);
            return Ok(None);
        }
        Ok(Some(said.into_owned()))
    }
}

/// Copies what git tracks, or would track, over what is there from the last run, and links the data. The place is always
/// the same, so that cargo builds anew only what has changed.
fn copy_source(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    let mut list = Command::new("git");
    list.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).current_dir(from);
    let files = list.output().context("cannot ask git for the files")?;
    run::judge(files.status.code(), &list)?;
    let files = String::from_utf8(files.stdout).context("a file's name is not text")?;
    for file in files.split_terminator('\0').filter(|file| !file.starts_with(DATA)) {
        let (from, to) = (from.join(file), to.join(file));
        // A file that was removed, but not from the index yet, is none.
        if from.is_file() {
            fs::create_dir_all(to.parent().context("a file without a folder")?)?;
            let source = fs::read(&from).with_context(|| format!("cannot read {}", from.display()))?;
            if fs::read(&to).is_ok_and(|copy| copy == source) {
                continue;
            }
            fs::write(&to, source).with_context(|| format!("cannot write {}", to.display()))?;
        }
    }
    let link = to.join(DATA.trim_end_matches('/'));
    if link.exists() { Ok(()) } else { Ok(symlink(from.join(DATA), link)?) }
}

fn tail(output: &str) -> String {
    let lines: Vec<&str> = output.lines().collect();
    lines[lines.len().saturating_sub(TAIL)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MUTANT: Mutant = Mutant {
        name: "a test's",
        file: "file.rs",
        find: "a + b",
        replace: "a - b",
        build: Build::Tests { package: "none", target: "--lib" },
        test: "none",
        says: "none",
    };

    #[test]
    fn a_text_is_replaced_where_it_stands_once() {
        assert_eq!(MUTANT.mutated("let sum = a + b;").unwrap(), "let sum = a - b;");
    }

    #[test]
    fn a_text_that_is_gone_or_stands_twice_is_an_error() {
        for (source, count) in [("let sum = a.add(b);", "0 times"), ("a + b; a + b", "2 times")] {
            let error = MUTANT.mutated(source).unwrap_err().to_string();
            assert!(error.contains(count) && error.contains("file.rs"), "{error}");
        }
    }

    #[test]
    fn every_row_names_code_that_is_there() {
        for mutant in all() {
            mutant.mutated(&fs::read_to_string(run::root().join(mutant.file)).unwrap()).unwrap();
        }
    }
}
