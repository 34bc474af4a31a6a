//! The copy of the source that the mutants are planted in.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::run;

/// Data that tests read and no mutant touches: linked, not copied.
const DATA: &str = "vectors/";

/// Copies what git tracks, or would track, over what is there from the last run, and links the data; files in `instead`
/// get that text. The place is always the same, so that cargo builds anew only what has changed.
///
/// # Errors
/// When git cannot be asked, or a file cannot be copied.
pub fn copy_source(from: &Path, to: &Path, instead: &HashMap<&str, String>) -> Result<()> {
    fs::create_dir_all(to)?;
    let mut list = Command::new("git");
    list.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).current_dir(from);
    let files = list.output().context("cannot ask git for the files")?;
    run::judge(files.status.code(), &list)?;
    let files = String::from_utf8(files.stdout).context("a file's name is not text")?;
    let files: HashSet<&str> = files.split_terminator('\0').filter(|file| !file.starts_with(DATA)).collect();
    remove_others(to, to, &|file| files.contains(file) && from.join(file).is_file())?;
    for file in files {
        let (from, to) = (from.join(file), to.join(file));
        // A file that was removed, but not from the index yet, is none.
        if from.is_file() {
            fs::create_dir_all(to.parent().context("a file without a folder")?)?;
            let source = match instead.get(file) {
                Some(text) => text.clone().into_bytes(),
                None => fs::read(&from).with_context(|| format!("cannot read {}", from.display()))?,
            };
            if fs::read(&to).is_ok_and(|copy| copy == source) {
                continue;
            }
            fs::write(&to, source).with_context(|| format!("cannot write {}", to.display()))?;
        }
    }
    let link = to.join(DATA.trim_end_matches('/'));
    if link.exists() { Ok(()) } else { Ok(symlink(from.join(DATA), link)?) }
}

/// Removes the files below `folder` that are not to be in the copy at `root`: a module that was moved would be there twice.
fn remove_others(folder: &Path, root: &Path, stays: &impl Fn(&str) -> bool) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (kind, path) = (entry.file_type()?, entry.path());
        if kind.is_dir() {
            remove_others(&path, root, stays)?;
        } else if kind.is_file() && !stays(&path.strip_prefix(root)?.to_string_lossy()) {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}
