//! What I/O passes does not allocate.
//!
//! The I/O path is the folders of `IO_PATH`, with all files in them, but for those of `OFF_PATH`: a file that is added to such
//! a folder is on it. (`xtask/src/tidy/lists.rs`.)
//!
//! What such a file does at other times (when a device is made, when an error is told) carries the comment
//! `// not on the I/O path: REASON`, at the end of the line or directly before it; before a `fn` it is for the whole
//! function.

use std::ops::Range;

use crate::tidy::lists::{IO_PATH, OFF_PATH};
use crate::tidy::source::Source;
use crate::tidy::tree::Tree;
use crate::tidy::{Finding, finding};

/// Words that allocate. `.clone()` is not one: what is cloned on the path is mostly an `Arc` or a `Copy` type.
const WORDS: &[&str] = &[
    "Vec::new",
    "Vec::with_capacity",
    "vec!",
    "Box::new",
    "Box::pin",
    ".to_vec()",
    ".to_owned()",
    ".to_string()",
    ".collect()",
    ".collect::<",
    "format!",
    "String::",
    "Arc::new",
    "Rc::new",
    "HashMap",
    "BTreeMap",
];

/// What excuses a line, before its reason.
const EXCUSE: &str = "// not on the I/O path: ";

pub fn check(tree: &Tree) -> Vec<Finding> {
    check_with(tree, IO_PATH, OFF_PATH)
}

fn check_with(tree: &Tree, io_path: &[&str], off_path: &[&str]) -> Vec<Finding> {
    let is_below = |path: &str, place: &str| path == place || place.ends_with('/') && path.starts_with(place);
    let sources = || tree.sources().iter().filter(|source| !source.is_tests());
    let mut findings: Vec<_> = [(io_path, "IO_PATH"), (off_path, "OFF_PATH")]
        .into_iter()
        .flat_map(|(list, name)| list.iter().map(move |place| (place, name)))
        .filter(|(place, _)| !sources().any(|source| is_below(&source.path, place)))
        .map(|(place, name)| {
            let what = format!("there is no such file; remove it from {name} in xtask/src/tidy/lists.rs");
            finding(place, 0, what)
        })
        .collect();
    let is_in = |path: &str, list: &[&str]| list.iter().any(|place| is_below(path, place));
    for source in sources().filter(|source| is_in(&source.path, io_path) && !is_in(&source.path, off_path)) {
        findings.extend(allocations(source));
    }
    findings
}

/// The lines of a file that allocate where I/O passes.
fn allocations(source: &Source) -> Vec<Finding> {
    let excused = excused_functions(source);
    let mut findings = Vec::new();
    for (line, code) in source.code.iter().enumerate() {
        let Some(word) = WORDS.iter().find(|word| contains_word(code, word)) else { continue };
        let is_excused = source.in_tests(line)
            || has_excuse(source, line)
            || excused.iter().any(|function| function.contains(&line));
        if !is_excused {
            let what = format!(
                "`{word}` allocates where I/O passes; take it from a pool made before, or say `{EXCUSE}REASON`"
            );
            findings.push(finding(&source.path, line, what));
        }
    }
    findings
}

/// Whether `word` stands in `code`, and not only as the end of a longer word.
fn contains_word(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        !word.starts_with(char::is_alphabetic) || !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

fn has_excuse(source: &Source, line: usize) -> bool {
    let excuses = |line: usize| {
        source.lines[line].split_once(EXCUSE).is_some_and(|(_, reason)| !reason.trim().is_empty())
    };
    excuses(line) || (line > 0 && source.is_comment(line - 1) && excuses(line - 1))
}

/// The lines of functions with the excuse before them, among their documentation and attributes.
fn excused_functions(source: &Source) -> Vec<Range<usize>> {
    let is_head = |line: usize| source.is_comment(line) || source.code[line].trim().starts_with("#[");
    let functions = source.functions().into_iter().map(|function| function.lines);
    functions
        .filter(|lines| {
            let head = (0..lines.start).rev().take_while(|&line| is_head(line));
            head.chain([lines.start]).any(|line| {
                source.lines[line].split_once(EXCUSE).is_some_and(|(_, reason)| !reason.trim().is_empty())
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<usize> {
        check_with(&Tree::of(&[("a.rs", text)]), &["a.rs"], &[]).iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn each_allocating_word_is_found() {
        for word in WORDS {
            assert_eq!(found(&format!("fn f() {{\n    {word};\n}}\n")), [2], "{word}");
        }
    }

    #[test]
    fn what_does_not_allocate_passes() {
        assert_eq!(
            found("// Vec::new\nfn f(a: MyVec) { g(\"format!\"); MyVec::new(); reformat!(); a.clone() }\n"),
            [0; 0]
        );
    }

    #[test]
    fn an_excuse_with_a_reason_passes() {
        for text in [
            "fn f() {\n    g(Box::new(1)); // not on the I/O path: made once\n}\n",
            "fn f() {\n    // not on the I/O path: made once\n    g(Box::new(1));\n}\n",
            "/// Makes it.\n// not on the I/O path: made once\n#[inline]\nfn f() {\n    a();\n    g(Box::new(1));\n}\n",
            "fn f() {}\n#[cfg(test)]\nmod tests {\n    fn f() { vec![1]; }\n}\n",
        ] {
            assert_eq!(found(text), [0; 0], "{text}");
        }
    }

    #[test]
    fn an_excuse_without_a_reason_or_for_another_place_is_none() {
        assert_eq!(found("fn f() {\n    g(Box::new(1)); // not on the I/O path: \n}\n"), [2]);
        assert_eq!(
            found("fn f() {\n    // not on the I/O path: made once\n    g();\n    Box::new(1);\n}\n"),
            [4]
        );
        assert_eq!(found("// not on the I/O path: made once\nfn f() {}\nfn g() { Box::new(1); }\n"), [3]);
    }

    #[test]
    fn a_file_that_is_added_to_a_folder_of_the_path_is_on_it_unless_it_is_named() {
        let files = [("a/b.rs", "fn f() { vec![1]; }\n"), ("a/tests.rs", "fn f() { vec![1]; }\n")];
        let tree = Tree::of(&files);
        assert_eq!(check_with(&tree, &["a/"], &[]).len(), 1);
        assert_eq!(check_with(&tree, &["a/"], &["a/b.rs"]), []);
    }

    #[test]
    fn a_row_for_a_file_that_is_gone_is_found() {
        assert_eq!(check_with(&Tree::of(&[]), &["a.rs"], &["b/"]).len(), 2);
    }
}
