//! Each package depends only on those below it.

use crate::tidy::lists::FLOORS;
use crate::tidy::manifest::Manifest;
use crate::tidy::tree::Tree;
use crate::tidy::{Finding, finding};

pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.texts().filter(|(path, _)| path.rsplit('/').next() == Some("Cargo.toml")) {
        let manifest = Manifest::read(text);
        let Some(package) = manifest.package else { continue };
        let Some((_, below)) = FLOORS.iter().find(|(name, _)| *name == package) else {
            let what = format!(
                "the package {package} has no floor; give it one in FLOORS of xtask/src/tidy/lists.rs"
            );
            findings.push(finding(path, 0, what));
            continue;
        };
        let is_ours = |name: &str| FLOORS.iter().any(|(ours, _)| *ours == name);
        for dependency in manifest.dependencies {
            if is_ours(&dependency.name) && !below.contains(&dependency.name.as_str()) {
                let what = format!(
                    "{package} looks up to {}; it may use {}, so move what is shared down, or pass it in",
                    dependency.name,
                    if below.is_empty() { "none of our packages".to_owned() } else { below.join(", ") }
                );
                findings.push(finding(path, dependency.line, what));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<Finding> {
        check(&Tree::of(&[("crates/x/Cargo.toml", text)]))
    }

    #[test]
    fn looking_down_passes() {
        assert_eq!(
            found(
                "[package]\nname = \"udm-crypto\"\n[dependencies]\nudm-block.workspace = true\naes = \"1\"\n"
            ),
            []
        );
        assert_eq!(found("[workspace]\n[workspace.dependencies]\nudm = { path = \"crates/udm\" }\n"), []);
    }

    #[test]
    fn looking_up_is_found_in_every_table() {
        for table in
            ["dependencies", "dev-dependencies", "build-dependencies", "target.'cfg(unix)'.dependencies"]
        {
            let text = format!("[package]\nname = \"udm-block\"\n[{table}]\nudm-crypto.workspace = true\n");
            let findings = found(&text);
            assert!(findings.len() == 1 && findings[0].line == 4, "{findings:?}");
        }
        let renamed = "[package]\nname = \"udm-export\"\n[dependencies]\nfront = { package = \"udm\", path = \"../udm\" }\n";
        assert_eq!(found(renamed).len(), 1);
    }

    #[test]
    fn a_package_without_a_floor_is_found() {
        assert_eq!(found("[package]\nname = \"udm-attic\"\n").len(), 1);
    }
}
