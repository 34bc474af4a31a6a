//! Files are named for what they hold.

use crate::tidy::tree::Tree;
use crate::tidy::{Finding, finding};

/// Names that say only that something is in the file.
const SAY_NOTHING: &[&str] = &["utils", "util", "helpers", "helper", "common", "types", "misc"];

pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in tree.sources() {
        let mut parts = source.path.trim_end_matches(".rs").rsplit('/');
        let name = parts.next().filter(|name| *name != "mod").or_else(|| parts.next()).unwrap_or_default();
        if SAY_NOTHING.contains(&name) {
            let what = format!("`{name}` says nothing of what the file holds; name it for that");
            findings.push(finding(&source.path, 0, what));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_says_what_is_inside_passes() {
        assert_eq!(
            check(&Tree::of(&[("src/rescue.rs", ""), ("src/iv/mod.rs", ""), ("src/common_iv.rs", "")])),
            []
        );
    }

    #[test]
    fn a_name_that_says_nothing_is_found() {
        for path in ["src/utils.rs", "src/a/helpers.rs", "common.rs", "src/types/mod.rs", "src/misc.rs"] {
            assert_eq!(check(&Tree::of(&[(path, "")])).len(), 1, "{path}");
        }
    }
}
