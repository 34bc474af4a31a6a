//! Loop devices, which only root can make.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Whether there can be loop devices here: if not, says that `what` is not tested, and the caller returns.
pub fn are_there_for(what: &str) -> bool {
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n");
    let found = is_root && Path::new("/dev/loop-control").exists();
    if !found {
        crate::skip_for_machine(what, "loop devices need root and /dev/loop-control");
    }
    found
}

fn run(program: &str, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"))
}

/// Runs a program of others to its end, and gives what it printed.
///
/// # Panics
/// When it fails.
pub fn done(program: &str, arguments: &[&str]) -> String {
    let output = run(program, arguments);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {told}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A loop device, detached when it is dropped.
pub struct Loop {
    /// Its path.
    pub path: PathBuf,
}

impl Loop {
    /// A device of the file at `backing`, with further arguments for losetup.
    ///
    /// # Panics
    /// When the system refuses it.
    pub fn new(backing: &Path, arguments: &[&str]) -> Self {
        Self::try_new(backing, arguments).unwrap_or_else(|why| panic!("losetup: {why}"))
    }

    /// The same; or why the system refuses it.
    ///
    /// # Errors
    /// What losetup said.
    ///
    /// # Panics
    /// When a path is not UTF-8.
    pub fn try_new(backing: &Path, arguments: &[&str]) -> Result<Self, String> {
        let backing = backing.to_str().unwrap();
        let all: Vec<&str> = ["--find", "--show"].iter().chain(arguments).copied().chain([backing]).collect();
        let output = run("losetup", &all);
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        Ok(Self { path: String::from_utf8(output.stdout).unwrap().trim().into() })
    }

    /// Its path as text.
    ///
    /// # Panics
    /// When it is not UTF-8.
    pub fn name(&self) -> &str {
        self.path.to_str().unwrap()
    }

    /// A limit of its queue.
    ///
    /// # Panics
    /// When the kernel has no such limit.
    pub fn limit(&self, name: &str) -> u64 {
        let device = self.path.file_name().unwrap().to_str().unwrap();
        let text = std::fs::read_to_string(format!("/sys/block/{device}/queue/{name}")).unwrap();
        text.trim().parse().unwrap()
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        run("losetup", &["--detach", self.name()]);
    }
}

/// A file system in memory, unmounted when it is dropped.
pub struct Tmpfs<'a> {
    at: &'a Path,
}

impl<'a> Tmpfs<'a> {
    /// Mounts one that holds `size` (`4m`) at the folder `at`.
    ///
    /// # Panics
    /// When the system refuses it.
    pub fn mount(at: &'a Path, size: &str) -> Self {
        let options = format!("size={size}");
        done("mount", &["-t", "tmpfs", "-o", &options, "tmpfs", at.to_str().unwrap()]);
        Self { at }
    }
}

impl Drop for Tmpfs<'_> {
    fn drop(&mut self) {
        run("umount", &["--lazy", self.at.to_str().unwrap()]);
    }
}
