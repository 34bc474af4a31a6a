//! The speed that is promised, measured and held against its targets.

mod figures;
mod targets;

use std::collections::HashMap;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::run;
use targets::{ALL, Limit, Target};

/// Measures what is promised, each beside its target. With `check` it fails where one falls short.
///
/// # Errors
/// A measurement failed, or, with `check`, a figure falls short of its target.
pub fn run(check: bool, only: Option<&str>) -> Result<()> {
    run::run(&mut run::cargo(&["build", "--quiet", "--release", "-p", "udm"]))?;
    let mut runs: HashMap<&str, Value> = HashMap::new();
    let (mut short, mut missing) = (0, 0);
    println!("{:<58}{:>10}{:>12}", "what", "measured", "target");
    for target in ALL.iter().filter(|target| only.is_none_or(|part| target.what.contains(part))) {
        if !runs.contains_key(target.run) {
            runs.insert(target.run, measure(target.run)?);
        }
        if let Some(figure) = target.source.find(&runs[target.run]) {
            short += usize::from(!report(target, figure));
        } else {
            missing += 1;
            let limit = shown(target.limit);
            println!("{:<58}{:>10}{limit:>12}   not measured on this machine", target.what, "-");
        }
    }
    println!("{short} fall short, {missing} could not be measured");
    if check && short > 0 {
        bail!("{short} figures fall short of their targets");
    }
    Ok(())
}

/// Prints a figure beside its target. Whether it is good enough.
fn report(target: &Target, figure: f64) -> bool {
    let is_good = match target.limit {
        Limit::AtLeast(least) => figure >= least,
        Limit::AtMost(most) => figure <= most,
    };
    let verdict = if is_good { "" } else { "   FALLS SHORT" };
    println!("{:<58}{figure:>10.2}{:>12}{verdict}", target.what, shown(target.limit));
    is_good
}

fn shown(limit: Limit) -> String {
    match limit {
        Limit::AtLeast(least) => format!(">= {least:.2}"),
        Limit::AtMost(most) => format!("<= {most:.2}"),
    }
}

/// What `udm bench` measures when it is given these words. A driver that this machine does not have measures nothing.
fn measure(words: &str) -> Result<Value> {
    let program = run::root().join("target/release/udm");
    let output = std::process::Command::new(&program)
        .args(["--json", "bench"])
        .args(words.split(' '))
        .output()
        .with_context(|| format!("{}", program.display()))?;
    if !output.status.success() {
        eprintln!("udm bench {words}: {}", String::from_utf8_lossy(&output.stdout).trim());
        return Ok(Value::Null);
    }
    serde_json::from_slice(&output.stdout).with_context(|| format!("what udm bench {words} printed"))
}
