//! No file speaks of folders that only one machine has.

use crate::tidy::tree::Tree;
use crate::tidy::{Finding, finding};

/// Folders at the root that hold one person's or one machine's files.
const FOLDERS: &[&str] = &["work", "root", "home"];

pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.texts() {
        for (line, text) in text.lines().enumerate() {
            if let Some(folder) = FOLDERS.iter().find(|folder| names_folder(text, folder)) {
                let what = format!(
                    "a path under /{folder} is only on one machine; say it relative to the repository"
                );
                findings.push(finding(path, line, what));
            }
        }
    }
    findings
}

/// Whether `text` has `/FOLDER/`, and not as a part of a longer path.
fn names_folder(text: &str, folder: &str) -> bool {
    text.match_indices(&format!("/{folder}/")).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || "_-.~})]".contains(c))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A path is put together here, so that this file does not hold one.
    fn path(folder: &str) -> String {
        format!("/{folder}/someone/file")
    }

    #[test]
    fn a_path_of_one_machine_is_found_in_any_text() {
        for folder in FOLDERS {
            let text = format!("first\nsee {}\n", path(folder));
            let findings = check(&Tree::of(&[("notes.md", &text)]));
            assert!(findings.len() == 1 && findings[0].line == 2, "{folder}: {findings:?}");
            assert_eq!(check(&Tree::of(&[("a.sh", &format!("x=\"{}\"", path(folder)))])).len(), 1);
        }
    }

    #[test]
    fn paths_that_many_machines_have_pass() {
        let text =
            format!("/usr/share /tmp/x target{0} ~{0} ${{HOME}}{0} https://example.org{0}", path("work"));
        assert_eq!(check(&Tree::of(&[("notes.md", &text)])), []);
    }
}
