//! `udm quickstart`: a volume from nothing to a client that reads it, with every step checked.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;
use udm_block::SECTOR_SIZE;
use udm_block::blocking::Blocking;
use udm_block::memory::{Heap, Source, splitmix64};
use udm_dm::table::{Table, TargetSpec};
use udm_export::nbd::address::Address;
use udm_export::nbd::client::Client;
use udm_export::nbd::server::{Export, MAX_CONNECTIONS, Server};
use zeroize::Zeroizing;

use crate::cli::{Failure, QuickstartArgs, human, print};
use crate::compare::Comparison;
use crate::device::{DeviceOptions, open_table};
use crate::pipeline;

/// How much one request moves, in bytes.
const CHUNK: usize = 1 << 20;
/// How many requests are under way at once.
const DEPTH: usize = 8;
/// How much is compared at most, in bytes.
const COMPARED: u64 = 64 << 20;
/// How much is compared at once, in bytes: what stays in a core's second-level cache.
const COMPARED_AT_ONCE: usize = 128 << 10;
/// The seed of the plaintext.
const SEED: u64 = 0x0DD5_EED5;

pub(crate) fn run(args: &QuickstartArgs, json: bool) -> Result<(), Failure> {
    let size = args.size / CHUNK as u64 * CHUNK as u64;
    if size == 0 {
        return Err(Failure::request(format!("a volume of {} bytes is too small: 1M would do", args.size)));
    }
    let story = Story { json };
    let folder = TempDir::with_prefix("udm-quickstart-").map_err(Failure::work)?;
    let volume = Volume::make(folder.path(), size)?;
    story.say(&format!("made    {} of aes-xts-plain64 in {}", human(size), volume.image.display()))?;

    let (written, read) = through_socket(&volume, &story)?;
    check_ciphertext(&volume)?;
    story.say("checked what is on the disk: ciphertext, no sector of it is the plaintext")?;
    check_reopened(&volume)?;
    story.say("checked the volume after closing and opening it again: the same bytes")?;
    let comparison = compare(&volume)?;
    let [whole, per_sector] = comparison.outcomes();
    story.say(&format!(
        "checked whole-bio against per-sector encryption: {} the same, byte for byte\n\
         \x20         encrypts {:.1} GB/s whole, {:.1} GB/s by the sector ({} on one core, 512-byte sectors)",
        human(comparison.bytes()),
        whole.encrypts / 1e9,
        per_sector.encrypts / 1e9,
        comparison.driver()
    ))?;
    if json {
        let told = json!({
            "ok": true, "bytes": size,
            "nbd_write_bytes_per_s": written, "nbd_read_bytes_per_s": read,
            "cipher_driver": comparison.driver(),
            "whole_bio_encrypt_bytes_per_s": whole.encrypts,
            "per_sector_encrypt_bytes_per_s": per_sector.encrypts,
        });
        return print(&told.to_string());
    }
    print(NEXT)
}

/// What to try next: nothing in it puts a key on a command line.
const NEXT: &str = "
All is well. A volume of your own:

  truncate -s 1G volume.img
  (umask 077; echo \"0 2097152 crypt aes-xts-plain64 $(head -c64 /dev/urandom | od -An -vtx1 | tr -d ' \\n') \\
      0 volume.img 0\" > volume.table)
  udm serve --table-file volume.table --nbd volume.sock

and, from another terminal:

  nbdinfo  'nbd+unix:///volume?socket=volume.sock'
  nbdcopy  file.img 'nbd+unix:///volume?socket=volume.sock'
  udm read --table-file volume.table --length 512 | hexdump -C     (once the server has stopped)
  udm verify --table-file volume.table
  udm ciphers";

/// Tells a person what happens; a program hears the end of it.
struct Story {
    json: bool,
}

impl Story {
    fn say(&self, line: &str) -> Result<(), Failure> {
        if self.json { Ok(()) } else { print(line) }
    }
}

/// The volume that is made.
struct Volume {
    folder: PathBuf,
    image: PathBuf,
    table: Zeroizing<String>,
    size: u64,
}

impl Volume {
    /// An image without a byte in it, and a table with a fresh key.
    fn make(folder: &Path, size: u64) -> Result<Self, Failure> {
        let image = folder.join("volume.img");
        File::create_new(&image).and_then(|file| file.set_len(size)).map_err(Failure::work)?;
        let mut key = Zeroizing::new([0; 64]);
        File::open("/dev/urandom")
            .and_then(|mut random| random.read_exact(&mut key[..]))
            .map_err(Failure::work)?;
        // Room for all of it at once: a string that grows leaves copies of the key behind.
        let mut table = Zeroizing::new(String::with_capacity(1024 + image.as_os_str().len()));
        let path = image.display().to_string().replace(' ', "\\ ");
        let key_word = key.iter().try_for_each(|byte| write!(table, "{byte:02x}"));
        key_word.and_then(|()| writeln!(table, " 0 {path} 0")).map_err(Failure::work)?;
        table.insert_str(0, &format!("0 {} crypt aes-xts-plain64 ", size / 512));
        let mut file = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(folder.join("volume.table"))
            .map_err(Failure::work)?;
        file.write_all(table.as_bytes()).map_err(Failure::work)?;
        Ok(Self { folder: folder.into(), image, table, size })
    }
}

/// The plaintext: the same noise in every chunk, with each sector's number in front, so that no two are alike.
struct Plaintext(Vec<u8>);

impl Plaintext {
    fn new() -> Self {
        let mut seed = SEED;
        Self((0..CHUNK / 8).flat_map(|_| splitmix64(&mut seed).to_le_bytes()).collect())
    }

    /// The chunk that begins at byte `at`.
    fn chunk(&mut self, at: u64) -> &[u8] {
        for (sector, number) in self.0.chunks_mut(SECTOR_SIZE).zip(at / SECTOR_SIZE as u64..) {
            sector[..8].copy_from_slice(&number.to_le_bytes());
        }
        &self.0
    }
}

/// Serves the volume on a Unix socket, writes it full and reads it back through that: bytes a second of both.
fn through_socket(volume: &Volume, story: &Story) -> Result<(f64, f64), Failure> {
    let source: Source = Arc::new(Heap);
    let device = open_table(&volume.table, &DeviceOptions::default())?;
    let export = Export::new("volume", "quickstart", device, false, &source).map_err(Failure::work)?;
    let address = Address::unix(volume.folder.join("volume.sock")).map_err(Failure::work)?;
    let server =
        Server::bind(std::slice::from_ref(&address), vec![export], MAX_CONNECTIONS).map_err(Failure::work)?;
    let stopper = server.stopper();
    let server = thread::spawn(move || server.run());
    story.say(&format!("serving {}", address.uri("volume")))?;
    let speeds = client(&address, volume.size);
    stopper.stop();
    server.join().map_err(|_| Failure::work("the server panicked"))?.map_err(Failure::work)?;
    let (written, read) = speeds?;
    story.say(&format!(
        "wrote   {} through the socket at {:.2} GB/s, flushed",
        human(volume.size),
        written / 1e9
    ))?;
    story.say(&format!("read    it back at {:.2} GB/s: every byte as written", read / 1e9))?;
    Ok((written, read))
}

fn client(address: &Address, size: u64) -> Result<(f64, f64), Failure> {
    let mut client = Client::connect(address, "volume").map_err(Failure::work)?;
    client.set_timeout(Some(Duration::from_secs(30))).map_err(Failure::work)?;
    let mut plaintext = Plaintext::new();
    let places = || (0..size).step_by(CHUNK);
    let begin = Instant::now();
    let write = |client: &mut Client, at: u64| client.send_write(at, at, plaintext.chunk(at), false);
    pipeline::run(&mut client, places(), DEPTH, write, |_, _| true).map_err(Failure::work)?;
    client.flush().map_err(Failure::work)?;
    let written = size as f64 / begin.elapsed().as_secs_f64();

    let begin = Instant::now();
    let read = |client: &mut Client, at: u64| client.send_read(at, at, CHUNK as u32);
    pipeline::run(&mut client, places(), DEPTH, read, |at, got| got == plaintext.chunk(at))
        .map_err(Failure::work)?;
    let read = size as f64 / begin.elapsed().as_secs_f64();
    client.disconnect().map_err(Failure::work)?;
    Ok((written, read))
}

/// Looks at the image itself: every sector was written, and none holds its plaintext.
fn check_ciphertext(volume: &Volume) -> Result<(), Failure> {
    let mut image = File::open(&volume.image).map_err(Failure::work)?;
    let (mut plaintext, mut chunk) = (Plaintext::new(), vec![0; CHUNK]);
    for at in (0..volume.size).step_by(CHUNK) {
        image.read_exact(&mut chunk).map_err(Failure::work)?;
        let sectors = chunk.chunks(SECTOR_SIZE).zip(plaintext.chunk(at).chunks(SECTOR_SIZE));
        for (sector, (found, plain)) in sectors.enumerate() {
            // Noise of 504 bytes has no byte run of the plaintext's by chance, and is never all zeros.
            if found[8..] == plain[8..] || found.iter().all(|byte| *byte == 0) {
                let at = at + (sector * SECTOR_SIZE) as u64;
                return Err(Failure::work(format!("the image holds no ciphertext at byte {at}")));
            }
        }
    }
    Ok(())
}

/// Opens the volume again and reads it without a server.
fn check_reopened(volume: &Volume) -> Result<(), Failure> {
    let device = open_table(&volume.table, &DeviceOptions { read_only: true, ..DeviceOptions::default() })?;
    let device = Blocking::new(device).map_err(Failure::work)?;
    let (mut plaintext, mut chunk) = (Plaintext::new(), vec![0; CHUNK]);
    for at in (0..volume.size).step_by(CHUNK) {
        device.read_at(at, &mut chunk).map_err(Failure::work)?;
        if chunk != plaintext.chunk(at) {
            return Err(Failure::work(format!("the volume has changed at byte {at}")));
        }
    }
    Ok(())
}

/// Both ways to encrypt the volume, over its first bytes.
fn compare(volume: &Volume) -> Result<Comparison, Failure> {
    let table = Table::parse(&volume.table)?;
    let TargetSpec::Crypt(spec) = &table.rows[0].target else {
        return Err(Failure::work("the quickstart's table has no crypt row"));
    };
    let mut comparison = Comparison::new(spec, &DeviceOptions::default().cipher).map_err(Failure::work)?;
    let mut image = File::open(&volume.image).map_err(Failure::work)?;
    let mut chunk = vec![0; COMPARED_AT_ONCE];
    for at in (0..volume.size.min(COMPARED)).step_by(COMPARED_AT_ONCE) {
        image.read_exact(&mut chunk).map_err(Failure::work)?;
        comparison.add(&mut chunk, at / SECTOR_SIZE as u64).map_err(Failure::work)?;
    }
    Ok(comparison)
}
