//! No macro that panics where stdout or stderr cannot be written.

use crate::tidy::tree::Tree;
use crate::tidy::{Finding, finding};

/// The macros.
const MACROS: &[&str] = &["print!(", "println!(", "eprint!(", "eprintln!("];
/// Crates that only tests use.
const OF_TESTS: &[&str] = &["crates/sim/", "crates/reference/", "crates/testkit/"];

pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let in_program = |path: &str| {
        path.starts_with("crates/")
            && path.contains("/src/")
            && !OF_TESTS.iter().any(|of| path.starts_with(of))
    };
    for source in tree.sources().iter().filter(|source| in_program(&source.path)) {
        for (line, code) in source.code.iter().enumerate().filter(|(line, _)| !source.in_tests(*line)) {
            if let Some(found) = MACROS.iter().rev().find(|found| code.contains(**found)) {
                let what = format!(
                    "`{found}...)` panics when nobody reads it; use `tracing`, `log::say` or `cli::print`"
                );
                findings.push(finding(&source.path, line, what));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_macro_is_found_in_the_program_alone() {
        let text = "fn f() { print!(\"a\"); }\nfn g() { println!() }\nfn h() { eprint!(\"b\") }\nfn i() { eprintln!() }\n\
                    // println!(\"a\")\n#[cfg(test)]\nmod tests {\n    fn k() { println!() }\n}\n";
        let found = check(&Tree::of(&[("crates/udm/src/a.rs", text)]));
        assert_eq!(found.iter().map(|finding| finding.line).collect::<Vec<_>>(), [1, 2, 3, 4], "{found:?}");
        for path in
            ["xtask/src/a.rs", "crates/dm/tests/a.rs", "crates/dm/examples/a.rs", "crates/sim/src/a.rs"]
        {
            assert_eq!(check(&Tree::of(&[(path, text)])), [], "{path}");
        }
    }
}
