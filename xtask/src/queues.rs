//! What a bio costs on each of several queues that have one device open, beside what it costs on one alone: time, by the bench
//! `queues` itself, and instructions and cache misses, which valgrind's cachegrind counts.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::program::{self, cargo_executables};
use crate::{judges, run};

/// The devices of the bench; the queues of the last share something, and the figures must show it.
const DEVICES: [&str; 5] = ["linear", "crypt", "managed-linear", "managed-crypt", TWIN];
const TWIN: &str = "twin";
/// How many queues there are at once.
const QUEUES: [u64; 5] = [1, 2, 4, 8, 16];
/// How many bios each queue has in two runs, whose difference is what bios cost.
const BIOS: [u64; 2] = [1000, 4000];
/// How much more than one alone each of several queues may pay.
const MOST: f64 = 1.05;
/// What takes longer than this hangs.
const LIMIT: Duration = Duration::from_mins(10);

/// What cachegrind counts of a bio.
#[derive(Clone, Copy)]
struct Cost {
    instructions: f64,
    /// Data that was not in the core's first cache.
    misses: f64,
    /// Data that was in no cache.
    far_misses: f64,
}

/// Prints both tables.
///
/// # Errors
/// One of several queues pays more than one alone, or a twin does not, or something cannot be run.
pub fn run() -> Result<()> {
    let bench = build()?;
    let in_time = run::run(&mut run::within(LIMIT, &Command::new(&bench)));
    let in_counts = counts(&bench);
    in_time.and(in_counts)
}

fn build() -> Result<PathBuf> {
    let words = ["bench", "-p", program::PACKAGE, "--bench", "queues", "--no-run"];
    let mut build = run::cargo(&words);
    build.arg("--message-format=json-render-diagnostics").stderr(Stdio::inherit());
    let output = build.output().with_context(|| run::line(&build))?;
    run::judge(output.status.code(), &build)?;
    cargo_executables(&output.stdout)?.pop().context("cargo has built no bench")
}

fn counts(bench: &PathBuf) -> Result<()> {
    ensure!(
        judges::find("valgrind").is_some(),
        "instructions are counted by valgrind, which is not installed"
    );
    println!(
        "\na bio on each queue, each with a thread, as cachegrind counts\n{:<16}{:>7}{:>14}{:>8}{:>16}{:>14}",
        "device", "queues", "instructions", "ratio", "misses in L1", "in all caches"
    );
    let mut short = 0;
    for device in DEVICES {
        let mut alone = None;
        for queues in QUEUES {
            let [some, more] = BIOS.map(|bios| counted(bench, device, queues, bios));
            let (some, more) = (some?, more?);
            let of = |pick: fn(&[u64; 3]) -> u64| {
                (pick(&more) as f64 - pick(&some) as f64) / (queues * (BIOS[1] - BIOS[0])) as f64
            };
            let cost = Cost {
                instructions: of(|counts| counts[0]),
                misses: of(|counts| counts[1]),
                far_misses: of(|counts| counts[2]),
            };
            let one = *alone.get_or_insert(cost);
            let ratio = cost.instructions / one.instructions;
            let is_as_it_should = queues == 1 || (ratio <= MOST) == (device != TWIN);
            short += usize::from(!is_as_it_should);
            println!(
                "{device:<16}{queues:>7}{:>14.1}{ratio:>8.3}{:>16.3}{:>14.3}{}",
                cost.instructions,
                cost.misses,
                cost.far_misses,
                if is_as_it_should { "" } else { "   FALLS SHORT" }
            );
        }
    }
    if short > 0 {
        bail!("{short} figures fall short");
    }
    Ok(())
}

/// What a whole run takes: instructions, misses of data in the first cache, and in all.
fn counted(bench: &PathBuf, device: &str, queues: u64, bios: u64) -> Result<[u64; 3]> {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=cachegrind", "--cache-sim=yes", "--cachegrind-out-file=/dev/null"]);
    valgrind.arg(bench).args(["count", device, &queues.to_string(), &bios.to_string()]);
    let mut valgrind = run::within(LIMIT, &valgrind);
    let output = valgrind.output().with_context(|| run::line(&valgrind))?;
    let said = String::from_utf8_lossy(&output.stderr);
    run::judge(output.status.code(), &valgrind).with_context(|| said.clone().into_owned())?;
    parse(&said).with_context(|| format!("what cachegrind says is not what it said before: {said}"))
}

/// The counts in what cachegrind says.
fn parse(said: &str) -> Option<[u64; 3]> {
    let count = |name: &str| {
        let (_, rest) = said.split_once(name)?;
        rest.split_whitespace().next()?.replace(',', "").parse().ok()
    };
    Some([count("I   refs:")?, count("D1  misses:")?, count("LLd misses:")?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_and_what_is_not_there_is_not() {
        let said = "==1== I   refs:      9,915,795\n==1== D1  misses:        9,359  (    4,730 rd   +     4,629 wr)\n\
                    ==1== LLd misses:        6,856  (    2,456 rd   +     4,400 wr)\n";
        assert_eq!(parse(said), Some([9_915_795, 9_359, 6_856]));
        assert_eq!(parse(&said.replace("LLd", "LL")), None);
    }
}
