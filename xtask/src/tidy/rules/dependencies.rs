//! Every dependency is chosen, and docs/dependencies.md says why.

use crate::tidy::manifest::Manifest;
use crate::tidy::tree::Tree;
use crate::tidy::{Finding, finding};

const MANIFEST: &str = "Cargo.toml";
const PAGE: &str = "docs/dependencies.md";

pub fn check(tree: &Tree) -> Vec<Finding> {
    let Some(manifest) = tree.text(MANIFEST).map(Manifest::read) else { return Vec::new() };
    let Some(page) = tree.text(PAGE) else {
        return vec![finding(PAGE, 0, "there is no such file; write there why each dependency was chosen")];
    };
    let chosen =
        manifest.dependencies.iter().filter(|dependency| dependency.of_workspace && !dependency.by_path);
    chosen
        .filter(|dependency| !names(page, &dependency.name))
        .map(|dependency| {
            let what = format!(
                "{PAGE} does not name {}; say there why it was chosen, or do without",
                dependency.name
            );
            finding(MANIFEST, dependency.line, what)
        })
        .collect()
}

/// Whether the page has the name as a whole word (`clap` is not named by `clap_mangen`).
fn names(page: &str, name: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    page.match_indices(name).any(|(at, _)| {
        let before = page[..at].chars().next_back();
        let after = page[at + name.len()..].chars().next();
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str =
        "[workspace.dependencies]\nudm = { path = \"crates/udm\" }\n\nclap = \"4\"\nlibc = \"0.2\"\n";

    #[test]
    fn dependencies_that_the_page_names_pass() {
        assert_eq!(check(&Tree::of(&[(MANIFEST, ROOT), (PAGE, "`clap` reads words, libc: calls.")])), []);
    }

    #[test]
    fn a_dependency_that_the_page_does_not_name_is_found() {
        let findings = check(&Tree::of(&[(MANIFEST, ROOT), (PAGE, "`clap_mangen`, `libc`")]));
        assert!(findings.len() == 1 && findings[0].line == 4, "{findings:?}");
        assert_eq!(check(&Tree::of(&[(MANIFEST, ROOT)])).len(), 1);
    }
}
