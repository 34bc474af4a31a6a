//! A Cargo.toml, read as far as the rules need it: the package's name, what it depends on, and paths of its programs.

/// What a manifest says.
#[derive(Debug, Default)]
pub struct Manifest {
    /// Nothing for the manifest of a workspace without a package of its own.
    pub package: Option<String>,
    pub dependencies: Vec<Dependency>,
    /// What stands in `path = "..."` of a `[lib]`, `[[bin]]`, `[[test]]`, `[[bench]]` or `[[example]]`.
    pub target_paths: Vec<String>,
    /// Whether it names its programs of tests (`autotests = false`), and cargo looks for no others in `tests/`.
    pub names_tests: bool,
}

/// One line of a table of dependencies.
#[derive(Debug, PartialEq, Eq)]
pub struct Dependency {
    /// The name of the package, whatever it is called here.
    pub name: String,
    /// Counted from 0.
    pub line: usize,
    /// Whether it stands in `[workspace.dependencies]`.
    pub of_workspace: bool,
    /// Whether it is a package of this repository, by its path.
    pub by_path: bool,
}

impl Manifest {
    pub fn read(text: &str) -> Self {
        let mut manifest = Self::default();
        let mut section = String::new();
        // How many brackets of a value that goes over several lines are open.
        let mut open = 0_i32;
        for (number, line) in text.lines().enumerate() {
            let line = without_comment(line).trim();
            let brackets = line.matches(['[', '{']).count() as i32 - line.matches([']', '}']).count() as i32;
            let inside = open > 0;
            open += brackets;
            if inside || line.is_empty() {
                continue;
            }
            if line.starts_with('[') {
                line.trim_matches(['[', ']']).clone_into(&mut section);
                if let Some((table, name)) = section.rsplit_once('.')
                    && holds_dependencies(table)
                {
                    manifest.add_dependency(table, name, "", number);
                }
                continue;
            }
            let Some((key, value)) = line.split_once('=') else { continue };
            manifest.add(&section, key.trim(), value.trim(), number);
        }
        manifest
    }

    fn add(&mut self, section: &str, key: &str, value: &str, number: usize) {
        match (section, key) {
            ("package", "autotests") => self.names_tests = value == "false",
            ("package", "name") => self.package = Some(value.trim_matches('"').to_owned()),
            ("lib" | "bin" | "test" | "bench" | "example", "path") => {
                self.target_paths.push(value.trim_matches('"').to_owned());
            }
            _ if holds_dependencies(section) => {
                let name = key.split('.').next().unwrap_or(key).trim_matches('"');
                self.add_dependency(section, name, value, number);
            }
            _ => {}
        }
    }

    fn add_dependency(&mut self, section: &str, name: &str, value: &str, line: usize) {
        let renamed = value.split_once("package").and_then(|(_, rest)| rest.split('"').nth(1));
        self.dependencies.push(Dependency {
            name: renamed.unwrap_or(name).to_owned(),
            line,
            of_workspace: section == "workspace.dependencies",
            by_path: value.contains("path ="),
        });
    }
}

/// Whether a section is a table of dependencies, of any kind and for any target.
fn holds_dependencies(section: &str) -> bool {
    let last = section.rsplit('.').next().unwrap_or(section);
    ["dependencies", "dev-dependencies", "build-dependencies"].contains(&last)
}

fn without_comment(line: &str) -> &str {
    let mut quoted = false;
    for (at, character) in line.char_indices() {
        match character {
            '"' => quoted = !quoted,
            '#' if !quoted => return &line[..at],
            _ => {}
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_read_as_far_as_the_rules_need_it() {
        let text = r#"
[package] # ours
name = "udm-dm"
[[bin]]
name = "x"
path = "fuzz_targets/x.rs"
[dependencies]
udm-block.workspace = true
# udm = "1"
clap = { version = "4", features = [
    "derive",
] }
short = { package = "udm-export", path = "../export" }
[target.'cfg(unix)'.dev-dependencies]
libc = "0.2"
[build-dependencies.cc]
version = "1"
"#;
        let manifest = Manifest::read(text);
        assert_eq!(manifest.package.as_deref(), Some("udm-dm"));
        assert_eq!(manifest.target_paths, ["fuzz_targets/x.rs"]);
        let names: Vec<_> = manifest.dependencies.iter().map(|found| (&*found.name, found.line)).collect();
        assert_eq!(names, [("udm-block", 7), ("clap", 9), ("udm-export", 12), ("libc", 14), ("cc", 15)]);
        assert!(manifest.dependencies[2].by_path && !manifest.dependencies[1].by_path);
    }

    #[test]
    fn a_workspace_has_dependencies_and_no_package() {
        let manifest =
            Manifest::read("[workspace.package]\nname = \"x\"\n[workspace.dependencies]\nlibc = \"0.2\"\n");
        assert_eq!(manifest.package, None);
        assert!(manifest.dependencies[0].of_workspace);
    }
}
