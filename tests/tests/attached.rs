//! Exports of other NBD servers as devices: qemu-nbd and nbdkit serve, and what udm wrote is judged behind its back.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use udm_tests::judge::judge;
use udm_tests::program::{run, until_it_listens};
use udm_tests::volume::noise;

const MIB: usize = 1 << 20;

/// A server in the background, ended when it is dropped.
struct Server(Child, TempDir);

impl Server {
    /// Runs `program` with `args`, in which SOCKET stands for a socket, until it listens there.
    fn start(program: &str, args: &[&str]) -> Self {
        let folder = TempDir::with_prefix("udm-attached-").unwrap();
        let socket = folder.path().join("sock");
        let args = args.iter().map(|arg| arg.replace("SOCKET", socket.to_str().unwrap()));
        let child = Command::new(program).args(args).stdin(Stdio::null()).spawn();
        let mut server = Self(child.unwrap_or_else(|error| panic!("{program}: {error}")), folder);
        until_it_listens(&mut server.0, &socket);
        server
    }

    fn uri(&self) -> String {
        format!("nbd+unix:///?socket={}", self.1.path().join("sock").display())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn succeeded(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

fn convert(words: &[&str]) -> Output {
    run(["--json", "--quiet", "convert"].iter().chain(words))
}

/// The oracle of both ways is qemu-img, which made the qcow2 image and compares it.
#[test]
fn a_qcow2_image_becomes_a_volume_and_comes_back() {
    const SIZE: usize = 16 * MIB;
    let folder = TempDir::with_prefix("udm-attached-").unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (plain, qcow2, image, key) = (path("plain"), path("disk.qcow2"), path("disk.img"), path("key"));
    let mut bytes = noise(0xA7_7AC4, SIZE);
    bytes[3 * MIB..9 * MIB].fill(0);
    fs::write(&plain, &bytes).unwrap();
    fs::write(&key, b"of the volume").unwrap();
    judge("qemu-img", ["convert", "-f", "raw", "-O", "qcow2", &plain, &qcow2]);
    let cheap = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"];
    {
        let server =
            Server::start("qemu-nbd", &["-r", "-t", "-e", "8", "-f", "qcow2", "-k", "SOCKET", &qcow2]);
        let uri = format!("raw:{}", server.uri());
        let words = [&[&*uri, &*image, "--verify", "--dst-key-file", &*key], &cheap[..]].concat();
        let told = succeeded(&convert(&words));
        assert_eq!(told["sha256"], judge("sha256sum", [&plain])[..64], "{told}");
        let read_only = convert(&["-n", &format!("raw:{plain}"), &format!("raw:{}", server.uri())]);
        assert!(!read_only.status.success(), "it wrote to what is read-only");
    }
    let back = path("back.qcow2");
    judge("qemu-img", ["create", "-f", "qcow2", &back, "16M"]);
    {
        let server = Server::start("qemu-nbd", &["-t", "-e", "8", "-f", "qcow2", "-k", "SOCKET", &back]);
        let told =
            succeeded(&convert(&["-n", "--verify", "-d", &key, &image, &format!("raw:{}", server.uri())]));
        assert!(told["zeros"].as_u64() >= Some(6 << 20), "zeros were written: {told}");
    }
    judge("qemu-img", ["compare", "-f", "raw", "-F", "qcow2", &plain, &back]);
    // The bad twin: one byte more is one too many.
    judge("qemu-io", ["-f", "qcow2", "-c", "write -P 1 5M 512", &back]);
    let twin =
        udm_tests::judge::try_judge("qemu-img", ["compare", "-f", "raw", "-F", "qcow2", &plain, &back]);
    assert_eq!(twin.status.code(), Some(1), "{twin:?}");
}

/// A server that takes no more than 64 KiB at once. The oracle is nbdcopy.
#[test]
fn requests_are_no_longer_than_the_server_takes() {
    let folder = TempDir::with_prefix("udm-attached-").unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let limits = ["blocksize-minimum=512", "blocksize-preferred=4096", "blocksize-maximum=64K"];
    let filter =
        ["-f", "-U", "SOCKET", "--filter=blocksize-policy", "pattern", "5M", "blocksize-error-policy=error"];
    let server = Server::start("nbdkit", &[&filter[..], &limits].concat());
    let out = format!("raw:{}", path("out"));
    succeeded(&convert(&[&format!("raw:{}", server.uri()), &out, "--verify"]));
    judge("nbdcopy", ["--request-size=65536", &*server.uri(), &*path("copy")]);
    assert!(fs::read(path("out")).unwrap() == fs::read(path("copy")).unwrap());
}

/// A crypt row over an export: what another server keeps is ciphertext, and the same that a file would hold.
#[test]
fn a_table_names_an_export_and_writes_there_what_a_file_would_hold() {
    let folder = TempDir::with_prefix("udm-attached-").unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let [behind, file, plain] = ["behind", "file", "plain"].map(path);
    let size = 8 * MIB as u64;
    for name in [&behind, &file] {
        File::create(name).unwrap().set_len(size).unwrap();
    }
    fs::write(&plain, noise(0xA7_7AC5, 8 * MIB)).unwrap();
    let server = Server::start("nbdkit", &["-f", "-U", "SOCKET", "file", &behind]);
    for (name, device) in [("nbd.table", &server.uri()), ("file.table", &file)] {
        let key = "0123456789abcdef".repeat(4);
        let row = format!("0 {} crypt aes-cbc-essiv:sha256 {key} 0 {device} 0", size / 512);
        fs::write(path(name), row).unwrap();
        let wrote = run(["write", "--table-file", &path(name), "--offset", "0", "--input", &plain]);
        assert!(wrote.status.success(), "{}", String::from_utf8_lossy(&wrote.stderr));
        // Off any border: what shares a block is read first.
        fs::write(path("few"), b"a few bytes").unwrap();
        let wrote = run(["write", "--table-file", &path(name), "--offset", "12345", "--input", &path("few")]);
        assert!(wrote.status.success(), "{}", String::from_utf8_lossy(&wrote.stderr));
    }
    assert!(fs::read(&behind).unwrap() == fs::read(&file).unwrap(), "not what a file would hold");
    let read = run(["read", "--table-file", &path("nbd.table"), "--offset", "12340", "--length", "21"]);
    let mut want = noise(0xA7_7AC5, 8 * MIB)[12340..12361].to_vec();
    want[5..16].copy_from_slice(b"a few bytes");
    assert_eq!(read.stdout, want);
}

/// Errors of the server, and its end in the middle, are errors that say what happened, and never a wait for ever.
#[test]
fn a_server_that_fails_or_goes_away_is_an_error() {
    let folder = TempDir::with_prefix("udm-attached-").unwrap();
    let out = format!("raw:{}", folder.path().join("out").display());
    let refused = |output: &Output, part: &str| {
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && told.contains(part) && !told.contains("panicked"), "{told}");
    };
    refused(&convert(&["raw:nbd+unix:///?socket=/nowhere", &out]), "cannot connect");
    refused(&convert(&["nbds://localhost/x", &out]), "TLS");
    refused(&convert(&["nbd+unix:///x", &out]), "names no socket");
    {
        let faulty = ["-f", "-U", "SOCKET", "--filter=error", "pattern", "16M", "error-rate=100%"];
        let server = Server::start("nbdkit", &faulty);
        refused(&convert(&[&format!("raw:{}", server.uri()), &out]), "reading from the source");
    }
    let slow = ["-f", "-U", "SOCKET", "--filter=delay", "pattern", "1G", "rdelay=50ms"];
    let mut server = Server::start("nbdkit", &slow);
    // What the other server's conversion has left is not for this one.
    let told = convert(&["--force", &format!("raw:{}", server.uri()), &out]);
    refused(&told, "is of another conversion");
    let out = format!("raw:{}", folder.path().join("slow").display());
    let words = ["--json", "convert", &format!("raw:{}", server.uri()), &out].map(str::to_owned);
    let convert =
        Command::new(udm_tests::program::path()).args(words).stderr(Stdio::piped()).spawn().unwrap();
    while !Path::new(&folder.path().join("slow.udm-convert")).exists() {
        std::thread::sleep(Duration::from_millis(1));
    }
    std::thread::sleep(Duration::from_millis(200));
    server.0.kill().unwrap();
    let output = convert.wait_with_output().unwrap();
    refused(&output, "reading from the source");
    refused(&output, "--resume goes on");
}
