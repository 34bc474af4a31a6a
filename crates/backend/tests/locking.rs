//! An image that udm has, and QEMU wants, and the other way round. The oracles are qemu-io, qemu-img and qemu-nbd.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::engines::{SIZE, folder, image};
use tempfile::TempDir;
use udm_backend::file::{self, FileOptions};

const WRITES: FileOptions = FileOptions {
    read_only: false,
    cache: udm_backend::Cache::Auto,
    engine: udm_backend::EngineChoice::Auto,
    block_size: 512,
    lock: true,
};
const READS: FileOptions = FileOptions { read_only: true, ..WRITES };

/// Whether a program of QEMU's does it; if not, what it said.
fn qemu(program: &str, arguments: &[&str], image: &Path) -> Result<(), String> {
    let output = Command::new(program).args(arguments).arg(image).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}; cargo xtask deps installs it"));
    let told =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    // qemu-io ends well when a command of it failed.
    if output.status.success() && !told.contains("failed") { Ok(()) } else { Err(told) }
}

const READ: [&str; 5] = ["-r", "-f", "raw", "-c", "read 0 512"];
const WRITE: [&str; 4] = ["-f", "raw", "-c", "write 0 512"];

#[test]
fn qemu_is_kept_from_what_udm_writes_and_may_read_what_udm_reads() {
    let dir = folder();
    let path = image(&dir, SIZE);
    let refused = |arguments: &[&str]| {
        let told = qemu("qemu-io", arguments, &path).expect_err("the image is locked");
        assert!(told.contains("lock"), "{told}");
    };
    let writer = file::open(&path, &WRITES).unwrap();
    refused(&WRITE);
    refused(&READ);
    let convert = ["convert", "-f", "raw", "-O", "raw", path.to_str().unwrap()];
    let told = qemu("qemu-img", &convert, &dir.path().join("copy")).expect_err("the image is locked");
    assert!(told.contains("lock"), "{told}");
    drop(writer);
    qemu("qemu-io", &WRITE, &path).unwrap();
    let readers = [file::open(&path, &READS).unwrap(), file::open(&path, &READS).unwrap()];
    refused(&WRITE);
    qemu("qemu-io", &READ, &path).unwrap();
    drop(readers);
    qemu("qemu-io", &WRITE, &path).unwrap();
    // The twin: what is not locked is not refused.
    let unlocked = file::open(&path, &FileOptions { lock: false, ..WRITES }).unwrap();
    qemu("qemu-io", &WRITE, &path).unwrap();
    drop(unlocked);
}

/// A qemu-nbd in the background, which has an image open until this is dropped.
struct QemuNbd {
    pid: PathBuf,
}

impl QemuNbd {
    fn start(dir: &TempDir, image: &Path, more: &[&str]) -> Self {
        let pid = dir.path().join("pid");
        let words = [
            "--fork".to_owned(),
            "--persistent".to_owned(),
            "--format=raw".to_owned(),
            format!("--socket={}", dir.path().join("socket").display()),
            format!("--pid-file={}", pid.display()),
        ];
        let more = words.iter().map(String::as_str).chain(more.iter().copied()).collect::<Vec<_>>();
        // It closes its stderr when it serves, so that reading that to its end does not wait for it.
        let status = Command::new("qemu-nbd").args(more).arg(image).status();
        assert!(status.expect("cargo xtask deps installs qemu-nbd").success());
        Self { pid }
    }
}

impl Drop for QemuNbd {
    fn drop(&mut self) {
        let pid: i32 = fs::read_to_string(&self.pid).unwrap().trim().parse().unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        while rustix::process::test_kill_process(pid).is_ok() {
            std::thread::yield_now();
        }
    }
}

#[test]
fn udm_is_kept_from_what_qemu_writes_and_may_read_what_qemu_reads() {
    let dir = folder();
    let path = image(&dir, SIZE);
    let refusal = |options: &FileOptions| file::open(&path, options).err().map(|error| error.to_string());
    let assert_locked = |told: Option<String>| {
        let told = told.expect("QEMU has the image");
        assert!(told.contains("in use by another process (QEMU's lock: it is "), "{told}");
    };

    let writer = QemuNbd::start(&dir, &path, &[]);
    // Both at once: each is tried for some time.
    std::thread::scope(|scope| {
        let reads = scope.spawn(|| refusal(&READS));
        assert_locked(refusal(&WRITES));
        assert_locked(reads.join().unwrap());
    });
    assert_eq!(refusal(&FileOptions { lock: false, ..WRITES }), None);
    drop(writer);
    assert_eq!(refusal(&WRITES), None, "QEMU has gone");

    let reader = QemuNbd::start(&dir, &path, &["--read-only"]);
    assert_eq!(refusal(&READS), None);
    assert_locked(refusal(&WRITES));
    // A refusal leaves no lock behind.
    qemu("qemu-io", &READ, &path).unwrap();
    drop(reader);
}
