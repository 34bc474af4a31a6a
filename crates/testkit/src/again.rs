//! A test that runs itself again, in a process of its own: for what ends or changes the process.

use std::env;
use std::process::Command;

/// The command that runs the test `name` of a module (`module_path!()`) of this program again, its output on the streams.
///
/// # Panics
/// When this program has no such test: the child would run none, and end well.
pub fn again(module: &str, name: &str) -> Command {
    let program = env::current_exe().expect("the path of this program");
    // The first part is the program's name, which the harness leaves out.
    let test = match module.split_once("::") {
        Some((_, module)) => format!("{module}::{name}"),
        None => name.to_owned(),
    };
    let listed =
        Command::new(&program).args(["--exact", &test, "--list"]).output().expect("this program again");
    let is_there = String::from_utf8_lossy(&listed.stdout).contains(&format!("{test}: test"));
    assert!(is_there, "this program has no test {test}");
    let mut again = Command::new(program);
    again.args(["--exact", &test, "--nocapture"]);
    again
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_runs_again_by_its_name_alone() {
        const CHILD: &str = "UDM_TESTKIT_AGAIN";
        if env::var_os(CHILD).is_some() {
            println!("here I am");
            return;
        }
        let name = "a_test_runs_again_by_its_name_alone";
        let ran = again(module_path!(), name).env(CHILD, "1").output().unwrap();
        assert!(String::from_utf8_lossy(&ran.stdout).contains("here I am"), "{ran:?}");
    }

    #[test]
    #[should_panic(expected = "this program has no test again::tests::nobody")]
    fn a_test_that_is_not_there_is_no_test_that_passes() {
        let _ = again(module_path!(), "nobody");
    }
}
