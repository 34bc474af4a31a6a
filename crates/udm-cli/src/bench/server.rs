//! The programs that are measured: this one, and those of others that are installed.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::param::clock_ticks_per_second;
use udm_backend::nbd::client::Client;
use udm_nbd::address::Address;

use super::BenchError;
use super::race::Kind;

/// How long a server may take until it serves.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where the servers' files are, and how long each served device is in bytes.
#[derive(Clone, Copy)]
pub(crate) struct Site<'a> {
    pub(crate) folder: &'a Path,
    pub(crate) size: u64,
}

/// A server at work, which ends when this is dropped.
pub(crate) struct Server {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) address: Address,
    pub(super) export: String,
    /// How long the served device is, in bytes.
    pub(super) size: u64,
    child: Child,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server to be started, with its files in a folder.
struct Plan {
    name: &'static str,
    kind: Kind,
    /// Its socket, and the name of what it exports.
    socket: &'static str,
    export: &'static str,
    command: Command,
}

/// All servers that can be had at a site, ours with `cipher_driver`; and the names of those that cannot.
///
/// # Errors
/// When files cannot be made, or a server that is installed does not serve.
pub(crate) fn start_all(
    site: Site<'_>,
    cipher_driver: Option<&str>,
) -> Result<(Vec<Server>, Vec<String>), BenchError> {
    let mut servers = vec![ours(site, cipher_driver)?.start(site)?, raw(site)?.start(site)?];
    let mut lacking = Vec::new();
    for (tools, plan) in [
        (["qemu-img", "qemu-nbd"], qemu as fn(Site<'_>) -> Result<Plan, BenchError>),
        (["qemu-img", "nbdkit"], nbdkit),
    ] {
        match tools.into_iter().find(|tool| !is_installed(tool)) {
            Some(tool) => lacking.push(format!("{} is not measured: {tool} is not installed", tools[1])),
            None => servers.push(plan(site)?.start(site)?),
        }
    }
    Ok((servers, lacking))
}

fn is_installed(tool: &str) -> bool {
    let quiet = |command: &mut Command| {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
    };
    quiet(Command::new(tool).arg("--version"))
}

/// This program, with an encrypted volume.
fn ours(site: Site<'_>, cipher_driver: Option<&str>) -> Result<Plan, BenchError> {
    let (image, table) = (site.folder.join("crypt.img"), site.folder.join("crypt.table"));
    make(&image, site.size)?;
    let key: String = ["07", "0b"].map(|byte| byte.repeat(32)).concat();
    let text = format!("0 {} crypt aes-xts-plain64 {key} 0 {} 0\n", site.size / 512, image.display());
    fs::write(&table, text).map_err(BenchError::of)?;
    let mut command = this_program()?;
    command.arg("serve").arg("--table-file").arg(table).args(["--cache", "writeback"]);
    command.arg("--nbd").arg(site.folder.join("crypt.sock"));
    command.args(cipher_driver.iter().flat_map(|name| ["--driver", name]));
    Ok(Plan {
        name: "udm, aes-xts-plain64",
        kind: Kind::Ours,
        socket: "crypt.sock",
        export: "crypt",
        command,
    })
}

/// This program, without encryption.
fn raw(site: Site<'_>) -> Result<Plan, BenchError> {
    let image = site.folder.join("raw.img");
    make(&image, site.size)?;
    let mut command = this_program()?;
    command.arg("serve").arg(format!("raw=raw:{}", image.display())).args(["--cache", "writeback"]);
    command.arg("--nbd").arg(site.folder.join("raw.sock"));
    Ok(Plan { name: "udm, raw", kind: Kind::Bound, socket: "raw.sock", export: "raw", command })
}

/// qemu-nbd with LUKS1, of the same cipher.
fn qemu(site: Site<'_>) -> Result<Plan, BenchError> {
    let (image, secret) = (luks1(site, "qemu.img")?, site.folder.join("passphrase"));
    let mut command = Command::new("qemu-nbd");
    command.args(["--persistent", "--shared=8", "--cache=writeback"]);
    command.arg("--socket").arg(site.folder.join("qemu.sock"));
    command.arg("--object").arg(format!("secret,id=s,file={}", secret.display())).arg("--image-opts");
    command.arg(format!("driver=luks,key-secret=s,file.driver=file,file.filename={}", image.display()));
    Ok(Plan { name: "qemu-nbd, LUKS1", kind: Kind::Peer, socket: "qemu.sock", export: "", command })
}

/// nbdkit with its luks filter.
fn nbdkit(site: Site<'_>) -> Result<Plan, BenchError> {
    let (image, secret) = (luks1(site, "nbdkit.img")?, site.folder.join("passphrase"));
    let mut command = Command::new("nbdkit");
    command.args(["--foreground", "--exit-with-parent", "--unix"]).arg(site.folder.join("nbdkit.sock"));
    command.args(["--filter=luks", "file"]).arg(&image).arg(format!("passphrase=+{}", secret.display()));
    Ok(Plan { name: "nbdkit, luks filter", kind: Kind::Peer, socket: "nbdkit.sock", export: "", command })
}

fn this_program() -> Result<Command, BenchError> {
    let mut command = Command::new(std::env::current_exe().map_err(BenchError::of)?);
    command.arg("--quiet");
    Ok(command)
}

fn make(path: &Path, size: u64) -> Result<(), BenchError> {
    fs::File::create(path).and_then(|file| file.set_len(size)).map_err(BenchError::of)
}

/// A LUKS1 image of AES-256-XTS with plain64, by qemu-img, whose key derivation costs nothing.
fn luks1(site: Site<'_>, name: &str) -> Result<std::path::PathBuf, BenchError> {
    let (image, secret) = (site.folder.join(name), site.folder.join("passphrase"));
    fs::write(&secret, "bench").map_err(BenchError::of)?;
    let options =
        "key-secret=s,cipher-alg=aes-256,cipher-mode=xts,ivgen-alg=plain64,hash-alg=sha512,iter-time=10";
    let made = Command::new("qemu-img")
        .args(["create", "-q", "-f", "luks", "--object"])
        .arg(format!("secret,id=s,file={}", secret.display()))
        .args(["-o", options])
        .arg(&image)
        .arg(site.size.to_string())
        .output()
        .map_err(BenchError::of)?;
    if made.status.success() {
        return Ok(image);
    }
    Err(BenchError(format!("qemu-img made no LUKS1 image: {}", String::from_utf8_lossy(&made.stderr).trim())))
}

impl Plan {
    /// Starts the server and waits until it serves.
    fn start(mut self, site: Site<'_>) -> Result<Server, BenchError> {
        let address = Address::unix(site.folder.join(self.socket)).map_err(BenchError::of)?;
        let child = self.command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        let child = child.map_err(|error| BenchError(format!("{}: {error}", self.name)))?;
        let (name, kind, export) = (self.name.into(), self.kind, self.export.into());
        let server = Server { name, kind, address, export, size: site.size, child };
        let begin = Instant::now();
        loop {
            match Client::connect(&server.address, &server.export) {
                Ok(client) => {
                    client.disconnect().map_err(BenchError::of)?;
                    return Ok(server);
                }
                Err(error) if begin.elapsed() > PATIENCE => {
                    return Err(BenchError(format!("{} does not serve: {error}", server.name)));
                }
                Err(_) => thread::sleep(Duration::from_millis(20)),
            }
        }
    }
}

impl Server {
    /// The processor time that it has taken, in seconds (proc(5), `/proc/pid/stat`).
    pub(super) fn processor_seconds(&self) -> Result<f64, BenchError> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).map_err(BenchError::of)?;
        let behind_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let ticks: u64 = behind_name.split_whitespace().skip(11).take(2).flat_map(str::parse::<u64>).sum();
        Ok(ticks as f64 / clock_ticks_per_second() as f64)
    }
}
