//! LUKS volumes through the whole program: what cryptsetup and qemu-img wrote is read, and what udm wrote they read.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use base16ct::lower::decode_vec;
use serde_json::Value;
use tempfile::TempDir;
use udm_tests::judge::{judge, try_judge};
use udm_tests::program::{Served, path, run};
use udm_tests::volume::noise;

/// An image with its key file, in a folder that goes with it.
struct Image {
    folder: TempDir,
    disk: String,
    key: String,
}

impl Image {
    fn new(passphrase: &[u8]) -> Self {
        let folder = TempDir::with_prefix("udm-luks-").unwrap();
        let name = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let (disk, key) = (name("disk.img"), name("key"));
        fs::write(&key, passphrase).unwrap();
        Self { folder, disk, key }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn udm(&self, words: &[&str]) -> Output {
        run(words.iter().copied().chain(["--key-file", &self.key]))
    }

    /// The bytes from `offset` on.
    fn read(&self, offset: usize, length: usize) -> Vec<u8> {
        let (offset, length) = (offset.to_string(), length.to_string());
        let output = self.udm(&["read", &self.disk, "--offset", &offset, "--length", &length]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        output.stdout
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The program refused, with this status and one line that has `part` in it.
fn assert_refused(output: &Output, part: &str) {
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains(part) && !told.contains("panicked"), "{part:?} is not in: {told}");
}

fn vectors() -> PathBuf {
    std::env::var_os("UDM_VECTORS").map_or_else(|| "../vectors".into(), PathBuf::from).join("luks")
}

fn unpack(name: &str, to: &str) {
    let unpacked = Command::new("xz").args(["-d", "-c"]).arg(vectors().join(name)).output().expect("xz");
    assert!(unpacked.status.success(), "{name}");
    fs::write(to, unpacked.stdout).unwrap();
}

fn sha256(bytes: &[u8], scratch: &str) -> String {
    fs::write(scratch, bytes).unwrap();
    judge("sha256sum", [scratch])[..64].to_owned()
}

/// Oracle: the digest of the whole decrypted device, by the kernel's dm-crypt.
#[test]
fn every_image_of_cryptsetups_reads_as_the_kernel_read_it() {
    let files = fs::read_dir(vectors()).unwrap().map(|entry| entry.unwrap().path());
    let (mut read, mut refused) = (0, 0);
    for file in files.filter(|file| file.extension().is_some_and(|extension| extension == "json")) {
        let told: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        let Some(name) = told["image"].as_str() else { continue };
        let passphrase = told["passphrases"][0].as_str().map(|text| text.as_bytes().to_vec());
        let passphrase =
            passphrase.unwrap_or_else(|| decode_vec(told["key_files"][0]["hex"].as_str().unwrap()).unwrap());
        let image = Image::new(&passphrase);
        unpack(name, &image.disk);
        let mut words = vec!["read", &image.disk];
        let header = image.path("header");
        if let Some(name) = told["header_image"].as_str() {
            unpack(name, &header);
            words.extend(["--header", &header]);
        }
        let output = image.udm(&words);
        let encryption = told["dm_table"].as_str().unwrap().split(' ').nth(2) == Some("crypt");
        let requirements = !told["luks2_metadata"]["config"]["requirements"].is_null();
        let integrity = !told["dm_table_integrity"].is_null();
        if told["must_open"] == false || requirements || integrity || !encryption {
            assert_refused(
                &output,
                if told["must_open"] == false { "no LUKS header" } else { "not supported: " },
            );
            refused += 1;
            continue;
        }
        assert!(output.status.success(), "{name}: {}", text(&output.stderr));
        let payload = &told["payload"];
        assert_eq!(output.stdout.len() as u64, payload["sectors"].as_u64().unwrap() * 512, "{name}");
        assert_eq!(sha256(&output.stdout, &image.path("sum")), payload["sha256"].as_str().unwrap(), "{name}");
        read += 1;
    }
    println!("{read} images read, {refused} refused");
    assert_eq!((read, refused), (24, 12));
}

/// Runs qemu-img, which measures the processor before it settles how often it iterates, and gives up where the clock of
/// the machine has not moved in between.
fn qemu_img_makes(words: &[&str]) {
    for _ in 0..20 {
        let output = try_judge("qemu-img", words);
        if output.status.success() {
            return;
        }
        assert!(text(&output.stderr).contains("accurate CPU usage"), "{output:?}");
    }
    panic!("qemu-img cannot measure this processor");
}

#[test]
fn qemu_img_and_udm_read_each_others_luks1() {
    const SIZE: usize = 4 << 20;
    let image = Image::new(b"of both");
    let (plain, back) = (image.path("plain"), image.path("back"));
    fs::write(&plain, noise(1, SIZE)).unwrap();
    let secret = format!("secret,id=s,file={}", image.key);
    for options in [
        "cipher-alg=aes-256,cipher-mode=xts,ivgen-alg=plain64",
        "cipher-alg=aes-128,cipher-mode=cbc,ivgen-alg=essiv,ivgen-hash-alg=sha256",
        "cipher-alg=serpent-256,cipher-mode=xts,ivgen-alg=plain64",
        "cipher-alg=twofish-256,cipher-mode=cbc,ivgen-alg=plain64,hash-alg=sha1",
        "cipher-alg=cast5-128,cipher-mode=cbc,ivgen-alg=plain64,hash-alg=ripemd160",
    ] {
        let options = format!("key-secret=s,iter-time=10,{options}");
        let luks = ["--object", &secret, "-O", "luks", "-o", &options, &plain, &image.disk];
        qemu_img_makes(&["convert", "-f", "raw"].into_iter().chain(luks).collect::<Vec<_>>());
        assert!(image.read(0, SIZE) == noise(1, SIZE), "{options}: udm reads something else");
        fs::write(&back, noise(2, 1_000_001)).unwrap();
        let wrote = image.udm(&["write", &image.disk, "--offset", "12345", "-i", &back]);
        assert!(wrote.status.success(), "{}", text(&wrote.stderr));
        let from = format!("driver=luks,key-secret=s,file.filename={}", image.disk);
        judge("qemu-img", ["convert", "--object", &secret, "--image-opts", "-O", "raw", &from, &back]);
        let mut want = noise(1, SIZE);
        want[12345..12345 + 1_000_001].copy_from_slice(&noise(2, 1_000_001));
        assert!(fs::read(&back).unwrap() == want, "{options}: qemu-img reads something else");
    }
}

#[test]
fn what_cryptsetup_encrypted_in_place_is_served_as_it_was() {
    const SIZE: usize = 24 << 20;
    // Half of what the device is reduced by becomes the header; the rest is lost.
    const KEPT: usize = 8 << 20;
    let image = Image::new(b"in place");
    fs::write(&image.disk, noise(3, SIZE)).unwrap();
    let costs = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"];
    // Its lock of a reencryption is a file in /run, which takes rights.
    let reencrypt =
        ["reencrypt", "--encrypt", "--disable-locks", "-q", "--type", "luks2", "--reduce-device-size", "16M"];
    let files = ["--key-file", &image.key, &image.disk];
    judge("cryptsetup", reencrypt.into_iter().chain(costs).chain(files));
    assert!(image.read(0, KEPT) == noise(3, KEPT), "udm reads something else");
    let socket = image.path("socket");
    let served = Served::start([&image.disk, "--key-file", &image.key, "--nbd", &socket], 1);
    judge("qemu-io", ["-f", "raw", "-c", "write -P 0x5a 1M 64k", "-c", "flush", served.uri()]);
    assert_eq!(served.stop().0, Some(0));
    assert!(image.read(1 << 20, 65536) == vec![0x5a; 65536]);
    let verified = image.udm(&["--json", "verify", &image.disk]);
    let told: Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert_eq!(told["same"], true, "{told}");
}

/// Oracle: cryptsetup's own dump, but for white space.
#[test]
fn luks_dump_reads_as_luks_dump_of_cryptsetup() {
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    for format in [
        "--type luks1 --pbkdf-force-iterations 1000",
        "--type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --label some-label",
        "--type luks2 --pbkdf argon2id --pbkdf-memory 32 --pbkdf-force-iterations 4 --sector-size 4096",
    ] {
        let image = Image::new(b"to be dumped");
        fs::File::create(&image.disk).unwrap().set_len(20 << 20).unwrap();
        let format: Vec<_> = format.split(' ').chain([&*image.disk, &image.key]).collect();
        judge("cryptsetup", ["-q", "luksFormat"].into_iter().chain(format));
        let theirs =
            judge("cryptsetup", ["luksDump", &image.disk]).replace(&format!(" for {}", image.disk), "");
        let ours = run(["luks", "dump", &image.disk]);
        assert_eq!(words(&text(&ours.stdout)), words(&theirs), "{}", text(&ours.stderr));
        let json = run(["--json", "luks", "dump", &image.disk]);
        let told: Value = serde_json::from_slice(&json.stdout).unwrap();
        assert!(theirs.contains(told["uuid"].as_str().unwrap()), "{told}");
        if told["version"] == 2 {
            let theirs = judge("cryptsetup", ["luksDump", "--dump-json-metadata", &image.disk]);
            assert_eq!(told["metadata"], serde_json::from_str::<Value>(&theirs).unwrap());
        }
    }
}

#[test]
fn passphrases_come_from_where_cryptsetup_would_take_them() {
    let image = Image::new(b"....secret\nmore");
    fs::File::create(&image.disk).unwrap().set_len(20 << 20).unwrap();
    let exact = image.path("exact");
    fs::write(&exact, b"secret\n").unwrap();
    let format = ["-q", "luksFormat", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"];
    judge("cryptsetup", format.into_iter().chain([&*image.disk, &exact]));
    let test = ["luks", "test-passphrase", &image.disk];
    let part = ["--keyfile-offset", "4", "--keyfile-size", "7"];
    let opened = image.udm(&test.iter().chain(&part).copied().collect::<Vec<_>>());
    assert_eq!(text(&opened.stdout), "Key slot 0 unlocked.\n", "{}", text(&opened.stderr));
    let judged = try_judge(
        "cryptsetup",
        ["open", "--test-passphrase", &image.disk, "--key-file", &image.key].into_iter().chain(part),
    );
    assert!(judged.status.success(), "{judged:?}");
    assert_refused(&image.udm(&test), "the passphrase does not open key slot 0");
    let short = ["--keyfile-offset", "4", "--keyfile-size", "70"];
    assert_refused(
        &image.udm(&test.iter().chain(&short).copied().collect::<Vec<_>>()),
        "ends after 11 bytes",
    );
    assert_refused(
        &image.udm(&[test.as_slice(), &["--key-slot", "3"]].concat()),
        "--key-slot is 3: it is not in use",
    );
    // A pipe as stdin, and the credential of a systemd unit.
    let piped = Command::new("sh")
        .args(["-c", "printf 'secret\\n' | \"$0\" luks test-passphrase \"$1\" --key-file -"])
        .args([path().as_os_str(), image.disk.as_ref()])
        .output()
        .unwrap();
    assert_eq!(text(&piped.stdout), "Key slot 0 unlocked.\n", "{}", text(&piped.stderr));
    fs::rename(&exact, image.path("cryptsetup.passphrase")).unwrap();
    let with = |folder: &Path| {
        let mut udm = Command::new(path());
        udm.args(test).env("CREDENTIALS_DIRECTORY", folder).stdin(Stdio::null());
        udm.output().unwrap()
    };
    assert_eq!(text(&with(image.folder.path()).stdout), "Key slot 0 unlocked.\n");
    // No passphrase is in what is said, also with everything said.
    let all = image.udm(&["-vv", "luks", "test-passphrase", &image.disk]);
    assert!(!text(&all.stderr).contains("secret"), "{}", text(&all.stderr));
}
