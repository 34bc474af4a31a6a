//! The program on processors that this machine is not: an emulator hides features, one after the other, and each time the
//! best of what is left must be chosen, and be right.
//!
//! Every driver is held against the portable one when it is registered, so that a list of drivers is a test of those
//! that are in it. The kernel's ciphertext is decrypted and made again by all of them where there is time for that.

use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::done::Done;
use crate::{run, workers};

const EMULATOR: &str = "qemu-x86_64";
/// Whose drivers are listed.
const ALGORITHM: &str = "xts(aes)";

/// A processor.
struct Cpu<'a> {
    /// In the emulator's words. It has no AVX-512 ever.
    name: &'static str,
    /// The driver that is to be the first choice.
    first: &'static str,
    /// Drivers that cannot be used, and what they are to say for it.
    lacking: &'a [(&'static str, &'static str)],
}

const CPUS: &[Cpu<'static>] = &[
    // The VAES of older emulators is not right on 256 bits: there the self-test keeps `vaes256` out.
    Cpu {
        name: "max,vaes=off",
        first: "aesni",
        lacking: &[("vaes512:bytes", "VAES"), ("vaes512:shifts", "VAES"), ("vaes256", "VAES")],
    },
    Cpu {
        name: "max,avx2=off",
        first: "aesni",
        lacking: &[("vaes512:bytes", "AVX2"), ("vaes512:shifts", "AVX2"), ("vaes256", "AVX2")],
    },
    Cpu {
        name: "max,aes=off",
        first: "aws-lc",
        lacking: &[
            ("vaes512:bytes", "AES-NI"),
            ("vaes512:shifts", "AES-NI"),
            ("vaes256", "AES-NI"),
            ("aesni", "AES-NI"),
        ],
    },
];

/// Looks at each processor; with `vectors` it runs the kernel's vectors on it, which takes minutes.
///
/// # Errors
/// A driver is chosen that should not be, or does not say what it lacks; or a vector fails.
pub fn run(vectors: bool) -> Result<Done> {
    if std::env::consts::ARCH != "x86_64" {
        let why = format!("there are kernels for x86-64 alone, and this is {}", std::env::consts::ARCH);
        return Ok(Done::Skipped(why));
    }
    run::run(&mut run::cargo(&["build", "--quiet", "--workspace", "--bin", "udm"]))?;
    workers::each(CPUS, |cpu| {
        let drivers = drivers_of(cpu)?;
        check(cpu, &drivers)?;
        println!("{}: {} is the first choice", cpu.name, cpu.first);
        // The bad twin: a processor that has what is said to be lacking is found.
        let lacking = [(cpu.first, "its features")];
        ensure!(
            check(&Cpu { lacking: &lacking, ..*cpu }, &drivers).is_err(),
            "{}: nothing is found",
            cpu.name
        );
        Ok(())
    })?;
    if !vectors {
        return Ok(Done::Checked);
    }
    let mut cargo = run::cargo(&["test", "--quiet", "-p", "udm-dm", "--test=all", "--", "vectors::"]);
    for cpu in CPUS {
        let runner = format!("{EMULATOR} -cpu {}", cpu.name);
        run::run(cargo.env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER", runner))?;
    }
    Ok(Done::Checked)
}

/// What the program says of its drivers there.
fn drivers_of(cpu: &Cpu<'_>) -> Result<Vec<Value>> {
    let listed = output(emulated(cpu).arg(run::root().join("target/debug/udm")).args(["ciphers", "--json"]))?;
    serde_json::from_str(&listed).context("the list of drivers")
}

fn check(cpu: &Cpu<'_>, drivers: &[Value]) -> Result<()> {
    let standing = |name: &str| {
        let is_it = |driver: &&Value| driver["algorithm"] == ALGORITHM && driver["driver"] == name;
        drivers.iter().find(is_it).and_then(|driver| driver["standing"].as_str()).unwrap_or("not listed")
    };
    let first = standing(cpu.first);
    ensure!(
        first == "first choice",
        "{}: {} is {first:?}, and should be the first choice",
        cpu.name,
        cpu.first
    );
    for (driver, lacks) in cpu.lacking {
        let (found, wanted) = (standing(driver), format!("not on this machine: {lacks}"));
        ensure!(found == wanted, "{}: {driver} is {found:?}, and should be {wanted:?}", cpu.name);
    }
    Ok(())
}

fn emulated(cpu: &Cpu<'_>) -> Command {
    let mut command = Command::new(EMULATOR);
    command.args(["-cpu", cpu.name]);
    command
}

fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| run::line(command))?;
    if !output.status.success() {
        bail!("{}: {}", run::line(command), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
