//! `unsafe` has an address and a proof: only in the files that are listed, and with a SAFETY comment at each place.

use crate::tidy::lists::UNSAFE_MODULES;
use crate::tidy::source::{Source, end_of_item};
use crate::tidy::tree::Tree;
use crate::tidy::{Finding, finding};

pub fn check(tree: &Tree) -> Vec<Finding> {
    check_with(tree, UNSAFE_MODULES)
}

fn check_with(tree: &Tree, listed: &[(&str, &str)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in tree.sources() {
        let uses = uses(source);
        let is_listed = listed.iter().any(|(path, _)| *path == source.path);
        let allows = allows_unsafe(source);
        let mut find = |line, what: &str| findings.push(finding(&source.path, line, what));
        if let Some(first) = uses.first() {
            if !is_listed {
                find(
                    first.line,
                    "unsafe code in a file that is not listed; do without, or list it with a reason in xtask/src/tidy/lists.rs",
                );
            }
            if !allows {
                find(
                    first.line,
                    "unsafe code without `#![allow(unsafe_code)]` at the file's top; add it, so that a reader is warned",
                );
            }
        } else if allows {
            find(0, "the file allows unsafe code and has none; remove `#![allow(unsafe_code)]`");
        } else if is_listed {
            find(
                0,
                "the file is listed for unsafe code and has none; remove it from xtask/src/tidy/lists.rs",
            );
        }
        for place in &uses {
            if let Some(complaint) = place.kind.complaint()
                && !has_proof(source, place)
            {
                find(place.line, complaint);
            }
        }
    }
    let gone = listed.iter().filter(|(path, _)| tree.source(path).is_none());
    findings.extend(gone.map(|(path, _)| {
        finding(path, 0, "there is no such file; remove it from UNSAFE_MODULES in xtask/src/tidy/lists.rs")
    }));
    findings
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Something is claimed here: a block, an `impl`, an attribute, foreign declarations.
    Claim,
    /// Something is asked of callers or implementers here: a function, a trait.
    Demand,
    /// A method of a trait: what it asks is said where the trait is defined.
    Inherited,
}

impl Kind {
    /// What is wrong where the proof is missing, and what would do; nothing where none is due.
    const fn complaint(self) -> Option<&'static str> {
        match self {
            Self::Claim => {
                Some("unsafe without its proof; write `// SAFETY: ` directly before it, and why it holds")
            }
            Self::Demand => Some(
                "an unsafe function or trait that does not say what it asks; document it under `# Safety`",
            ),
            Self::Inherited => None,
        }
    }
}

struct Use {
    line: usize,
    kind: Kind,
}

/// The places where the word `unsafe` is code and not part of a type.
fn uses(source: &Source) -> Vec<Use> {
    let tokens = &source.tokens;
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let mut uses = Vec::new();
    for (at, token) in tokens.iter().enumerate().filter(|(_, token)| token.text == "unsafe") {
        let mut next = at + 1;
        while ["extern", "\""].contains(&text(next)) {
            next += 1;
        }
        let kind = match text(next) {
            // `unsafe fn(u8)` is the type of a pointer, and asks nothing yet.
            "fn" if text(next + 1) == "(" => continue,
            "fn" if in_trait_impl(source, at) => Kind::Inherited,
            "fn" | "trait" => Kind::Demand,
            _ => Kind::Claim,
        };
        uses.push(Use { line: token.line, kind });
    }
    uses
}

/// Whether a token stands in an `impl TRAIT for TYPE { ... }`.
fn in_trait_impl(source: &Source, place: usize) -> bool {
    let tokens = &source.tokens;
    (0..place).filter(|&at| tokens[at].text == "impl").any(|at| {
        let mut head =
            tokens[at..].windows(2).take_while(|pair| !["{", ";"].contains(&pair[0].text.as_str()));
        // `for<'a>` belongs to a bound.
        let of_trait = head.any(|pair| pair[0].text == "for" && pair[1].text != "<");
        of_trait && end_of_item(tokens, at).is_some_and(|end| place < end)
    })
}

fn allows_unsafe(source: &Source) -> bool {
    let texts: Vec<&str> = source.tokens.iter().map(|token| token.text.as_str()).collect();
    texts.windows(6).any(|window| {
        window[..3] == ["#", "!", "["]
            && ["allow", "expect"].contains(&window[3])
            && window[5] == "unsafe_code"
    })
}

/// Whether the comment directly before a use holds a proof. Attributes, and the beginning of the statement that the use
/// is in, may stand between.
fn has_proof(source: &Source, place: &Use) -> bool {
    let mut line = place.line;
    while line > 0 {
        line -= 1;
        let code = source.code[line].trim();
        if source.is_comment(line) {
            return comment_ending_at(source, line).any(|text| {
                text.contains("SAFETY: ") || (place.kind == Kind::Demand && text.contains("# Safety"))
            });
        }
        let ends_something = code.is_empty() || code.ends_with([';', '{', '}', ',']);
        if ends_something && !code.starts_with("#[") {
            return false;
        }
    }
    false
}

fn comment_ending_at(source: &Source, last: usize) -> impl Iterator<Item = &str> {
    let first = (0..=last).rev().take_while(|&line| source.is_comment(line)).last().unwrap_or(last);
    source.lines[first..=last].iter().map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTED: &[(&str, &str)] = &[("a.rs", "a reason")];

    fn found(text: &str) -> Vec<(usize, String)> {
        let text = format!("#![allow(unsafe_code)]\n{text}");
        let findings = check_with(&Tree::of(&[("a.rs", &text)]), LISTED);
        findings.into_iter().map(|finding| (finding.line, finding.what)).collect()
    }

    #[test]
    fn a_proof_directly_before_the_place_passes() {
        for text in [
            "// SAFETY: it holds.\nunsafe impl Send for A {}\n",
            "fn f() {\n    // SAFETY: it holds,\n    // and that is why.\n    let x =\n        unsafe { g() };\n}\n",
            "/// Reads.\n///\n/// # Safety\n/// The address is valid.\n#[inline]\npub unsafe fn f() {}\n",
            "// SAFETY: nobody else has this name.\n#[unsafe(no_mangle)]\npub fn f(x: unsafe extern \"C\" fn(u8)) {}\n",
            "impl Source for A {\n    unsafe fn free(&self) {}\n}\n",
            "// SAFETY: the header says so.\nunsafe extern \"C\" {\n    safe fn g();\n}\n",
        ] {
            assert_eq!(found(text), [], "{text}");
        }
    }

    #[test]
    fn a_place_without_its_proof_is_found() {
        for text in [
            "unsafe impl Send for A {}\n",
            "// SAFETY: it holds.\nunsafe impl Send for A {}\nunsafe impl Sync for A {}\n",
            "// SAFETY: far away.\n\nunsafe impl Send for A {}\n",
            "fn f() {\n    // It is fine.\n    unsafe { g() };\n}\n",
            "fn f() {\n    // SAFETY: of the first.\n    h();\n    unsafe { g() };\n}\n",
            "/// Reads.\npub unsafe fn f() {}\n",
            "/// # Safety\n/// Not a proof.\nunsafe impl Send for A {}\n",
            "unsafe extern \"C\" fn f() {}\n",
            "impl Source for A {}\nimpl<F: for<'a> Fn(&'a u8)> A<F> {\n    unsafe fn free(&self) {}\n}\n",
        ] {
            assert_eq!(found(text).len(), 1, "{text}: {:?}", found(text));
        }
    }

    #[test]
    fn unsafe_in_words_is_not_unsafe_code() {
        assert_eq!(
            check_with(&Tree::of(&[("b.rs", "// unsafe\nfn f() { \"unsafe {\"; unsafe_code() }\n")]), &[]),
            []
        );
    }

    #[test]
    fn a_file_that_is_not_listed_or_does_not_warn_is_found() {
        let text = "// SAFETY: it holds.\nunsafe impl Send for A {}\n";
        let unlisted = check_with(&Tree::of(&[("b.rs", &format!("#![allow(unsafe_code)]\n{text}"))]), &[]);
        assert!(unlisted.len() == 1 && unlisted[0].what.contains("not listed"), "{unlisted:?}");
        let silent = check_with(&Tree::of(&[("a.rs", text)]), LISTED);
        assert!(silent.len() == 1 && silent[0].what.contains("warned"), "{silent:?}");
    }

    #[test]
    fn a_row_or_an_allowance_that_no_longer_applies_is_found() {
        assert_eq!(check_with(&Tree::of(&[("a.rs", "fn f() {}\n")]), LISTED).len(), 1);
        assert_eq!(check_with(&Tree::of(&[("b.rs", "#![allow(unsafe_code)]\n")]), &[]).len(), 1);
        assert_eq!(check_with(&Tree::of(&[]), LISTED).len(), 1);
    }
}
