//! Tests that cannot run on this machine: they say so, and nobody takes them for tests that passed.
//!
//! A test runner shows no output of a test that passed. So each skipped test also writes a line to the file that
//! `UDM_SKIPPED` names; `cargo xtask test` sets it, and prints the lines under the step's result.

use std::env;
use std::fmt::Display;
use std::fs::OpenOptions;
use std::io::Write as _;

/// Says that `what` is not tested here because of `why`, which somebody can mend: a program or a right is missing.
/// The caller returns.
///
/// # Panics
/// Where the variable `CI` is set: there every test must run.
#[track_caller]
pub fn skip(what: &str, why: impl Display) {
    tell(what, &why);
    assert!(env::var_os("CI").is_none(), "{what} cannot be tested: {why}; with CI set, this is a failure");
}

/// Says that `what` is not tested here because this machine's processor or kernel is not made for it (`why`). It does
/// not fail with CI set, since nobody can install a processor. The caller returns.
///
/// # Panics
/// Where `UDM_REQUIRE` has a word of `what`: `UDM_REQUIRE=vaes512,loop` is for a machine that has both.
#[track_caller]
pub fn skip_for_machine(what: &str, why: impl Display) {
    tell(what, &why);
    let required = env::var("UDM_REQUIRE").unwrap_or_default();
    let word = required.split(',').find(|word| !word.is_empty() && what.contains(word));
    assert!(word.is_none(), "{what} cannot be tested: {why}; UDM_REQUIRE has {word:?}, so this is a failure");
}

fn tell(what: &str, why: &dyn Display) {
    eprintln!("SKIPPED: {what}: {why}");
    let Some(path) = env::var_os("UDM_SKIPPED") else { return };
    // One write of one line: tests of several processes append to the file at the same time.
    let told = OpenOptions::new()
        .append(true)
        .open(&path)
        .and_then(|mut file| file.write_all(format!("{what}: {why}\n").as_bytes()));
    if let Err(error) = told {
        panic!("cannot write to {}, which UDM_SKIPPED names: {error}", path.display());
    }
}

#[cfg(test)]
mod tests {
    use std::process::Output;
    use std::{env, fs};

    use super::*;

    const ROLE: &str = "UDM_TESTKIT_ROLE";

    /// Not a test of itself: the child of the test below, which changes its environment.
    #[test]
    fn child() {
        match env::var(ROLE).as_deref() {
            Ok("missing") => skip("the sea", "no ship"),
            Ok("machine") => skip_for_machine("the sea", "this is a desert"),
            _ => {}
        }
    }

    fn run(role: &str, ci: bool, required: Option<&str>, report: &std::path::Path) -> Output {
        let mut child = crate::again(module_path!(), "child");
        child.env(ROLE, role);
        child.env("UDM_SKIPPED", report).env_remove("CI").env_remove("UDM_REQUIRE");
        if ci {
            child.env("CI", "true");
        }
        child.envs(required.map(|words| ("UDM_REQUIRE", words)));
        child.output().unwrap()
    }

    #[test]
    fn a_skipped_test_is_told_of_and_fails_in_ci_where_the_lack_can_be_mended() {
        let report = env::temp_dir().join(format!("udm-skipped-{}", std::process::id()));
        fs::write(&report, "").unwrap();
        for (role, ci, passes) in [
            ("missing", false, true),
            ("missing", true, false),
            ("machine", false, true),
            ("machine", true, true),
        ] {
            let output = run(role, ci, None, &report);
            assert_eq!(output.status.success(), passes, "{role} {ci}: {output:?}");
            assert!(String::from_utf8_lossy(&output.stderr).contains("SKIPPED: the sea: "), "{output:?}");
        }
        let lines = fs::read_to_string(&report).unwrap();
        let (ship, desert) = ("the sea: no ship\n", "the sea: this is a desert\n");
        assert_eq!(lines, format!("{ship}{ship}{desert}{desert}"));
        for (required, passes) in [("", true), ("miri,river", true), ("miri,sea", false)] {
            let output = run("machine", true, Some(required), &report);
            assert_eq!(output.status.success(), passes, "{required}: {output:?}");
        }
        fs::remove_file(&report).unwrap();
    }
}
