//! Nothing unfinished, left over or switched off.

use crate::tidy::tree::Tree;
use crate::tidy::{Finding, finding};

/// Words of code, and what would do.
const WORDS: &[(&str, &str)] = &[
    ("todo!", "finish it, or leave out what cannot work yet"),
    ("unimplemented!", "finish it, or refuse the request with an error that says so"),
    ("dbg!", "remove it, or use `tracing`"),
    ("#[ignore", "a test that does not run checks nothing: mend it or delete it"),
];

pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in tree.sources() {
        for (line, code) in source.code.iter().enumerate() {
            for (word, what_would_do) in WORDS.iter().filter(|(word, _)| code.contains(word)) {
                findings.push(finding(&source.path, line, format!("`{word}`; {what_would_do}")));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_may_be_spoken_of() {
        let text = "// todo! and dbg! are not code here.\nfn f() { g(\"#[ignore] todo!()\") }\n";
        assert_eq!(check(&Tree::of(&[("a.rs", text)])), []);
    }

    #[test]
    fn each_word_is_found_in_code() {
        let text = "fn f() { todo!() }\nfn g() { unimplemented!(\"x\") }\nfn h() { dbg!(1); }\n#[test]\n#[ignore = \"slow\"]\n";
        let lines: Vec<_> = check(&Tree::of(&[("a.rs", text)])).iter().map(|finding| finding.line).collect();
        assert_eq!(lines, [1, 2, 3, 5]);
    }
}
