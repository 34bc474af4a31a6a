//! The programs of others that judge whole runs of udm, and how to get them on Debian.
//!
//! A missing judge is a failure: a check that is skipped in silence would look like one that passed.

use std::env;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::run;

/// Each program with the Debian package that holds it.
const JUDGES: &[(&str, &str)] = &[
    ("fio", "fio"),
    ("qemu-img", "qemu-utils"),
    ("qemu-io", "qemu-utils"),
    ("qemu-nbd", "qemu-utils"),
    ("nbdkit", "nbdkit"),
    ("nbdcopy", "libnbd-bin"),
    ("nbdinfo", "libnbd-bin"),
    ("nbdfuse", "libnbd-bin"),
    ("mke2fs", "e2fsprogs"),
    ("e2fsck", "e2fsprogs"),
    ("cryptsetup", "cryptsetup-bin"),
    ("xz", "xz-utils"),
    ("gzip", "gzip"),
    ("blkid", "util-linux"),
    ("mkswap", "util-linux"),
    #[cfg(target_arch = "x86_64")]
    ("qemu-x86_64", "qemu-user"),
    // Not judges, but what the checks themselves run: the list of files, unprivileged tests, bounded ones, and libFuzzer's C++.
    ("git", "git"),
    ("setpriv", "util-linux"),
    ("prlimit", "util-linux"),
    ("setsid", "util-linux"),
    ("bash", "bash"),
    ("g++", "g++"),
];

/// Checks that every judge is there; as root, installs those that are not.
///
/// # Errors
/// A judge is missing and this user may not install it (the error holds the command that would), or installing failed.
pub fn check() -> Result<()> {
    let lacking = missing(JUDGES, installed);
    if lacking.programs.is_empty() {
        println!("all {} programs are installed", JUDGES.len());
        return Ok(());
    }
    println!("missing: {}", lacking.programs.join(", "));
    if !is_root() {
        bail!("programs are missing; this installs them: sudo {}", install_line(&lacking.packages));
    }
    apt_get_update()?;
    apt_get_install(&lacking.packages)?;
    let still = missing(JUDGES, installed);
    if !still.programs.is_empty() {
        bail!("installing {} did not bring {}", lacking.packages.join(" "), still.programs.join(", "));
    }
    Ok(())
}

/// Whether this program runs as root.
pub fn is_root() -> bool {
    // Linux gives this entry to the user that the process acts as.
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

struct Missing {
    programs: Vec<&'static str>,
    packages: Vec<&'static str>,
}

fn missing(judges: &[(&'static str, &'static str)], installed: impl Fn(&str) -> bool) -> Missing {
    let lacking: Vec<_> = judges.iter().filter(|(program, _)| !installed(program)).collect();
    let mut packages: Vec<_> = lacking.iter().map(|(_, package)| *package).collect();
    packages.sort_unstable();
    packages.dedup();
    Missing { programs: lacking.iter().map(|(program, _)| *program).collect(), packages }
}

fn installed(program: &str) -> bool {
    find(program).is_some()
}

/// Where a program is.
pub fn find(program: &str) -> Option<PathBuf> {
    let is_program = |path: &PathBuf| {
        fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    };
    env::split_paths(&run::path_with_system_programs()).map(|folder| folder.join(program)).find(is_program)
}

/// Which of these programs are missing.
pub fn missing_of(programs: &[(&'static str, &'static str)]) -> Vec<&'static str> {
    missing(programs, installed).programs
}

/// Has apt learn what there is.
///
/// # Errors
/// When it does not.
pub fn apt_get_update() -> Result<()> {
    run::run(apt_get(&["update"]).env("DEBIAN_FRONTEND", "noninteractive"))
}

/// Installs packages, or `package=version`.
///
/// # Errors
/// When apt does not.
pub fn apt_get_install(packages: &[&str]) -> Result<()> {
    let mut install = apt_get(&["install", "--yes", "--no-install-recommends"]);
    run::run(install.args(packages).env("DEBIAN_FRONTEND", "noninteractive"))
}

fn apt_get(arguments: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command.args(arguments).stdin(Stdio::null());
    command
}

fn install_line(packages: &[&str]) -> String {
    format!("sh -c 'apt-get update && apt-get install --yes --no-install-recommends {}'", packages.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_its_package_once() {
        let lacking = missing(JUDGES, |program| !program.starts_with("qemu-i") && program != "fio");
        assert_eq!(lacking.programs, ["fio", "qemu-img", "qemu-io"]);
        assert_eq!(lacking.packages, ["fio", "qemu-utils"]);
        assert!(install_line(&lacking.packages).ends_with("--no-install-recommends fio qemu-utils'"));
    }

    #[test]
    fn where_all_is_there_nothing_is_missing() {
        assert!(missing(JUDGES, |_| true).packages.is_empty());
    }

    #[test]
    fn a_program_is_found_and_one_that_nobody_wrote_is_not() {
        assert!(installed("sh"));
        assert!(!installed("udm-no-such-program"));
    }
}
