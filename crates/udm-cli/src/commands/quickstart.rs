//! `udm quickstart`: a volume from nothing to a client that reads it, with every step checked.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use udm_backend::nbd::client::Client;
use udm_block::blocking::Blocking;
use udm_block::memory::splitmix64;
use udm_block::{DeviceRef, SECTOR_SIZE};
use udm_dm::targets::crypt::params::CryptSpec;
use udm_export::nbd::server::{Export, Server};
use udm_export::serving::MAX_CONNECTIONS;
use udm_luks::cost::{LEAST_MEMORY_KIB, LEAST_PASSES};
use udm_luks::format::header_size;
use udm_luks::kdf::Argon2Kind;
use udm_luks::{FormatOptions, KdfKind, KdfOptions, Secret, format};
use udm_nbd::address::Address;

use crate::cli::{Failure, QuickstartArgs, human, print};
use crate::compare::Comparison;
use crate::pipeline;
use crate::scratch::Scratch;
use udm::device::{DeviceName, DeviceOptions, Files, luks_table};
use udm::luks::Unlocking;

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
    let folder = Scratch::new("udm-quickstart-")?;
    let volume = Volume::make(folder.path(), size)?;
    story.say(&format!(
        "made    {} of LUKS2, aes-xts-plain64, in {}",
        human(size),
        volume.image.display()
    ))?;

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
All is well. A volume of your own, whose passphrase you are asked for:

  udm luks format volume.img --size 1G
  udm serve volume.img --nbd ./volume.sock

and, from another terminal:

  nbdinfo  'nbd+unix:///volume.img?socket=volume.sock'
  nbdcopy  file.img 'nbd+unix:///volume.img?socket=volume.sock'
  udm read volume.img --length 512 | hexdump -C     (once the server has stopped)

An image that you have, encrypted, and decrypted again:

  udm convert raw:plain.img disk.img --verify
  udm convert disk.img raw:plain.img";

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
    unlocking: Unlocking,
    /// The bytes of its data, without the header.
    size: u64,
    /// Where the data begin on the image, in bytes.
    offset: u64,
}

impl Volume {
    /// A LUKS2 volume with room for `size` bytes, of a passphrase that nobody knows.
    fn make(folder: &Path, size: u64) -> Result<Self, Failure> {
        let image = folder.join("volume.img");
        let passphrase = Arc::new(random_passphrase()?);
        let mut options = FormatOptions::luks2();
        // Chance has made the passphrase, so a derivation that costs nobody anything is as good as any. A volume of one's own
        // has what `udm luks format` measures.
        options.slot.kdf = KdfOptions {
            kind: KdfKind::Argon2(Argon2Kind::Id),
            iterations: Some(LEAST_PASSES),
            memory_kib: LEAST_MEMORY_KIB,
            lanes: 1,
            ..KdfOptions::default()
        };
        let offset = header_size(&options).map_err(Failure::work)?;
        // The sectors that cost most: what is told of their speed holds for all.
        options.sector_size = Some(SECTOR_SIZE as u32);
        let file = File::options().read(true).write(true).create_new(true).mode(0o600).open(&image);
        let failed = |error| Failure::work(format!("{}: {error}", image.display()));
        let mut file = file.map_err(failed)?;
        file.set_len(offset + size).map_err(|error| {
            let why = "set TMPDIR to a folder with more room, or make a smaller one with --size";
            Failure::work(format!("{}: it cannot have {size} bytes: {error}; {why}", image.display()))
        })?;
        let made = format(&mut file, &options, &passphrase).map_err(Failure::work)?;
        let unlocking = Unlocking::with(passphrase);
        Ok(Self { folder: folder.into(), image, unlocking, size, offset: made.segment.offset })
    }

    /// The volume, unlocked by its passphrase.
    fn open(&self, read_only: bool) -> Result<DeviceRef, Failure> {
        let options = DeviceOptions { read_only, ..DeviceOptions::default() };
        Ok(Files::new(&options).open_device(&DeviceName::luks(&self.image), Some(&self.unlocking))?)
    }

    /// The image, from where its data begin.
    fn ciphertext(&self) -> Result<File, Failure> {
        let mut image = File::open(&self.image).map_err(Failure::work)?;
        image.seek(SeekFrom::Start(self.offset)).map_err(Failure::work)?;
        Ok(image)
    }
}

/// 32 bytes of chance.
fn random_passphrase() -> Result<Secret, Failure> {
    File::open("/dev/urandom").and_then(|random| Secret::read(random, 32)).map_err(Failure::work)
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
    let device = volume.open(false)?;
    let export = Export::new("volume", "quickstart", device, false);
    let address = Address::unix(volume.folder.join("volume.sock")).map_err(Failure::work)?;
    let server =
        Server::bind(std::slice::from_ref(&address), vec![export], MAX_CONNECTIONS).map_err(Failure::work)?;
    let stopper = server.stopper();
    let server =
        thread::Builder::new().spawn(move || server.run()).map_err(|error| Failure::thread(&error))?;
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
    let mut image = volume.ciphertext()?;
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
    let device = Blocking::new(volume.open(true)?).map_err(Failure::work)?;
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
    let table = luks_table(&volume.image, &volume.unlocking)?;
    let Some(spec) = table.rows[0].target.downcast_ref::<CryptSpec>() else {
        return Err(Failure::work("the quickstart's table has no crypt row"));
    };
    let mut comparison = Comparison::new(spec, &DeviceOptions::default().cipher).map_err(Failure::work)?;
    let mut image = volume.ciphertext()?;
    let mut chunk = vec![0; COMPARED_AT_ONCE];
    for at in (0..volume.size.min(COMPARED)).step_by(COMPARED_AT_ONCE) {
        image.read_exact(&mut chunk).map_err(Failure::work)?;
        comparison.add(&mut chunk, at / SECTOR_SIZE as u64).map_err(Failure::work)?;
    }
    Ok(comparison)
}
