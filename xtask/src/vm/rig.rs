//! What an emulated machine is made of: Debian's kernel with a few modules, busybox, and udm with the libraries that it
//! names. The kernel is fetched once, by apt's own client; nothing of it is installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::cpio::Archive;
use crate::{judges, program, run};

/// The programs that a machine is made with and runs on, and their packages.
const TOOLS: &[(&str, &str)] =
    &[("qemu-system-x86_64", "qemu-system-x86"), ("busybox", "busybox-static"), ("dpkg", "dpkg")];

/// The modules, in the order in which they need each other. A kernel that has one built in has no file for it.
const MODULES: &[&str] = &[
    "drivers/virtio/virtio_ring",
    "drivers/virtio/virtio",
    "drivers/virtio/virtio_pci_legacy_dev",
    "drivers/virtio/virtio_pci_modern_dev",
    "drivers/virtio/virtio_pci",
    "drivers/block/virtio_blk",
    "drivers/block/nbd",
];

/// The guest's own program, of the package of whole-program tests.
const GUEST_PROGRAM: &str = "swap_guest";

/// A kernel, and what it unpacks at its start.
pub struct Rig {
    pub kernel: PathBuf,
    pub initramfs: PathBuf,
}

/// Why there can be no machine here, if so.
pub fn obstacle() -> Option<String> {
    if cfg!(not(target_arch = "x86_64")) {
        return Some("the guest is an x86_64".into());
    }
    let missing = judges::missing_of(TOOLS);
    (!missing.is_empty() && !judges::is_root())
        .then(|| format!("{} missing, and only root can install it (cargo xtask deps)", missing.join(", ")))
}

impl Rig {
    /// Makes what is not there yet, in the target folder.
    ///
    /// # Errors
    /// When something is missing and cannot be installed, fetched or built.
    pub fn build() -> Result<Self> {
        if let Some(why) = obstacle() {
            bail!("no machine to swap in: {why}");
        }
        install()?;
        run::run(&mut run::cargo(&["build", "--release", "-p", "udm-cli"]))?;
        run::run(&mut run::cargo(&["build", "--release", "-p", program::PACKAGE, "--bin", GUEST_PROGRAM]))?;
        let folder = program::target_folder()?.join("vm");
        let unpacked = folder.join("kernel");
        let version = kernel_version(&unpacked)?;
        let kernel = unpacked.join(format!("boot/vmlinuz-{version}"));
        let initramfs = folder.join("initramfs.cpio");
        let modules = unpacked.join("lib/modules").join(version).join("kernel");
        fs::write(&initramfs, pack(&modules)?).context("cannot write the initramfs")?;
        Ok(Self { kernel, initramfs })
    }
}

/// Installs the tools that are missing. The packages of the emulator and of its tools must be of one version: that of the
/// tools, where these are installed and the archive has the emulator of that version; else the tools become the
/// archive's, even where that version is older.
fn install() -> Result<()> {
    let missing = judges::missing_of(TOOLS);
    if missing.is_empty() {
        return Ok(());
    }
    println!("installing what is missing: {}", missing.join(", "));
    judges::apt_get_update()?;
    let tools = output(Command::new("dpkg-query").args(["-W", "-f", "${Version}", "qemu-utils"])).ok();
    let of_tools = tools.map(|version| format!("qemu-system-x86={version}"));
    let rest = ["busybox-static"];
    if let Some(exact) = of_tools
        && judges::apt_get_install(&[&exact, rest[0]]).is_ok()
    {
        return Ok(());
    }
    let emulator = newest_of_archive("qemu-system-x86")?;
    let tools = newest_of_archive("qemu-utils")?;
    judges::apt_get_install(&["--allow-downgrades", &emulator, &tools, rest[0]])
}

/// `package=version` with the newest version that the archive has, whatever is installed.
fn newest_of_archive(package: &str) -> Result<String> {
    let told = output(Command::new("apt-cache").args(["madison", package]))?;
    let version = told.lines().find_map(|line| line.split('|').nth(1)).map(str::trim);
    let version = version.with_context(|| format!("the archive has no {package}"))?;
    Ok(format!("{package}={version}"))
}

/// The version of the kernel in `unpacked`, which is fetched when there is none.
fn kernel_version(unpacked: &Path) -> Result<String> {
    let found = || -> Option<String> {
        fs::read_dir(unpacked.join("boot"))
            .ok()?
            .flatten()
            .find_map(|entry| entry.file_name().to_str()?.strip_prefix("vmlinuz-").map(str::to_owned))
    };
    if let Some(version) = found() {
        return Ok(version);
    }
    let told = output(Command::new("apt-cache").args(["depends", "linux-image-amd64"]))?;
    let package = told
        .lines()
        .find_map(|line| line.trim().strip_prefix("Depends: "))
        .with_context(|| "apt knows no linux-image-amd64: run apt-get update, on Debian")?;
    let fetched = unpacked.with_extension("new");
    let _ = fs::remove_dir_all(&fetched);
    fs::create_dir_all(&fetched).context("the folder for the kernel")?;
    run::run(Command::new("apt-get").args(["download", "-q", package]).current_dir(&fetched))?;
    let file =
        fs::read_dir(&fetched)?.flatten().find(|entry| entry.file_name().to_string_lossy().ends_with(".deb"));
    let file = file.with_context(|| format!("apt-get download {package} brought no file"))?.path();
    run::run(Command::new("dpkg").arg("-x").arg(&file).arg(&fetched))?;
    fs::remove_file(&file)?;
    fs::rename(&fetched, unpacked).context("the kernel's folder")?;
    found().context("the kernel's package holds no kernel")
}

/// The guest's files.
fn pack(modules: &Path) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    for folder in ["bin", "dev", "proc", "sys", "modules"] {
        archive.folder(folder);
    }
    let busybox = judges::find("busybox").context("no busybox")?;
    archive.file("bin/busybox", &read(&busybox)?);
    for applet in output(Command::new(&busybox).arg("--list"))?.lines().filter(|name| *name != "busybox") {
        archive.link(&format!("bin/{applet}"), "busybox");
    }
    archive.file("init", &read(&run::root().join("xtask/vm/init"))?);
    let mut count = 0;
    for (index, module) in MODULES.iter().enumerate() {
        let path = modules.join(format!("{module}.ko"));
        let name = module.rsplit('/').next().unwrap_or(module);
        if path.exists() {
            archive.file(&format!("modules/{index}-{name}.ko"), &read(&path)?);
            count += 1;
        }
    }
    ensure!(count > 0, "no module in {}: is it Debian 12's kernel?", modules.display());
    let mut libraries = Vec::new();
    for name in ["udm", GUEST_PROGRAM] {
        let path = program::release_binary(name)?;
        libraries.extend(libraries_of(&path)?);
        archive.file(&format!("bin/{name}"), &stripped(&path)?);
    }
    libraries.sort_unstable();
    libraries.dedup();
    let mut folders = Vec::new();
    for library in libraries {
        let path = library.trim_start_matches('/');
        for (at, _) in path.match_indices('/') {
            if !folders.contains(&path[..at].to_owned()) {
                archive.folder(&path[..at]);
                folders.push(path[..at].to_owned());
            }
        }
        archive.file(path, &read(Path::new(&library))?);
    }
    Ok(archive.finish())
}

/// The program without what only a debugger reads: the guest has no room for it.
fn stripped(path: &Path) -> Result<Vec<u8>> {
    let small = path.with_extension("stripped");
    run::run(Command::new("strip").arg("-o").arg(&small).arg(path))?;
    read(&small)
}

/// The shared libraries that a program names, and what loads them.
fn libraries_of(path: &Path) -> Result<Vec<String>> {
    let told = output(Command::new("ldd").arg(path))?;
    Ok(told.split_whitespace().filter(|word| word.starts_with('/')).map(str::to_owned).collect())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// What a program prints.
fn output(command: &mut Command) -> Result<String> {
    let shown = run::line(command);
    let output = command.output().with_context(|| format!("cannot start `{shown}`"))?;
    run::judge(output.status.code(), command)?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
