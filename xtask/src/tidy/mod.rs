//! The rules of style that a machine can keep. Each rule is a file of `rules/`; what they are told about this project
//! (which modules may hold `unsafe`, which files the I/O path runs through) stands in `lists.rs`.

mod lists;
mod manifest;
mod rules;
mod source;
mod tree;

use std::fmt;

use anyhow::{Result, bail};

use crate::run;
use tree::Tree;

/// A place that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    path: String,
    /// Counted from 1.
    line: usize,
    /// What is wrong, a semicolon, and what would do.
    what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

/// A finding; `line` counts from 0, as indices of lines do.
fn finding(path: &str, line: usize, what: impl Into<String>) -> Finding {
    Finding { path: path.to_owned(), line: line + 1, what: what.into() }
}

/// Checks every file that git tracks, or would track if it were added.
///
/// # Errors
/// The files cannot be read, or a rule is broken; each finding has then been printed.
pub fn run() -> Result<()> {
    let tree = Tree::load(&run::root())?;
    let mut findings: Vec<Finding> = rules::ALL.iter().flat_map(|rule| rule(&tree)).collect();
    findings.sort();
    findings.dedup();
    for finding in &findings {
        println!("{finding}");
    }
    if !findings.is_empty() {
        bail!("tidy has {} findings; to repeat it: cargo xtask tidy", findings.len());
    }
    println!("{} files, {} rules, nothing to find", tree.len(), rules::ALL.len());
    Ok(())
}
