//! The whole program on block devices: loop devices with blocks of 512, 4096 and 8192 bytes, a partition, and a read-only
//! one. The oracles are the file behind the device as the standard library reads it, and qemu-io as a client.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;
use udm_testkit::loops::{self, Loop};

const MIB: u64 = 1 << 20;
const SIZE: u64 = 32 * MIB;
/// Where the partition begins and how long it is.
const PARTITION: (u64, u64) = (MIB, 24 * MIB);
const CHEAP: [&str; 5] = ["-q", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"];

/// A block device over a file.
struct Disk {
    folder: TempDir,
    device: Loop,
    /// What udm is told to use: the device, or a partition of it.
    node: String,
    /// Where in the file that begins.
    begin: u64,
    size: u64,
}

impl Disk {
    /// A loop device of an empty file, with arguments for losetup.
    fn new(arguments: &[&str]) -> Result<Self, String> {
        let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let backing = folder.path().join("backing");
        File::create(&backing).unwrap().set_len(SIZE).unwrap();
        let device = Loop::try_new(&backing, arguments)?;
        fs::write(folder.path().join("key"), b"of the volume").unwrap();
        fs::write(folder.path().join("other-key"), b"added later").unwrap();
        Ok(Self { node: device.name().to_owned(), device, folder, begin: 0, size: SIZE })
    }

    /// The first partition of one. It has no partition of the name until the kernel has read the table.
    fn partition() -> Self {
        let mut disk = Self::new(&["--partscan"]).unwrap();
        let mut table = [0; 512];
        let sectors = |bytes: u64| (bytes as u32 / 512).to_le_bytes();
        table[446 + 4] = 0x83;
        table[446 + 8..446 + 12].copy_from_slice(&sectors(PARTITION.0));
        table[446 + 12..446 + 16].copy_from_slice(&sectors(PARTITION.1));
        table[510..].copy_from_slice(&[0x55, 0xAA]);
        File::options().write(true).open(&disk.device.path).unwrap().write_all_at(&table, 0).unwrap();
        loops::done("partx", &["--update", disk.device.name()]);
        disk.node = format!("{}p1", disk.device.name());
        (disk.begin, disk.size) = PARTITION;
        assert!(Path::new(&disk.node).exists(), "{} is missing", disk.node);
        disk
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn raw(&self) -> String {
        format!("raw:{}", self.node)
    }

    /// What is in the file at a place of the device.
    fn bytes(&self, at: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        File::open(self.path("backing")).unwrap().read_exact_at(&mut bytes, self.begin + at).unwrap();
        bytes
    }

    /// How many bytes the file takes on its file system.
    fn taken(&self) -> u64 {
        fs::metadata(self.path("backing")).unwrap().blocks() * 512
    }
}

fn try_udm(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_udm"));
    command.args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// Runs udm to its end, and gives what it printed.
fn udm(arguments: &[&str]) -> Vec<u8> {
    let output = try_udm(arguments);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "udm {arguments:?}: {told}");
    output.stdout
}

/// It refuses, with words that hold `part`.
fn refused(arguments: &[&str], part: &str) {
    let output = try_udm(arguments);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && told.contains(part) && !told.contains("panicked"),
        "{arguments:?}: {told}"
    );
}

fn noise(len: usize, seed: u64) -> Vec<u8> {
    println!("seed {seed:#x}");
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..len).map(|_| next()).collect()
}

/// A server, which is killed when it is dropped.
struct Served(Child, PathBuf);

impl Served {
    fn start(arguments: &[&str], socket: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_udm"));
        command.args(["-q", "serve", "--nbd", socket]).args(arguments);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("nbd+unix://"), "the server ended: {:?}", child.wait());
        Self(child, line.trim().into())
    }

    /// What qemu-io says to a command.
    fn qemu_io(&self, command: &str) -> String {
        let output = Command::new("qemu-io").args(["-f", "raw", "-c", command]).arg(&self.1).output();
        let output = output.unwrap_or_else(|error| panic!("qemu-io: {error}; cargo xtask deps installs it"));
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    }

    /// qemu-io does it.
    fn does(&self, command: &str) {
        let told = self.qemu_io(command);
        assert!(!told.contains("failed") && !told.contains("rror"), "{command}: {told}");
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Every command that reads or writes a device.
fn all_commands(disk: &Disk, what: &str) {
    let (raw, node) = (disk.raw(), disk.node.as_str());
    let data = noise(200_000, 0x64_6973_6b00);
    fs::write(disk.path("data"), &data).unwrap();
    // Places and lengths that are no multiples of any block.
    for cache in ["auto", "writeback"] {
        udm(&["write", &raw, "--cache", cache, "--offset", "1000", "--input", &disk.path("data")]);
        assert!(disk.bytes(1000, data.len()) == data, "{what} {cache}: write");
        let got = udm(&["read", &raw, "--cache", cache, "--offset", "1000", "--length", "200000"]);
        assert!(got == data, "{what} {cache}: read");
    }
    let size = udm(&["read", &raw]).len() as u64;
    assert_eq!(size, disk.size, "{what}: the device to its end");

    served(disk, what);

    // The other direction: from a file, into the device as it is.
    fs::write(disk.path("plain"), noise(disk.size as usize, 7)).unwrap();
    udm(&["-q", "convert", "--no-create", "--verify", &format!("raw:{}", disk.path("plain")), &raw]);
    assert!(disk.bytes(0, disk.size as usize) == fs::read(disk.path("plain")).unwrap(), "{what}: convert to");
    udm(&["-q", "convert", "--verify", &raw, &format!("raw:{}", disk.path("copy"))]);
    assert!(
        fs::read(disk.path("copy")).unwrap() == fs::read(disk.path("plain")).unwrap(),
        "{what}: convert from"
    );

    // A volume.
    let (key, other) = (disk.path("key"), disk.path("other-key"));
    udm(&[&["luks", "format", node, &key][..], &CHEAP].concat());
    udm(&[&["luks", "add-key", node, &other, "--key-file", &key][..], &CHEAP[1..]].concat());
    udm(&["luks", "test-passphrase", node, "--key-file", &other]);
    udm(&["write", node, "--key-file", &key, "--offset", "5000", "--input", &disk.path("data")]);
    let got = udm(&["read", node, "--key-file", &other, "--offset", "5000", "--length", "200000"]);
    assert!(got == data, "{what}: a volume");
    udm(&["verify", node, "--key-file", &key]);
    udm(&["luks", "dump", node]);
}

/// A server of the device, with a client that writes, zeroes and trims.
fn served(disk: &Disk, what: &str) {
    let served = Served::start(&[&disk.raw()], &disk.path("socket"));
    let at = 8 * MIB;
    served.does("write -P 0x5a 8M 4M");
    served.does("flush");
    assert!(disk.bytes(at, 4 * MIB as usize).iter().all(|byte| *byte == 0x5a), "{what}: served write");
    served.does("write -z 9M 64k");
    served.does("write -z -u 10M 64k");
    served.does("read -P 0 9M 64k");
    served.does("read -P 0 10M 64k");
    served.does("read -P 0x5a 8M 1M");
    let before = disk.taken();
    served.does("discard 8M 4M");
    served.does("flush");
    let own_block = disk.device.limit("logical_block_size");
    let discards = disk.device.limit("discard_max_bytes") > 0 && own_block <= 4096;
    let given_back = before.saturating_sub(disk.taken());
    assert_eq!(given_back > 3 * MIB, discards, "{what}: {given_back} bytes were given back");
}

#[test]
fn every_command_works_on_a_loop_device() {
    if loops::are_there_for("block devices") {
        all_commands(&Disk::new(&[]).unwrap(), "512");
    }
}

#[test]
fn every_command_works_with_blocks_of_4096_bytes() {
    if loops::are_there_for("block devices") {
        all_commands(&Disk::new(&["--sector-size", "4096"]).unwrap(), "4096");
    }
}

#[test]
fn every_command_works_on_a_partition() {
    if loops::are_there_for("block devices") {
        all_commands(&Disk::partition(), "partition");
    }
}

#[test]
fn every_command_works_with_blocks_longer_than_a_page() {
    if !loops::are_there_for("block devices") {
        return;
    }
    match Disk::new(&["--sector-size", "8192"]) {
        Ok(disk) => {
            all_commands(&disk, "8192");
            refused(&["read", &disk.raw(), "--cache", "none"], "blocks of 8192 bytes");
        }
        // Before Linux 6.15, blocks are at most a page.
        Err(why) => udm_testkit::skip_for_machine("blocks of 8192 bytes", why),
    }
}

#[test]
fn a_read_only_device_is_read_and_not_written() {
    if !loops::are_there_for("block devices") {
        return;
    }
    let disk = Disk::new(&["--read-only"]).unwrap();
    let (raw, data) = (disk.raw(), noise(5000, 3));
    File::options().write(true).open(disk.path("backing")).unwrap().write_all_at(&data, 700).unwrap();
    assert!(udm(&["read", &raw, "--offset", "700", "--length", "5000"]) == data);
    udm(&["-q", "convert", &raw, &format!("raw:{}", disk.path("copy"))]);
    let served = Served::start(&["--read-only", &raw], &disk.path("socket"));
    let output = Command::new("qemu-io").args(["-r", "-f", "raw", "-c", "read 0 4k"]).arg(&served.1).output();
    assert!(output.unwrap().status.success());
    drop(served);
    let key = disk.path("key");
    for arguments in [
        &["write", &raw, "--offset", "0", "--input", &key][..],
        &["serve", &raw, "--nbd", &disk.path("other-socket")],
    ] {
        refused(arguments, "the block device is read-only");
    }
    refused(&[&["luks", "format", &disk.node, &key][..], &CHEAP].concat(), "read-only device");
}
