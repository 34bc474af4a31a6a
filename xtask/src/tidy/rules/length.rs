//! A long file or function is asking to be two. Tests may be long: they are lists.

use crate::tidy::lists::LONG;
use crate::tidy::tree::Tree;
use crate::tidy::{Finding, finding};

/// The most lines that a file may have, without its tests.
const FILE: usize = 450;
/// The most lines that a function may have, from its `fn` to its closing brace.
const FUNCTION: usize = 80;

pub fn check(tree: &Tree) -> Vec<Finding> {
    check_with(tree, LONG)
}

fn check_with(tree: &Tree, excepted: &[(&str, &str)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut unused: Vec<&str> = excepted.iter().map(|(name, _)| *name).collect();
    let mut excuse = |name: &str| {
        unused.retain(|row| *row != name);
        excepted.iter().any(|(row, _)| *row == name)
    };
    for source in tree.sources().iter().filter(|source| !source.is_tests()) {
        let lines = (0..source.lines.len()).filter(|&line| !source.in_tests(line)).count();
        if lines > FILE && !excuse(&source.path) {
            let what = format!(
                "{lines} lines, and {FILE} are the most; look for the second idea and give it a file"
            );
            findings.push(finding(&source.path, 0, what));
        }
        for function in source.functions() {
            let (first, lines) = (function.lines.start, function.lines.len());
            if lines > FUNCTION
                && !source.in_tests(first)
                && !excuse(&format!("{}::{}", source.path, function.name))
            {
                let name = function.name;
                let what =
                    format!("`{name}` has {lines} lines, and {FUNCTION} are the most; give its parts names");
                findings.push(finding(&source.path, first, what));
            }
        }
    }
    let stale = "nothing long goes by this name; remove it from LONG in xtask/src/tidy/lists.rs";
    findings.extend(unused.into_iter().map(|name| finding(name, 0, stale)));
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(lines: usize) -> String {
        format!("fn f() {{\n{}}}\n", "    g();\n".repeat(lines - 2))
    }

    #[test]
    fn what_is_just_short_enough_passes_and_a_line_more_is_found() {
        let file = |lines: usize| "// A line.\n".repeat(lines);
        assert_eq!(
            check_with(&Tree::of(&[("src/a.rs", &file(FILE)), ("src/b.rs", &function(FUNCTION))]), &[]),
            []
        );
        let long = Tree::of(&[("src/a.rs", &file(FILE + 1)), ("src/b.rs", &function(FUNCTION + 1))]);
        assert_eq!(check_with(&long, &[]).len(), 2);
        assert_eq!(check_with(&long, &[("src/a.rs", "why"), ("src/b.rs::f", "why")]), []);
    }

    #[test]
    fn tests_may_be_long() {
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", function(FILE));
        assert_eq!(
            check_with(&Tree::of(&[("src/a.rs", &tests), ("src/b/tests.rs", &function(FILE * 2))]), &[]),
            []
        );
    }

    #[test]
    fn an_exception_that_nothing_needs_is_found() {
        assert_eq!(check_with(&Tree::of(&[("src/a.rs", &function(3))]), &[("src/a.rs::f", "why")]).len(), 1);
    }
}
