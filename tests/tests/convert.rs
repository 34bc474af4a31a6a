//! `udm convert` through the whole program: what it makes is read by programs that others wrote, and what it was
//! interrupted at goes on.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use udm_tests::judge::judge;
use udm_tests::mutate::SplitMix64;
use udm_tests::program::{path, run};
use udm_tests::volume::{Volume, noise};

/// A folder with a plain image of noise and holes, and key files.
struct Files {
    folder: TempDir,
    plain: Vec<u8>,
}

const MIB: usize = 1 << 20;

impl Files {
    /// `plain` has `size` bytes: noise, a long hole, zeros that are written, short runs of both.
    fn new(size: usize, seed: u64) -> Self {
        println!("seed {seed:#x}");
        let folder = TempDir::with_prefix("udm-convert-").unwrap();
        let mut random = SplitMix64::new(seed);
        let mut plain = noise(seed, size);
        plain[size / 4..size / 2].fill(0);
        for _ in 0..200 {
            let at = random.below(size);
            let len = random.below(20_000).min(size - at);
            plain[at..at + len].fill(0);
        }
        let files = Self { folder, plain };
        let file = File::create(files.path("plain")).unwrap();
        file.set_len(size as u64).unwrap();
        file.write_all_at(&files.plain[..size / 4 + 4096], 0).unwrap();
        file.write_all_at(&files.plain[size / 2..], size as u64 / 2).unwrap();
        fs::write(files.path("key"), b"of the source").unwrap();
        fs::write(files.path("other-key"), b"of the destination").unwrap();
        files
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// The name of the bytes of a file.
    fn raw(&self, name: &str) -> String {
        format!("raw:{}", self.path(name))
    }

    fn exists(&self, name: &str) -> bool {
        Path::new(&self.path(name)).exists()
    }

    /// An empty volume of cryptsetup's with room for `plain`, that the key opens.
    fn luks_format(&self, name: &str, key: &str, options: &str) {
        let image = self.path(name);
        File::create(&image).unwrap().set_len((self.plain.len() + 16 * MIB) as u64).unwrap();
        let cheap = "-q luksFormat --pbkdf pbkdf2 --pbkdf-force-iterations 1000";
        let words = cheap.split(' ').chain(options.split_whitespace());
        judge("cryptsetup", words.chain([&*image, &*self.path(key)]));
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn convert(words: &[&str]) -> Output {
    run(["--quiet", "convert"].iter().chain(words))
}

/// Converts, and gives what it tells a program.
fn converted(words: &[&str]) -> Value {
    let output = run(["--json", "--quiet", "convert"].iter().chain(words));
    assert!(output.status.success(), "{words:?}: {}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// It refused, with this status, and said each of `parts`.
fn assert_refused(output: &Output, status: i32, parts: &[&str]) {
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{told}");
    for part in parts {
        assert!(told.contains(part) && !told.contains("panicked"), "{part:?} is not in: {told}");
    }
}

/// Oracles: qemu-img compares images of its own LUKS driver, and the holes are what the file system counts.
#[test]
fn qemu_img_reads_what_is_converted_and_holes_stay_holes() {
    let files = Files::new(24 * MIB, 0xC0_4E41);
    let secret = format!("secret,id=s,file={}", files.path("key"));
    let luks = |name: &str| format!("driver=luks,key-secret=s,file.filename={}", files.path(name));
    let (plain, back, image) = (files.path("plain"), files.path("back"), files.path("one.img"));
    files.luks_format("one.img", "key", "--type luks1");
    let told = converted(&["-n", &files.raw("plain"), &image, "--dst-key-file", &files.path("key")]);
    // A hole in ciphertext would read as garbage.
    assert_eq!((told["written"].as_u64(), told["zeros"].as_u64()), (Some(24 << 20), Some(0)), "{told}");
    assert!(told["read"].as_u64().unwrap() < 20 << 20, "holes were read: {told}");
    judge("qemu-img", ["convert", "--object", &secret, "--image-opts", "-O", "raw", &luks("one.img"), &back]);
    assert!(fs::read(&back).unwrap()[..files.plain.len()] == files.plain, "qemu-img reads something else");

    let told = converted(&["--verify", "-d", &files.path("key"), &image, &files.raw("out")]);
    let room = fs::metadata(&image).unwrap().len() as usize;
    let out = fs::read(files.path("out")).unwrap();
    assert!(out.len() < room && out[..files.plain.len()] == files.plain, "udm reads something else");
    let blocks = fs::metadata(files.path("out")).unwrap().blocks() as usize * 512;
    assert!(blocks < 18 * MIB + room - 24 * MIB, "{blocks} bytes are allocated");
    assert_eq!(told["sha256"], judge("sha256sum", [&files.path("out")])[..64], "{told}");
    assert_eq!(fs::metadata(files.path("out")).unwrap().mode() & 0o777, 0o600, "secrets for everybody");

    // Plain to plain is as qemu-img would copy it; the bad twin differs in one byte.
    converted(&[&files.raw("plain"), &files.raw("copy")]);
    judge("qemu-img", ["compare", "-f", "raw", "-F", "raw", &plain, &files.path("copy")]);
    File::options().write(true).open(files.path("copy")).unwrap().write_all_at(&[1], 9 << 20).unwrap();
    let twin = udm_tests::judge::try_judge(
        "qemu-img",
        ["compare", "-f", "raw", "-F", "raw", &plain, &files.path("copy")],
    );
    assert_eq!(twin.status.code(), Some(1), "{twin:?}");
}

/// The oracle is the plaintext, and cryptsetup, which decrypts the image in place without device-mapper.
#[test]
fn keys_ciphers_and_sector_sizes_change_and_the_payload_does_not() {
    let files = Files::new(16 * MIB, 0xC0_4E42);
    files.luks_format("one.img", "key", "--type luks2 --cipher aes-cbc-essiv:sha256 --key-size 256");
    files.luks_format("two.img", "other-key", "--type luks2 --sector-size 4096");
    let (one, two) = (files.path("one.img"), files.path("two.img"));
    let (key, other) = (files.path("key"), files.path("other-key"));
    converted(&["-n", &files.raw("plain"), &one, "--dst-key-file", &key]);
    let told = converted(&["-n", "--verify", &one, &two, "--key-file", &key, "--dst-key-file", &other]);
    assert_eq!(told["verified"], true);
    judge(
        "cryptsetup",
        [
            "reencrypt",
            "-q",
            "--decrypt",
            "--force-offline-reencrypt",
            "--header",
            &files.path("header"),
            "--key-file",
            &other,
            &two,
        ],
    );
    assert!(fs::read(&two).unwrap()[..16 * MIB] == files.plain, "cryptsetup decrypts it to something else");

    // Through tables, with another IV mode, and back.
    let volume = Volume::new(16 << 20, "aes-cbc-essiv:sha256", 32, "", 7);
    let table = volume.table.to_str().unwrap();
    converted(&["-n", &files.raw("plain"), "--dst-table-file", table]);
    converted(&["--table-file", table, &files.raw("back")]);
    assert!(fs::read(files.path("back")).unwrap() == files.plain);
    assert!(fs::read(&volume.image).unwrap()[4 * MIB..8 * MIB].chunks(512).all(|sector| sector != [0; 512]));
    let refused = convert(&[&files.raw("plain"), "--dst-table-file", table]);
    assert_refused(&refused, 2, &["a table describes what is there", "--no-create"]);
}

/// What a passphrase of a test costs.
const CHEAP: [&str; 4] = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"];

/// Oracles: qemu-img reads the LUKS1 volume; cryptsetup opens each with its passphrase, and decrypts one in place.
#[test]
fn a_plain_image_becomes_a_volume_that_others_open() {
    let files = Files::new(8 * MIB, 0xC0_4E4A);
    let (raw, key, other) = (files.raw("plain"), files.path("key"), files.path("other-key"));
    for (name, options) in [
        ("one", "--type luks1"),
        (
            "two",
            "--type luks2 --pbkdf argon2id --pbkdf-memory 64 --pbkdf-force-iterations 4 --pbkdf-parallel 1",
        ),
        ("cbc", "--cipher aes-cbc-essiv:sha256 --key-size 128 --sector-size 512 --label of-a-test"),
    ] {
        let image = files.path(name);
        let cheap = if options.contains("argon2id") { &[][..] } else { &CHEAP[..] };
        let words = [&[&*raw, &image, "--verify", "--dst-key-file", &key], cheap].concat();
        let told = converted(&words.into_iter().chain(options.split(' ')).collect::<Vec<_>>());
        assert_eq!(told["sha256"], judge("sha256sum", [&files.path("plain")])[..64], "{told}");
        judge("cryptsetup", ["open", "--test-passphrase", &image, "--key-file", &key]);
        let found = fs::metadata(&image).unwrap();
        assert!(found.blocks() * 512 >= found.len(), "there are holes in ciphertext");
    }
    let secret = format!("secret,id=s,file={key}");
    let luks = format!("driver=luks,key-secret=s,file.filename={}", files.path("one"));
    judge(
        "qemu-img",
        ["convert", "--object", &secret, "--image-opts", "-O", "raw", &luks, &files.path("back")],
    );
    assert!(fs::read(files.path("back")).unwrap() == files.plain, "qemu-img reads something else");
    // Another key in the place of the old volume; the old passphrase opens it no more.
    let two = files.path("two");
    let words = ["--force", &two, &two, "--key-file", &key, "--new-keyfile", &other, "--sector-size", "4096"];
    converted(&[&words[..], &CHEAP].concat());
    assert_refused(
        &run(["luks", "test-passphrase", &two, "--key-file", &key]),
        2,
        &["does not open key slot 0"],
    );
    let decrypt =
        ["reencrypt", "-q", "--decrypt", "--force-offline-reencrypt", "--header", &files.path("header")];
    judge("cryptsetup", decrypt.into_iter().chain(["--key-file", &other, &two]));
    assert!(fs::read(&two).unwrap()[..8 * MIB] == files.plain, "cryptsetup decrypts it to something else");
}

#[test]
fn a_volume_that_cannot_be_made_leaves_nothing_behind() {
    let files = Files::new(MIB, 0xC0_4E4B);
    let (raw, key, new) = (files.raw("plain"), files.path("key"), files.path("new"));
    fs::write(files.path("odd"), vec![7; 4096 + 512]).unwrap();
    let make = |source: &str, options: &str| {
        let words = [&[source, &*new, "--dst-key-file", &key], &CHEAP[..]].concat();
        convert(&words.into_iter().chain(options.split_whitespace()).collect::<Vec<_>>())
    };
    let odd = make(&files.raw("odd"), "--sector-size 4096");
    assert_refused(&odd, 2, &["4608 bytes", "sectors of 4096", "--sector-size 512 would do"]);
    assert_refused(&make(&raw, "--cipher aes-xts-plain46"), 2, &["plain46"]);
    assert_refused(&make(&raw, "--key-size 100"), 2, &["--key-size"]);
    assert_refused(&make(&raw, "--sector-size 1000"), 2, &["1000"]);
    assert_refused(&make(&raw, "--uuid 7"), 2, &["--uuid"]);
    let small = [&[&*raw, &*new, "--dst-key-file", &key], &CHEAP[..]].concat();
    assert_refused(&convert_limited(4 * MIB, &small), 1, &["cannot have the size of the source"]);
    let left: Vec<_> =
        fs::read_dir(files.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().contains("new")), "{left:?} was left");
    // And a size that fits: sectors of 512 are chosen by themselves.
    assert!(make(&files.raw("odd"), "").status.success());
    let told = run(["luks", "dump", &new]);
    assert!(text(&told.stdout).contains("sector: 512"), "{}", text(&told.stdout));
}

#[test]
fn what_is_there_already_is_not_touched() {
    let files = Files::new(2 * MIB, 0xC0_4E43);
    let (raw, copy) = (files.raw("plain"), files.raw("copy"));
    fs::write(files.path("copy"), b"precious").unwrap();
    assert_refused(&convert(&[&raw, &copy]), 2, &["is there already", "--force replaces it", "--no-create"]);
    assert_refused(&convert(&["-n", &raw, &files.raw("none")]), 2, &["is not there"]);
    assert_refused(&convert(&["-n", &raw, &raw]), 2, &["is the source itself"]);
    assert_refused(&convert(&[&raw, &files.raw(".")]), 2, &["neither a file nor a block device"]);
    assert_refused(&convert(&[&raw]), 2, &["no destination was given"]);
    assert_refused(&convert(&[&raw, &copy, "--table", "0 8 zero"]), 2, &["one name too many"]);
    assert_eq!(fs::read(files.path("copy")).unwrap(), b"precious");
    converted(&["--force", &raw, &copy]);
    assert!(fs::read(files.path("copy")).unwrap() == files.plain);
    // Into what is there: what is behind the source's end stays, and zeros replace what was there.
    fs::write(files.path("large"), vec![7; 3 * MIB]).unwrap();
    converted(&["-n", &raw, &files.raw("large"), "--verify"]);
    let large = fs::read(files.path("large")).unwrap();
    assert!(large[..2 * MIB] == files.plain && large[2 * MIB..] == vec![7; MIB]);
    let left: Vec<_> =
        fs::read_dir(files.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().contains("udm-")), "{left:?} was left");
}

#[test]
fn a_size_that_does_not_fit_is_refused_before_anything_is_written() {
    let files = Files::new(2 * MIB, 0xC0_4E44);
    let raw = files.raw("plain");
    fs::write(files.path("small"), vec![7; MIB]).unwrap();
    assert_refused(&convert(&["-n", &raw, &files.raw("small")]), 2, &["2097152 bytes", "room for 1048576"]);
    assert!(fs::read(files.path("small")).unwrap() == vec![7; MIB]);
    fs::write(files.path("odd"), vec![7; 1000]).unwrap();
    assert_refused(
        &convert(&[&files.raw("odd"), &files.raw("new")]),
        2,
        &["the last 488 are no whole sector", "truncate -s"],
    );
    fs::write(files.path("half"), vec![7; 512 * 9]).unwrap();
    let volume = Volume::new(1 << 20, "aes-xts-plain64", 64, "1 sector_size:4096", 3);
    let into = convert(&["-n", &files.raw("half"), "--dst-table-file", volume.table.to_str().unwrap()]);
    assert_refused(&into, 2, &["4608 bytes", "sectors of 4096", "would do"]);
    assert!(!files.exists("new") && !files.exists("new.udm-part"));
}

/// Where an interrupted conversion stands, by its journal; and a number that changes when that is written anew.
fn journal(path: &str) -> (Option<u64>, u64) {
    let written = fs::metadata(path).map_or(0, |found| found.ino() ^ found.mtime_nsec() as u64);
    let told: Value = fs::read(path).map_or(Value::Null, |text| serde_json::from_slice(&text).unwrap());
    (told["position"].as_u64(), written)
}

/// Starts `udm convert`, and kills it a while after it remembered a few times how far it is: whether it was still at work.
fn killed(words: &[&str], journal_path: &str, random: &mut SplitMix64) -> bool {
    let mut child = Command::new(path()).args(["--quiet", "convert"]).args(words).spawn().unwrap();
    let (mut last, mut writes) = (journal(journal_path).1, random.below(6));
    // Some die before they have begun.
    while writes > 0 && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(1));
        let now = journal(journal_path).1;
        writes -= usize::from(now != last);
        last = now;
    }
    std::thread::sleep(Duration::from_millis(random.below(30) as u64));
    let ended = child.try_wait().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(ended.is_none_or(|status| status.success()), "{words:?}: {ended:?}");
    // It may have been done, and about to end.
    let to = journal_path.strip_suffix(".udm-convert").unwrap();
    let is_done = Path::new(to).exists() && !Path::new(journal_path).exists();
    ended.is_none() && !is_done
}

/// Kills it at random times, and goes on until it is done. The oracle is the source.
#[test]
fn ten_kills_and_the_payload_is_the_same() {
    let seed = 0xC0_4E45;
    let files = Files::new(256 * MIB, seed);
    let (image, key, raw) = (files.path("one.img"), files.path("key"), files.raw("plain"));
    let back = files.raw("back");
    let goes_on = ["--resume", "--checkpoint", "2M"];
    let into_volume = [&[&*raw, &image, "--dst-key-file", &key], &goes_on[..], &CHEAP].concat();
    let into_file = [&["-d", &*key, &image, &back], &goes_on[..]].concat();
    let mut random = SplitMix64::new(seed);
    for (words, to, kills) in [(&into_volume[..], "one.img", 6), (&into_file[..], "back", 4)] {
        let journal_path = files.path(&format!("{to}.udm-convert"));
        let mut positions = Vec::new();
        while positions.len() < kills {
            if killed(words, &journal_path, &mut random) {
                // It may have died between its last two steps.
                let is_part = files.exists(&format!("{to}.udm-part"));
                assert!(!files.exists(to) || !is_part, "a part of it looks like the whole");
                positions.push(journal(&journal_path).0.unwrap_or(0));
            } else {
                // It was faster than the dice: once more from the beginning.
                let _ = fs::remove_file(files.path(to));
                positions.clear();
            }
        }
        let told = converted(words);
        println!("to {to}: killed at {positions:?}, then {told}");
        assert!(positions.is_sorted() && positions[kills - 1] > 0, "it began anew: {positions:?}");
        assert!(!files.exists(&format!("{to}.udm-convert")) && !files.exists(&format!("{to}.udm-part")));
    }
    let back = fs::read(files.path("back")).unwrap();
    assert!(back[..files.plain.len()] == files.plain, "something was lost");
}

/// The bad twin of the kills: a journal that says more than is durable loses what lies between, and --verify says where.
/// And what is no conversion of the same is not gone on with.
#[test]
fn a_journal_that_lies_is_found_by_verify_and_one_of_another_source_is_refused() {
    let files = Files::new(64 * MIB, 0xC0_4E46);
    let (raw, out) = (files.raw("plain"), files.raw("out"));
    let (journal_path, part) = (files.path("out.udm-convert"), files.path("out.udm-part"));
    let mut random = SplitMix64::new(1);
    let words = [&*raw, &*out, "--resume", "--checkpoint", "1M"];
    let there = |path: &str| Path::new(path).exists();
    while !killed(&words, &journal_path, &mut random) || !there(&part) || !there(&journal_path) {
        let _ = fs::remove_file(files.path("out"));
        let _ = fs::remove_file(&journal_path);
    }
    let interrupted = convert(&[&raw, &out]);
    assert_refused(&interrupted, 2, &["was interrupted", "--resume goes on with it", "--force begins anew"]);
    let text = fs::read_to_string(&journal_path).unwrap();
    let mut lying: Value = serde_json::from_str(&text).unwrap();
    lying["position"] = (40 << 20).into();
    fs::write(&journal_path, lying.to_string()).unwrap();
    File::options().write(true).open(&part).unwrap().write_all_at(&[0; 4096], (40 << 20) - 4096).unwrap();
    let told = convert(&[words.as_slice(), &["--verify"]].concat());
    assert_refused(&told, 1, &["the destination differs from the source at byte"]);
    assert!(!files.exists("out"), "what differs was taken for whole");

    fs::write(&journal_path, text).unwrap();
    File::options().write(true).open(files.path("plain")).unwrap().write_all_at(b"changed", 0).unwrap();
    assert_refused(&convert(&words), 2, &["of another conversion", "of the source, modified was"]);
    assert_refused(&convert(&[&files.raw("key"), &out]), 2, &["--resume goes on"]);
    fs::write(&journal_path, "something else").unwrap();
    assert_refused(&convert(&words), 2, &["no record of a conversion"]);
    converted(&["--force", &raw, &out]);
    assert!(fs::read(files.path("out")).unwrap()[7..] == files.plain[7..]);
    assert!(!Path::new(&journal_path).exists() && !Path::new(&part).exists());
}

#[test]
fn an_interrupt_stops_it_and_it_goes_on() {
    let files = Files::new(256 * MIB, 0xC0_4E47);
    let (raw, out) = (files.raw("plain"), files.raw("out"));
    for attempt in 0.. {
        assert!(attempt < 50, "it is always faster than the signal");
        let _ = fs::remove_file(files.path("out"));
        let mut command = Command::new(path());
        command.args(["--quiet", "convert", &raw, &out]).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        while !files.exists("out.udm-convert") && !files.exists("out") {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(5));
        let _ = rustix::process::kill_process(
            rustix::process::Pid::from_child(&child),
            rustix::process::Signal::INT,
        );
        let output = child.wait_with_output().unwrap();
        if !output.status.success() {
            assert_refused(&output, 1, &["stopped at byte", "--resume goes on"]);
            break;
        }
    }
    let (position, _) = journal(&files.path("out.udm-convert"));
    let told = converted(&[&raw, &out, "--resume"]);
    assert!(told["resumed_at"].as_u64() == position && position > Some(0), "{told} after {position:?}");
    assert!(fs::read(files.path("out")).unwrap() == files.plain);
}

/// Runs `udm convert` with files of at most so many bytes, where a write beyond is an error and no signal.
fn convert_limited(limit: usize, words: &[&str]) -> Output {
    let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" --quiet convert \"$@\"", limit / 512);
    Command::new("sh").args(["-c", &script]).arg(path()).args(words).output().unwrap()
}

#[test]
fn a_full_disk_says_where_and_it_goes_on_when_there_is_room() {
    let files = Files::new(32 * MIB, 0xC0_4E48);
    files.luks_format("one.img", "key", "--type luks2");
    let (raw, image, key) = (files.raw("plain"), files.path("one.img"), files.path("key"));
    let words = ["-n", &raw, &image, "--dst-key-file", &key, "--resume"];
    let full = convert_limited(40 * MIB, &words);
    assert_refused(
        &full,
        1,
        &["writing to the destination, 1048576 bytes at byte", "no space left", "--resume goes on"],
    );
    // The data begin at 16 MiB.
    let (position, _) = journal(&files.path("one.img.udm-convert"));
    assert_eq!(position, Some(24 << 20));
    let told = converted(&words);
    assert_eq!(told["resumed_at"].as_u64(), position, "{told}");
    converted(&["-d", &key, &image, &files.raw("back")]);
    assert!(fs::read(files.path("back")).unwrap()[..files.plain.len()] == files.plain);
    // A file that cannot be as long as the source is not begun.
    let new = convert_limited(8 * MIB, &[&raw, &files.raw("new")]);
    assert_refused(&new, 1, &["cannot have the size of the source"]);
    assert!(!files.exists("new.udm-part") && !files.exists("new.udm-convert"));
}

#[test]
fn a_source_that_cannot_be_read_says_where() {
    let files = Files::new(8 * MIB, 0xC0_4E49);
    let table = format!("0 6144 linear {0} 0\n6144 8 error\n6152 2048 linear {0} 6152", files.path("plain"));
    fs::write(files.path("bad.table"), table).unwrap();
    let table = files.path("bad.table");
    let output = convert(&["--table-file", &table, &files.raw("out")]);
    assert_refused(
        &output,
        1,
        &["reading from the source, 1048576 bytes at byte 3145728", "input/output error"],
    );
    assert_eq!(journal(&files.path("out.udm-convert")).0, Some(3 << 20));
    assert!(!files.exists("out"));
    assert!(fs::read(files.path("out.udm-part")).unwrap()[..3 * MIB] == files.plain[..3 * MIB]);
}
