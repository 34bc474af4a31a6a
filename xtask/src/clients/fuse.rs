//! `nbdfuse` shows a served LUKS volume as a file, and e2fsprogs and the kernel use that file as they use any disk image.
//!
//! nbdfuse passes each system call on as it comes: mke2fs with 1 KiB blocks asks for reads and writes that are shorter than
//! the volume's 4096-byte sectors and not aligned to them.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::served::Setup;
use crate::done::Done;
use crate::judges;
use crate::run;
use crate::scratch::Scratch;

/// The volume's data, in MiB.
const MIB: u64 = 64;
/// The file that is written to the mounted volume.
const NAME: &str = "numbers";
/// How long one program may take.
const LIMIT: Duration = Duration::from_mins(1);
/// How long nbdfuse may take to come and to go.
const PATIENCE: Duration = Duration::from_secs(10);
const INTERVAL: Duration = Duration::from_millis(10);

/// The step of the checks, or why this machine has no FUSE.
///
/// # Errors
/// When the volume is not what these programs take it for.
pub fn step() -> Result<Done> {
    if !judges::is_root() {
        return Ok(Done::Skipped("only root may mount".into()));
    }
    if let Err(error) = File::options().read(true).write(true).open("/dev/fuse") {
        return Ok(Done::Skipped(format!("/dev/fuse: {error}")));
    }
    let scratch = Scratch::new("udm-nbdfuse")?;
    let setup = Setup::new(scratch.path())?;
    setup.format(MIB)?;
    let served = setup.serve(&["disk", "--key-file", "key"])?;
    let file = setup.path("volume");
    let mounted = Mounted::new(&served.uri, &file, scratch.path())?;
    ensure!(fs::metadata(&file)?.len() == MIB << 20, "the file is not as long as the volume");
    // The bad twin: a check that passed here would show nothing later.
    ensure!(check(&file).is_err(), "e2fsck finds a file system where there is none");
    for block in ["1024", "4096"] {
        let make = ["-q", "-F", "-t", "ext4", "-b", block];
        run::run(&mut within(Command::new("mke2fs").args(make).arg(&file)))?;
        check(&file)?;
        println!("mke2fs with blocks of {block}: e2fsck finds nothing wrong");
    }
    let numbers: Vec<u8> = (0_u32..100_000).flat_map(u32::to_le_bytes).collect();
    let wrote = write_mounted(&file, &setup.path("mounted"), &numbers)?;
    mounted.end()?;
    // The kernel may have kept all of the file in memory, so another client looks at what arrived.
    let back = setup.path("back");
    run::run(&mut within(Command::new("nbdcopy").arg(&served.uri).arg(&back)))?;
    served.end_without_complaint()?;
    check(&back)?;
    if wrote {
        let dump = format!("dump {NAME} {}", setup.path(NAME).display());
        run::run(within(Command::new("debugfs").args(["-R", &dump]).arg(&back)).stderr(Stdio::null()))?;
        ensure!(
            fs::read(setup.path(NAME))? == numbers,
            "what was written to the mounted volume did not arrive"
        );
        println!("the kernel mounted it, and a file that was written there arrived");
    } else {
        println!("not mounted: this machine has no free loop device");
    }
    Ok(Done::Checked)
}

fn check(file: &Path) -> Result<()> {
    let mut check = Command::new("e2fsck");
    run::run(within(check.arg("-fn").arg(file)).stdout(Stdio::null()).stderr(Stdio::null()))
}

/// Has the kernel mount the file, and writes a file there. False where there is no loop device to mount it by.
fn write_mounted(file: &Path, folder: &Path, bytes: &[u8]) -> Result<bool> {
    let free = within(Command::new("losetup").arg("--find")).output();
    if !free.is_ok_and(|output| output.status.success()) {
        return Ok(false);
    }
    fs::create_dir(folder)?;
    run::run(&mut within(Command::new("mount").args(["-o", "loop"]).arg(file).arg(folder)))?;
    let wrote = fs::write(folder.join(NAME), bytes).context("writing to the mounted volume");
    run::run(&mut within(Command::new("umount").arg(folder)))?;
    wrote.map(|()| true)
}

fn within(command: &Command) -> Command {
    let mut command = run::within(LIMIT, command);
    command.env("PATH", run::path_with_system_programs());
    command
}

/// nbdfuse in the background, with its mount. Dropping it unmounts.
struct Mounted<'a> {
    child: Child,
    file: &'a Path,
}

impl<'a> Mounted<'a> {
    /// Mounts the export over `file`, and waits until it is there.
    fn new(uri: &str, file: &'a Path, folder: &Path) -> Result<Self> {
        File::create(file)?;
        let child =
            Command::new("nbdfuse").arg(file).arg(uri).current_dir(folder).stdin(Stdio::null()).spawn();
        let mut mounted = Self { child: child.context("cannot start nbdfuse")?, file };
        let end = Instant::now() + PATIENCE;
        while fs::metadata(file)?.len() == 0 {
            if let Some(status) = mounted.child.try_wait()? {
                bail!("nbdfuse ended with {status}");
            }
            ensure!(Instant::now() < end, "nbdfuse does not mount");
            std::thread::sleep(INTERVAL);
        }
        Ok(mounted)
    }

    /// Unmounts, and waits for nbdfuse to end well.
    fn end(mut self) -> Result<()> {
        run::run(&mut within(Command::new("umount").arg(self.file)))?;
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait()? {
                ensure!(status.success(), "nbdfuse ended with {status}");
                return Ok(());
            }
            ensure!(Instant::now() < end, "nbdfuse does not end");
            std::thread::sleep(INTERVAL);
        }
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            let _ = within(Command::new("umount").arg("--lazy").arg(self.file)).status();
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
