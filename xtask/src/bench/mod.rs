//! The speed that is promised, measured and held against its targets.

mod figures;
mod page;
mod targets;

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::{Command, Output};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::run;
use targets::{ALL, Limit, Target};

/// What is done with the figures.
#[derive(Clone, Copy)]
pub struct Use {
    /// Fail where one falls short.
    pub check: bool,
    /// Write them into `docs/performance.md`, with pictures.
    pub write: bool,
}

/// What came of a target.
struct Outcome {
    target: &'static Target,
    /// Not there where this machine cannot measure it.
    figure: Option<f64>,
}

impl Outcome {
    fn falls_short(&self) -> bool {
        self.figure.is_some_and(|figure| match self.target.limit {
            Limit::AtLeast(least) => figure < least,
            Limit::AtMost(most) => figure > most,
        })
    }

    fn shown(&self) -> String {
        self.figure.map_or("-".into(), |figure| format!("{figure:.2}"))
    }

    fn remark(&self) -> &'static str {
        match self.figure {
            None => "not measured on this machine",
            Some(_) if self.falls_short() => "FALLS SHORT",
            Some(_) => "",
        }
    }
}

/// Measures what is promised, each beside its target.
///
/// # Errors
/// A measurement failed, the page cannot be written, or a figure that is checked falls short of its target.
pub fn run(to: Use, only: Option<&str>) -> Result<()> {
    run::run(&mut run::cargo(&["build", "--quiet", "--release", "-p", "udm-cli"]))?;
    let mut runs: HashMap<&str, Value> = HashMap::new();
    let mut outcomes = Vec::new();
    println!("{:<58}{:>10}{:>12}", "what", "measured", "target");
    for target in ALL.iter().filter(|target| only.is_none_or(|part| target.what.contains(part))) {
        if !runs.contains_key(target.run) {
            runs.insert(target.run, measure(target.run)?);
        }
        let outcome = Outcome { target, figure: target.source.find(&runs[target.run]) };
        let limit = shown(target.limit);
        println!("{:<58}{:>10}{limit:>12}   {}", target.what, outcome.shown(), outcome.remark());
        outcomes.push(outcome);
    }
    let short = outcomes.iter().filter(|outcome| outcome.falls_short()).count();
    let missing = outcomes.iter().filter(|outcome| outcome.figure.is_none()).count();
    println!("{short} fall short, {missing} could not be measured");
    if to.write {
        page::write(&outcomes)?;
    }
    if to.check && short > 0 {
        bail!("{short} figures fall short of their targets");
    }
    Ok(())
}

fn shown(limit: Limit) -> String {
    match limit {
        Limit::AtLeast(least) => format!(">= {least:.2}"),
        Limit::AtMost(most) => format!("<= {most:.2}"),
    }
}

fn program() -> PathBuf {
    run::root().join("target/release/udm")
}

fn output(command: &mut Command) -> Result<Output> {
    command.output().with_context(|| run::line(command))
}

/// What `udm bench` measures when it is given these words, when it shared its core for no round, if that comes about
/// soon.
fn measure(words: &str) -> Result<Value> {
    let shared = |run: &Value| {
        let charts = run["charts"].as_array().into_iter().flatten();
        charts.filter_map(|chart| chart["shared_rounds"].as_u64()).sum::<u64>()
    };
    let mut best = measure_once(words)?;
    for _ in 0..2 {
        if shared(&best) == 0 {
            break;
        }
        let again = measure_once(words)?;
        if shared(&again) < shared(&best) {
            best = again;
        }
    }
    Ok(best)
}

/// What `udm bench` measures when it is given these words. A driver that this machine does not have measures nothing.
fn measure_once(words: &str) -> Result<Value> {
    let output = output(Command::new(program()).args(["--json", "bench"]).args(words.split(' ')))?;
    if !output.status.success() {
        eprintln!("udm bench {words}: {}", String::from_utf8_lossy(&output.stdout).trim());
        return Ok(Value::Null);
    }
    serde_json::from_slice(&output.stdout).with_context(|| format!("what udm bench {words} printed"))
}
