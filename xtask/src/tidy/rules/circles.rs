//! No file of a crate imports one that imports it, on whatever way.
//!
//! What counts is `use`, and a full path in code (`crate::x::Y`, `super::y`). A module that only hands names on (`pub use`)
//! imports nothing by that. Not counted are what a module calls of one that is declared in it (`below::f()`), and what is
//! built into tests alone.

use std::collections::{BTreeMap, BTreeSet};

use crate::tidy::source::{Source, Token};
use crate::tidy::tree::Tree;
use crate::tidy::{Finding, finding};

/// The place of a module in its crate: the names on the way to it.
type Module = Vec<String>;
/// Which modules each module imports from.
type Imports = BTreeMap<Module, BTreeSet<Module>>;

pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut crates: BTreeMap<&str, BTreeMap<Module, &Source>> = BTreeMap::new();
    for source in tree.sources().iter().filter(|source| !source.is_tests()) {
        if let Some((root, file)) = source.path.split_once("/src/") {
            crates.entry(root).or_default().insert(module_of(file), source);
        }
    }
    let mut findings = Vec::new();
    for modules in crates.values() {
        for circle in circles(&imports(modules)) {
            let paths: BTreeSet<&str> = circle.iter().map(|module| modules[module].path.as_str()).collect();
            let all: Vec<_> = paths.into_iter().collect();
            let what = format!(
                "these files import each other: {}; move what two of them share into a third",
                all.join(", ")
            );
            findings.push(finding(all[0], 0, what));
        }
    }
    findings
}

/// The module that a file below `src/` is.
fn module_of(file: &str) -> Module {
    let mut names: Module = file.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if matches!(names.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        names.pop();
    }
    names
}

fn imports(modules: &BTreeMap<Module, &Source>) -> Imports {
    let mut imports = Imports::new();
    for (module, source) in modules {
        let used = used(module, source);
        let targets = used.iter().filter_map(|(from, path)| resolve(modules, from, path));
        imports.insert(module.clone(), targets.filter(|target| target != module).collect());
    }
    imports
}

/// A path, behind the module that it is written in.
type Path = (Module, Vec<String>);

/// The paths of a file that lead to modules, but for those that hand names on, and those of tests.
fn used(module: &Module, source: &Source) -> Vec<Path> {
    let tokens = &source.tokens;
    let places = places(tokens, module);
    let mut used = Vec::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let before = if at > 0 { tokens[at - 1].text.as_str() } else { "" };
        let place = &places[at];
        at += 1;
        if source.in_tests(token.line) {
            continue;
        }
        if token.text == "use" {
            let mut paths = Vec::new();
            at += paths_in(&tokens[at..], &mut Vec::new(), &mut paths);
            if !matches!(before, "pub" | ")") {
                used.extend(paths.into_iter().map(|path| (place.clone(), path)));
            }
        } else if matches!(token.text.as_str(), "crate" | "super" | "self") && before != "in" {
            // The first word alone is no path: `pub(crate)`, `&self`.
            let path = path_at(tokens, at - 1);
            at += 3 * (path.len() - 1);
            if path.len() > 1 {
                used.push((place.clone(), path));
            }
        }
    }
    used
}

/// The module that each token is in: that of the file, or one that is written out in it.
fn places(tokens: &[Token], file: &Module) -> Vec<Module> {
    let (mut place, mut open, mut depth) = (file.clone(), Vec::new(), 0);
    let mut places = Vec::with_capacity(tokens.len() + 1);
    for (at, token) in tokens.iter().enumerate() {
        match token.text.as_str() {
            "{" => {
                depth += 1;
                if at >= 2 && tokens[at - 2].text == "mod" {
                    place.push(tokens[at - 1].text.clone());
                    open.push(depth);
                }
            }
            "}" => {
                if open.last() == Some(&depth) {
                    open.pop();
                    place.pop();
                }
                depth -= 1;
            }
            _ => {}
        }
        places.push(place.clone());
    }
    places.push(place);
    places
}

/// Whether a word begins a path here: two colons are behind it.
fn is_path(tokens: &[Token], at: usize) -> bool {
    let is_colon = |at: usize| tokens.get(at).is_some_and(|token| token.text == ":");
    tokens[at].is_word() && is_colon(at + 1) && is_colon(at + 2)
}

/// The words of the path that begins at `at`.
fn path_at(tokens: &[Token], mut at: usize) -> Vec<String> {
    let mut path = vec![tokens[at].text.clone()];
    while is_path(tokens, at) && tokens.get(at + 3).is_some_and(Token::is_word) {
        at += 3;
        path.push(tokens[at].text.clone());
    }
    path
}

/// Puts the paths of a tree of `use` into `paths`, each behind `before`. How many tokens the tree has.
fn paths_in(tokens: &[Token], before: &mut Vec<String>, paths: &mut Vec<Vec<String>>) -> usize {
    let own = before.len();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        match token.text.as_str() {
            "{" => {
                at += 1;
                while tokens.get(at).is_some_and(|token| token.text != "}") {
                    at += paths_in(&tokens[at..], before, paths).max(1);
                }
                at += 1;
                before.truncate(own);
                return at;
            }
            "," | "}" | ";" => break,
            "as" => at += 1,
            _ if token.is_word() => before.push(token.text.clone()),
            _ => {}
        }
        at += 1;
    }
    if before.len() > own {
        paths.push(before.clone());
    }
    before.truncate(own);
    at + usize::from(tokens.get(at).is_some_and(|token| token.text == ","))
}

/// The module of this crate that `path`, written in `from`, leads into.
fn resolve(modules: &BTreeMap<Module, &Source>, from: &Module, path: &[String]) -> Option<Module> {
    let mut base = from.clone();
    let mut rest = path;
    match path.first()?.as_str() {
        "crate" => {
            base.clear();
            rest = &path[1..];
        }
        "self" => rest = &path[1..],
        "super" => {
            while rest.first().is_some_and(|name| name == "super") {
                base.pop();
                rest = &rest[1..];
            }
        }
        child => {
            let mut place = base.clone();
            place.push(child.to_owned());
            modules.get(&place)?;
        }
    }
    base.extend(rest.iter().cloned());
    while !modules.contains_key(&base) {
        base.pop()?;
    }
    Some(base)
}

/// The sets of modules that import each other.
fn circles(imports: &Imports) -> Vec<BTreeSet<Module>> {
    let reached: BTreeMap<&Module, BTreeSet<&Module>> =
        imports.keys().map(|module| (module, reached(imports, module))).collect();
    let mut circles = Vec::new();
    let mut seen = BTreeSet::new();
    for (module, from_it) in &reached {
        let circle: BTreeSet<Module> = from_it
            .iter()
            .filter(|other| reached[*other].contains(module))
            .map(|&other| other.clone())
            .collect();
        if circle.len() > 1 && !seen.contains(*module) {
            seen.extend(circle.iter().cloned());
            circles.push(circle);
        }
    }
    circles
}

/// The modules that are imported from `module` on.
fn reached<'a>(imports: &'a Imports, module: &Module) -> BTreeSet<&'a Module> {
    let mut reached = BTreeSet::new();
    let mut left: Vec<&Module> = imports[module].iter().collect();
    while let Some(next) = left.pop() {
        if reached.insert(next) {
            left.extend(&imports[next]);
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<Finding> {
        check(&Tree::of(files))
    }

    #[test]
    fn looking_one_way_passes() {
        let files = [
            ("crates/x/src/lib.rs", "mod a;\nmod b;\npub use a::A;\nuse b::B;\n"),
            ("crates/x/src/a.rs", "use crate::b::{B, C};\nuse std::fmt;\n"),
            ("crates/x/src/b.rs", "#[cfg(test)]\nmod tests {\n    use crate::a::A;\n}\n"),
        ];
        assert_eq!(found(&files), []);
    }

    #[test]
    fn a_circle_is_found_through_names_that_are_handed_on_and_through_nested_lists() {
        for back in [
            "use crate::a::A;",
            "use super::a::{self};",
            "use crate::{b::B, a::{A as Z}};",
            "use super::super::x::a::A;",
        ] {
            let a = "use super::b::B;\n";
            let files = [("crates/x/src/a.rs", a), ("crates/x/src/b.rs", back), ("crates/x/src/lib.rs", "")];
            let is_found = found(&files);
            let outside = back.contains("super::super");
            assert_eq!(is_found.len(), usize::from(!outside), "{back}: {is_found:?}");
        }
        let parent = [
            ("crates/x/src/m/mod.rs", "mod n;\nuse n::N;\npub struct M;\n"),
            ("crates/x/src/m/n.rs", "use super::M;\n"),
        ];
        let findings = found(&parent);
        assert!(
            findings.len() == 1 && findings[0].what.contains("m/mod.rs, crates/x/src/m/n.rs"),
            "{findings:?}"
        );
    }

    #[test]
    fn a_circle_is_found_through_full_paths() {
        for back in [
            "fn f(_: crate::a::A) {}\n",
            "fn f() -> Option<super::a::A> {\n    None\n}\n",
            "mod inner {\n    fn f(_: super::super::a::A) {}\n}\n",
            "fn f() {\n    crate::a::f::<u8>();\n}\n",
        ] {
            let files = [("crates/x/src/a.rs", "use super::b::B;\n"), ("crates/x/src/b.rs", back), LIB];
            assert_eq!(found(&files).len(), 1, "{back}");
        }
        for apart in [
            "pub(in crate::a) struct B;\n",
            "/// As [`A`](crate::a::A).\nfn f(&self) {}\n",
            "mod inner {\n    fn f(_: super::a::A) {}\n}\n",
            "#[cfg(test)]\nfn f(_: crate::a::A) {}\n",
        ] {
            let files = [("crates/x/src/a.rs", "use super::b::B;\n"), ("crates/x/src/b.rs", apart), LIB];
            assert_eq!(found(&files), [], "{apart}");
        }
    }

    const LIB: (&str, &str) = ("crates/x/src/lib.rs", "mod a;\nmod b;\n");
}
