//! The block layer's tests under the address sanitizer: use after free, overruns and leaks where there is `unsafe`.
//!
//! The sanitizer's runtime comes with every toolchain, and `RUSTC_BOOTSTRAP` has the stable one take the flag; the
//! standard library stays as it is, which this sanitizer can do with. The thread sanitizer cannot: it does not see how
//! a library that is not instrumented takes a contended lock, and calls what the lock guards a race.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::run;
use crate::scratch::Scratch;

const FLAGS: &str = "-Zsanitizer=address";
/// A program with a fault, and what must be said of it.
const PLANTED: &str = "fn main() { let gone = { let on_heap = Box::new(7u8); &raw const *on_heap };\n\
     println!(\"{}\", unsafe { std::hint::black_box(gone).read_volatile() }) }\n";
const PLANTED_FAULT: &str = "heap-use-after-free";

/// Builds and runs the tests of the block layer under the address sanitizer.
///
/// # Errors
/// Something does not build, the sanitizer does not find a planted fault, or it finds another.
pub fn run() -> Result<()> {
    try_sanitizer()?;
    // With an explicit target triple, cargo keeps the flags away from build scripts and procedural macros.
    let mut test = run::cargo(&["test", "--quiet", "-p", "udm-block", "--lib", "--test=all"]);
    test.args(["--target", &run::host()?, "--target-dir", "target/sanitize"]);
    test.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", FLAGS).env_remove("CARGO_ENCODED_RUSTFLAGS");
    run::run(&mut test)
}

/// Fails unless the sanitizer finds the planted fault.
fn try_sanitizer() -> Result<()> {
    let scratch = Scratch::new("udm-sanitize-planted")?;
    let (source, program) = (scratch.path().join("planted.rs"), scratch.path().join("planted"));
    fs::write(&source, PLANTED)?;
    let mut rustc = Command::new("rustc");
    rustc.arg(FLAGS).arg("-o").args([&program, &source]).env("RUSTC_BOOTSTRAP", "1").current_dir(run::root());
    run::run(&mut rustc)?;
    let ran = Command::new(&program).output().context("cannot start the planted fault")?;
    let said = String::from_utf8_lossy(&ran.stderr);
    ensure!(said.contains(PLANTED_FAULT), "the address sanitizer does not find the planted fault:\n{said}");
    println!("the planted fault was found");
    Ok(())
}
