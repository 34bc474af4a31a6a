//! Every Rust file belongs to a program or a library: a file that no `mod` declares is never built, let alone tested.

use std::collections::BTreeSet;

use crate::tidy::manifest::Manifest;
use crate::tidy::source::{Source, Token, attribute_at};
use crate::tidy::tree::Tree;
use crate::tidy::{Finding, finding};

pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<String> = tree.sources().iter().map(|source| source.path.clone()).collect();
    let packages = packages(tree);
    next.retain(|path| is_root(&packages, path));
    let roots: BTreeSet<String> = next.iter().cloned().collect();
    while let Some(path) = next.pop() {
        if let Some(source) = tree.source(&path)
            && reached.insert(path.clone())
        {
            next.extend(declared_by(source, roots.contains(&path)));
        }
    }
    tree.sources()
        .iter()
        .filter(|source| !reached.contains(&source.path))
        .map(|source| {
            finding(
                &source.path,
                0,
                "no `mod` declares this file, so it is never built; declare it or remove it",
            )
        })
        .collect()
}

/// A package's folder (with a `/` at its end, empty at the root), and its manifest.
type Package = (String, Manifest);

fn packages(tree: &Tree) -> Vec<Package> {
    tree.texts()
        .filter_map(|(path, text)| {
            let folder = path
                .strip_suffix("Cargo.toml")
                .filter(|folder| folder.is_empty() || folder.ends_with('/'))?;
            let manifest = Manifest::read(text);
            manifest.package.is_some().then(|| (folder.to_owned(), manifest))
        })
        .collect()
}

/// Whether cargo builds this file of its own accord.
fn is_root(packages: &[Package], path: &str) -> bool {
    let owner =
        packages.iter().filter(|(folder, _)| path.starts_with(folder)).max_by_key(|(folder, _)| folder.len());
    let Some((folder, manifest)) = owner else { return false };
    let within = &path[folder.len()..];
    if ["build.rs", "src/lib.rs", "src/main.rs"].contains(&within)
        || manifest.target_paths.iter().any(|target| target == within)
    {
        return true;
    }
    ["src/bin/", "tests/", "benches/", "examples/"].iter().any(|target| {
        let is_searched = *target != "tests/" || !manifest.names_tests;
        is_searched
            && within.strip_prefix(target).is_some_and(|rest| match rest.split_once('/') {
                None => true,
                Some((_, file)) => file == "main.rs",
            })
    })
}

/// The paths at which the modules that a file declares may be.
fn declared_by(source: &Source, is_root: bool) -> Vec<String> {
    let (folder, name) = source.path.rsplit_once('/').unwrap_or(("", &source.path));
    let stem = name.strip_suffix(".rs").unwrap_or(name);
    let home = if is_root || stem == "mod" { folder.to_owned() } else { join(folder, stem) };
    let mut paths = Vec::new();
    // The braces that are open, each with the name of the module that it is of.
    let mut blocks: Vec<Option<&str>> = Vec::new();
    let mut attributes: Vec<&Token> = Vec::new();
    let tokens = &source.tokens;
    let mut at = 0;
    while at < tokens.len() {
        if let Some(attribute) = attribute_at(tokens, at) {
            attributes.extend(&tokens[attribute.clone()]);
            at = attribute.end;
            continue;
        }
        let text = |index: usize| tokens.get(index).map_or("", |token| token.text.as_str());
        match (text(at), text(at + 2)) {
            ("mod", ";") => {
                let inner = blocks.iter().flatten().fold(home.clone(), |inner, block| join(&inner, block));
                let module = text(at + 1);
                match path_of(source, &attributes) {
                    Some(path) if blocks.is_empty() => paths.push(join(folder, &path)),
                    Some(path) => paths.push(join(&inner, &path)),
                    None => {
                        paths.push(join(&inner, &format!("{module}.rs")));
                        paths.push(join(&inner, &format!("{module}/mod.rs")));
                    }
                }
            }
            ("mod", "{") => {
                blocks.push(Some(text(at + 1)));
                at += 2;
            }
            ("{", _) => blocks.push(None),
            ("}", _) => {
                blocks.pop();
            }
            _ => {}
        }
        if [";", "{", "}"].contains(&text(at)) {
            attributes.clear();
        }
        at += 1;
    }
    paths
}

/// What an attribute `#[path = "..."]` says, among the tokens of attributes.
fn path_of(source: &Source, attributes: &[&Token]) -> Option<String> {
    let path = attributes.windows(2).find(|pair| pair[0].text == "path" && pair[1].text == "=")?[0];
    let (_, after) = source.lines[path.line].split_once("path")?;
    after.split('"').nth(1).map(str::to_owned)
}

fn join(folder: &str, name: &str) -> String {
    let mut folder = folder;
    let mut name = name;
    while let Some(rest) = name.strip_prefix("../") {
        name = rest;
        folder = folder.rsplit_once('/').map_or("", |(above, _)| above);
    }
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: (&str, &str) =
        ("c/Cargo.toml", "[package]\nname = \"c\"\n[[bin]]\npath = \"odd/x.rs\"\n");

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let mut all = vec![MANIFEST];
        all.extend(files);
        check(&Tree::of(&all)).into_iter().map(|finding| finding.path).collect()
    }

    #[test]
    fn declared_files_pass_however_they_are_declared() {
        let files = [
            (
                "c/src/lib.rs",
                "mod a;\n#[cfg(x)]\nmod inline {\n    pub mod deep;\n}\n#[path = \"far/b.rs\"]\nmod b;\n",
            ),
            ("c/src/a.rs", "mod below;\n"),
            ("c/src/a/below.rs", ""),
            ("c/src/inline/deep/mod.rs", "mod leaf;\n"),
            ("c/src/inline/deep/leaf.rs", ""),
            ("c/src/far/b.rs", ""),
            ("c/src/bin/tool.rs", "mod beside;\n"),
            ("c/src/bin/beside.rs", ""),
            ("c/tests/whole.rs", "mod judge;\n"),
            ("c/tests/judge/mod.rs", ""),
            ("c/odd/x.rs", ""),
            ("c/build.rs", ""),
        ];
        assert_eq!(found(&files), [""; 0]);
    }

    #[test]
    fn a_test_is_declared_where_the_manifest_names_the_programs_of_tests() {
        let manifest = "[package]\nname = \"d\"\nautotests = false\n[[test]]\npath = \"tests/main.rs\"\n";
        let files = [
            ("d/Cargo.toml", manifest),
            ("d/tests/main.rs", "mod declared;\n"),
            ("d/tests/declared.rs", ""),
            ("d/tests/lost.rs", ""),
        ];
        assert_eq!(found(&files), ["d/tests/lost.rs"]);
    }

    #[test]
    fn files_that_nothing_declares_are_found() {
        let files = [
            ("c/src/lib.rs", "// mod lost;\nfn f() { let _ = \"mod lost;\"; }\nmod inline { mod lost; }\n"),
            ("c/src/lost.rs", "mod child;\n"),
            ("c/src/lost/child.rs", ""),
            ("c/tests/judge/mod.rs", ""),
            ("stray.rs", ""),
        ];
        assert_eq!(
            found(&files),
            ["c/src/lost.rs", "c/src/lost/child.rs", "c/tests/judge/mod.rs", "stray.rs"]
        );
    }
}
