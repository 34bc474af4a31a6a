//! The files of the repository, as the rules see them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::source::Source;

/// All text files, by their path from the repository's root, with `/` between folders.
pub struct Tree {
    texts: BTreeMap<String, String>,
    sources: Vec<Source>,
}

impl Tree {
    /// Reads every file that git tracks, or does not know and does not ignore. Files that are not text are left out.
    /// Where there is no repository (an unpacked archive), all files count but those of builds.
    ///
    /// # Errors
    /// Git does not list the files, or one of them cannot be read.
    pub fn load(root: &Path) -> Result<Self> {
        let mut texts = BTreeMap::new();
        let paths = if root.join(".git").exists() { listed_by_git(root)? } else { found_below(root, "")? };
        for path in paths {
            let full = root.join(&path);
            // A deleted file stays listed until the deletion is staged, and a link is a name, not a text.
            if !fs::symlink_metadata(&full).is_ok_and(|file| file.is_file()) {
                continue;
            }
            let bytes = fs::read(&full).with_context(|| format!("cannot read {}", full.display()))?;
            if !bytes.contains(&0)
                && let Ok(text) = String::from_utf8(bytes)
            {
                texts.insert(path, text);
            }
        }
        Ok(Self::new(texts))
    }

    fn new(texts: BTreeMap<String, String>) -> Self {
        let is_rust = |path: &str| Path::new(path).extension().is_some_and(|extension| extension == "rs");
        let rust = texts.iter().filter(|(path, _)| is_rust(path));
        let sources = rust.map(|(path, text)| Source::new(path, text)).collect();
        Self { texts, sources }
    }

    /// A tree of these paths and texts.
    #[cfg(test)]
    pub fn of(files: &[(&str, &str)]) -> Self {
        Self::new(files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect())
    }

    /// The number of text files.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Every text file, with its path.
    pub fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.texts.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// The text of one file.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.texts.get(path).map(String::as_str)
    }

    /// Every Rust file.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// One Rust file.
    pub fn source(&self, path: &str) -> Option<&Source> {
        self.sources.iter().find(|source| source.path == path)
    }
}

fn listed_by_git(root: &Path) -> Result<Vec<String>> {
    let mut git = Command::new("git");
    // A checkout that another user made (as in a container) is still one whose files may be listed.
    git.args(["-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let output =
        git.current_dir(root).output().context("cannot start git, which lists the files to check")?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "git does not list the files to check: {}", complaint.trim());
    let paths = String::from_utf8(output.stdout).context("a path is not UTF-8")?;
    let paths: Vec<String> = paths.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect();
    ensure!(!paths.is_empty(), "git lists no file to check");
    Ok(paths)
}

/// All files below `folder` of `root`, without those that builds make.
fn found_below(root: &Path, folder: &str) -> Result<Vec<String>> {
    let mut paths = Vec::new();
    let full = root.join(folder);
    for entry in fs::read_dir(&full).with_context(|| format!("cannot read {}", full.display()))? {
        let entry = entry?;
        let name = entry.file_name().into_string().ok().context("a path is not UTF-8")?;
        let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
        if !entry.file_type()?.is_dir() {
            paths.push(path);
        } else if !["target", "artifacts", "corpus"].contains(&name.as_str()) {
            paths.extend(found_below(root, &path)?);
        }
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn the_tree_holds_what_git_does_not_ignore_and_what_is_text() {
        let scratch = Scratch::new("udm-xtask-tree").unwrap();
        let git = Command::new("git").args(["init", "--quiet"]).current_dir(scratch.path()).status().unwrap();
        assert!(git.success());
        for (name, bytes) in
            [(".gitignore", &b"skipped\n"[..]), ("a.rs", b"//! A.\n"), ("skipped", b"x"), ("image", b"a\0b")]
        {
            fs::write(scratch.path().join(name), bytes).unwrap();
        }
        let tree = Tree::load(scratch.path()).unwrap();
        assert_eq!(tree.texts().map(|(path, _)| path).collect::<Vec<_>>(), [".gitignore", "a.rs"]);
        assert!(tree.source("a.rs").is_some());
    }

    #[test]
    fn without_a_repository_all_but_what_builds_make_is_read() {
        let scratch = Scratch::new("udm-xtask-archive").unwrap();
        for folder in ["src", "target/debug"] {
            fs::create_dir_all(scratch.path().join(folder)).unwrap();
            fs::write(scratch.path().join(folder).join("a.rs"), "//! A.\n").unwrap();
        }
        let tree = Tree::load(scratch.path()).unwrap();
        assert_eq!(tree.texts().map(|(path, _)| path).collect::<Vec<_>>(), ["src/a.rs"]);
    }
}
