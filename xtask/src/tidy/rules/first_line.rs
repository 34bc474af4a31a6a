//! The first line of a file says what lives there.

use crate::tidy::tree::Tree;
use crate::tidy::{Finding, finding};

pub fn check(tree: &Tree) -> Vec<Finding> {
    let says_something =
        |line: &String| line.strip_prefix("//! ").is_some_and(|words| !words.trim().is_empty());
    tree.sources()
        .iter()
        .filter(|source| !source.lines.first().is_some_and(says_something))
        .map(|source| {
            finding(
                &source.path,
                0,
                "no `//!` on the first line; say there in a sentence what lives in this file",
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_says_what_it_is_passes() {
        assert_eq!(check(&Tree::of(&[("a.rs", "//! The way home.\n")])), []);
    }

    #[test]
    fn a_file_that_begins_with_anything_else_is_found() {
        for text in ["", "//!\n", "use std::fmt;\n", "\n//! Late.\n", "// Not a doc comment.\n"] {
            assert_eq!(check(&Tree::of(&[("a.rs", text)])).len(), 1, "{text:?}");
        }
    }
}
