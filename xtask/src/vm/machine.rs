//! The emulated machine.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::rig::Rig;
use crate::run;

/// An emulated machine, and what its kernel is told.
pub struct Machine<'a> {
    /// `tcg`, or `kvm` where that can run a stock kernel.
    pub accel: &'a str,
    pub memory_mib: u32,
    /// A raw image, the guest's `/dev/vda`.
    pub disk: &'a Path,
    /// `NAME=VALUE ...` for the environment of init.
    pub variables: &'a str,
}

/// What the kernel is told. An emulated processor moves byte by byte where a real one has a fast way, so the kernel is
/// kept from that way.
const KERNEL: &str = "console=ttyS0 panic=-1 oops=panic quiet loglevel=4 mitigations=off audit=0 \
                      clearcpuid=rep_good,erms,fsrm";

impl Machine<'_> {
    /// Runs the machine until it switches itself off: its console, and how long it took. One that has not ended after
    /// `limit` is ended, and its console is as it was then.
    ///
    /// # Errors
    /// When the emulator does not run.
    pub fn run(&self, rig: &Rig, console: &Path, limit: Duration) -> Result<(String, Duration)> {
        let cpu = if self.accel == "tcg" { "max,-erms,-fsrm" } else { "host" };
        let mut qemu = Command::new("qemu-system-x86_64");
        qemu.args(["-machine", "q35", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
        qemu.args(["-accel", self.accel, "-cpu", cpu, "-smp", "2", "-m", &self.memory_mib.to_string()]);
        qemu.arg("-kernel").arg(&rig.kernel).arg("-initrd").arg(&rig.initramfs);
        qemu.arg("-append").arg(format!("{KERNEL} {}", self.variables));
        qemu.arg("-serial").arg(format!("file:{}", console.display()));
        // The disk need not survive this machine.
        let drive = format!("if=none,id=disk,format=raw,cache=unsafe,file={}", self.disk.display());
        qemu.arg("-drive").arg(drive).args(["-device", "virtio-blk-pci,drive=disk"]);
        qemu.env("PATH", run::path_with_system_programs());
        let begin = Instant::now();
        let ended = run::run(&mut run::within(limit, &qemu));
        let took = begin.elapsed();
        let text = fs::read(console).map(|bytes| String::from_utf8_lossy(&bytes).replace('\r', ""));
        match (ended, text) {
            // What a machine said that hung says where it hung.
            (Err(error), Ok(text)) if !text.is_empty() => {
                eprintln!("{error:#}");
                Ok((text, took))
            }
            (ended, text) => {
                ended?;
                Ok((text.context("the guest's console")?, took))
            }
        }
    }
}
