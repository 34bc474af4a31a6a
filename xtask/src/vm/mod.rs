//! `cargo xtask vm-swap`: in an emulated machine with a kernel of Debian's, the guest swaps on an encrypted volume that
//! udm serves to it from within, while a program touches three times the memory that there is.
//!
//! This is the whole of what `serve --locked` promises: were there one allocation in the way of a write, the guest would
//! stand still sooner or later. `xtask/vm/init` is what the guest does.

mod cpio;
mod machine;
mod rig;

use std::fs::File;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::done::Done;
use crate::scratch::Scratch;
use machine::Machine;
use rig::Rig;

/// The memory of the guest, in MiB.
const MEMORY_MIB: u32 = 256;
/// What the program touches, in MiB.
const TOUCHED_MIB: u32 = 3 * MEMORY_MIB;
/// The volume to swap on, in MiB.
const VOLUME_MIB: u64 = 1024;
/// How much must have been written to the swap, in MiB: what has no place in memory.
const SWAPPED_MIB: u64 = (TOUCHED_MIB - MEMORY_MIB) as u64;
/// How long a run may take before it counts as hung. A machine that has something else to do takes minutes.
const LIMIT: Duration = Duration::from_mins(10);

/// What a run is to be.
#[derive(clap::Args)]
pub struct Options {
    /// How many runs, each with a seed of its own
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// The seed of the first run
    #[arg(long, default_value_t = 1)]
    seed: u32,
    /// How often each page is read again, and some of them rewritten
    #[arg(long, default_value_t = 2)]
    passes: u8,
    /// The cipher driver of the volume
    #[arg(long, value_name = "NAME")]
    driver: Option<String>,
    /// The emulator's accelerator: tcg, or kvm where that can run a stock kernel
    #[arg(long, default_value = "tcg")]
    accel: String,
}

impl Default for Options {
    fn default() -> Self {
        Self { runs: 1, seed: 1, passes: 2, driver: None, accel: "tcg".into() }
    }
}

/// As a step of the checks: one run, or why this machine cannot.
///
/// # Errors
/// Those of [`run`].
pub fn step() -> Result<Done> {
    if let Some(why) = rig::obstacle() {
        return Ok(Done::Skipped(format!("no machine to swap in: {why}")));
    }
    run(&Options { passes: 1, ..Options::default() })?;
    Ok(Done::Checked)
}

/// Builds what the guest needs, and runs it.
///
/// # Errors
/// When the machine cannot be built or a run is not right: the guest's console is shown then.
pub fn run(options: &Options) -> Result<()> {
    let rig = Rig::build()?;
    for seed in (options.seed..).take(options.runs as usize) {
        let outcome = run_once(&rig, options, seed)?;
        println!("vm-swap: seed {seed}: {outcome}");
    }
    Ok(())
}

fn run_once(rig: &Rig, options: &Options, seed: u32) -> Result<String> {
    let scratch = Scratch::new(&format!("udm-vm-swap-{seed}"))?;
    let disk = scratch.path().join("disk");
    File::create(&disk).and_then(|file| file.set_len(VOLUME_MIB << 20)).context("the guest's disk")?;
    let driver = options.driver.as_deref().unwrap_or_default();
    ensure!(driver.bytes().all(|byte| byte.is_ascii_graphic()), "no driver is called {driver:?}");
    let passes = options.passes;
    let variables = format!("UDM_SEED={seed} UDM_MIB={TOUCHED_MIB} UDM_PASSES={passes} UDM_DRIVER={driver}");
    let machine =
        Machine { accel: &options.accel, memory_mib: MEMORY_MIB, disk: &disk, variables: &variables };
    let (console, took) = machine.run(rig, &scratch.path().join("console"), LIMIT)?;
    match judge(&console) {
        Ok(told) => Ok(format!("{told}; in {:.0} s", took.as_secs_f32())),
        Err(error) => {
            eprintln!("{console}");
            Err(error.context(format!(
                "the guest with seed {seed}; its console stands above; to repeat it: cargo xtask vm-swap --seed {seed}"
            )))
        }
    }
}

/// What the guest's console says, in a line, where all is right.
fn judge(console: &str) -> Result<String> {
    if let Some(why) = console.lines().find_map(|line| line.strip_prefix("vm-swap: failed: ")) {
        bail!("the guest failed: {why}");
    }
    let touched =
        value(console, "vm-swap: touch ended with ").context("the guest did not come to its end")?;
    ensure!(touched == 0, "the program that touches memory found a wrong page, or was ended: {touched}");
    let out = value(console, "vm-swap: out ").context("the guest does not say how much was swapped")?;
    ensure!(out >= SWAPPED_MIB, "only {out} MiB were swapped out, so that nothing was put to the test");
    ensure!(console.contains("kills 0"), "the guest ran out of memory and ended a program");
    ensure!(value(console, "vm-swap: udm ended with ") == Some(0), "udm did not end well");
    ensure!(console.contains("safe to swap to"), "udm does not say that it is safe to swap to");
    let counters = console.lines().rfind(|line| line.starts_with("udm: counters: "));
    let counters = counters.context("udm does not tell its counters")?;
    ensure!(counters.contains("0 minor, 0 major"), "udm had page faults while it served: {counters}");
    let passes = console.lines().filter(|line| line.starts_with("touch: pass ")).count();
    let counters = counters.trim_start_matches("udm: ");
    Ok(format!("{TOUCHED_MIB} MiB right in {passes} passes, {out} MiB swapped out; {counters}"))
}

/// The number behind `name` at a line's beginning.
fn value(console: &str, name: &str) -> Option<u64> {
    let rest = console.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
touch: 768 MiB written in 10.0 s
touch: pass 1: 196608 pages right, 98000 rewritten, in 20.0 s
vm-swap: out 900 MiB, in 600 MiB, kills 0
vm-swap: udm ended with 0
 INFO safe to swap to
udm: counters: 1 connections; page faults of I/O threads: 0 minor, 0 major; memory asked for in vain: 0 times
vm-swap: touch ended with 0
";

    #[test]
    fn a_good_run_is_told_in_a_line() {
        let told = judge(GOOD).unwrap();
        assert!(told.starts_with("768 MiB right in 1 passes, 900 MiB swapped out; counters"), "{told}");
    }

    #[test]
    fn each_thing_that_is_wrong_is_found() {
        for (good, bad) in [
            ("touch ended with 0", "touch ended with 1"),
            ("vm-swap: touch", "later: touch"),
            ("out 900", "out 90"),
            ("kills 0", "kills 1"),
            ("udm ended with 0", "udm ended with 137"),
            ("0 minor", "7 minor"),
            ("safe to swap to", "fine"),
            ("udm: counters", "nothing"),
            ("touch: 768", "vm-swap: failed: swapon\ntouch: 768"),
        ] {
            assert!(judge(&GOOD.replacen(good, bad, 1)).is_err(), "{bad}");
        }
    }
}
