//! Sizes that are no multiple of a block: `convert`, `read` and `write` move each byte of them, and none beside.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::process::{Child, Command, Stdio};

use udm_tests::images::{CHEAP, Files, MIB, assert_refused, convert, converted, text};
use udm_tests::judge::judge;
use udm_tests::program::{Served, run, until_it_listens};
use udm_tests::volume::{Volume, noise};

const SIZES: [usize; 6] = [1, 1000, 1537, 4096 + 511, MIB + 1, 2 * MIB + 4095];

/// nbdkit with a file, ended when it is dropped.
struct Nbdkit(Child);

impl Nbdkit {
    fn start(files: &Files, words: &[&str]) -> (Self, String) {
        let socket = files.path("sock");
        let _ = fs::remove_file(&socket);
        let mut command = Command::new("nbdkit");
        command.args(["-f", "-U", &socket]).args(words).stdin(Stdio::null());
        let child = command.spawn().expect("nbdkit: install it with cargo xtask deps");
        let mut server = Self(child);
        until_it_listens(&mut server.0, socket.as_ref());
        (server, format!("nbd+unix:///?socket={socket}"))
    }
}

impl Drop for Nbdkit {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The oracle is the file, and its digest by sha256sum.
#[test]
fn files_of_any_size_are_copied_to_the_byte() {
    let files = Files::new(MIB, 0xE8_AC71);
    for size in SIZES {
        let bytes = noise(size as u64, size);
        fs::write(files.path("odd"), &bytes).unwrap();
        let digest = &judge("sha256sum", [files.path("odd")])[..64];
        for cache in ["auto", "writeback"] {
            let out = files.raw("out");
            let told = converted(&[&files.raw("odd"), &out, "--verify", "--force", "--cache", cache]);
            assert_eq!((told["bytes"].as_u64(), told["sha256"].as_str()), (Some(size as u64), Some(digest)));
            assert!(fs::read(files.path("out")).unwrap() == bytes, "{size} bytes");
        }
        // Into what is there: as large, and larger, where what lies behind stays.
        fs::write(files.path("there"), vec![9; size]).unwrap();
        fs::write(files.path("large"), vec![9; size + 5000]).unwrap();
        for (to, rest) in [("there", 0), ("large", 5000)] {
            converted(&["-n", "--verify", &files.raw("odd"), &files.raw(to)]);
            let there = fs::read(files.path(to)).unwrap();
            assert!(there[..size] == bytes && there[size..] == vec![9; rest], "{size} bytes into {to}");
        }
        // A byte less is refused, and stays as it was.
        fs::write(files.path("there"), vec![9; size.max(2) - 1]).unwrap();
        if size > 1 {
            let told = convert(&["-n", &files.raw("odd"), &files.raw("there")]);
            assert_refused(&told, 2, &[&format!("{size} bytes"), &format!("room for {}", size - 1)]);
            assert!(fs::read(files.path("there")).unwrap() == vec![9; size - 1]);
        }
    }
}

/// The oracles: nbdcopy reads the same export, and nbdkit's file is what was written through it.
#[test]
fn exports_of_any_size_are_copied_to_the_byte() {
    let files = Files::new(MIB, 0xE8_AC72);
    for size in [1000, 1537, MIB + 1] {
        let bytes = noise(size as u64, size);
        fs::write(files.path("odd"), &bytes).unwrap();
        let (server, uri) = Nbdkit::start(&files, &["file", &files.path("odd")]);
        judge("nbdcopy", [&uri, &files.path("oracle")]);
        assert!(fs::read(files.path("oracle")).unwrap() == bytes, "nbdcopy reads something else");
        let told = converted(&[&format!("raw:{uri}"), &files.raw("out"), "--verify", "--force"]);
        assert_eq!(told["bytes"].as_u64(), Some(size as u64));
        assert!(fs::read(files.path("out")).unwrap() == bytes, "{size} bytes from an export");

        let other = noise(1 + size as u64, size);
        fs::write(files.path("other"), &other).unwrap();
        converted(&["-n", "--verify", &files.raw("other"), &format!("raw:{uri}")]);
        drop(server);
        assert!(fs::read(files.path("odd")).unwrap() == other, "{size} bytes into an export");
    }
    // Bytes that the server gives to nobody are named, and not left out.
    let words = ["--filter=blocksize-policy", "file", &files.path("odd"), "blocksize-minimum=512"];
    let words = [&words[..], &["blocksize-error-policy=error"]].concat();
    let (server, uri) = Nbdkit::start(&files, &words);
    let told = convert(&[&format!("raw:{uri}"), &files.raw("out"), "--force"]);
    assert_refused(&told, 2, &["1048577 bytes", "blocks of 512", "the last 1"]);
    drop(server);
}

#[test]
fn a_volume_that_cannot_hold_a_part_of_a_sector_says_so_before_anything_is_made() {
    let files = Files::new(MIB, 0xE8_AC73);
    let key = files.path("key");
    fs::write(files.path("odd"), noise(3, 1537)).unwrap();
    let before = files.all();
    let (odd, new) = (files.raw("odd"), files.path("new"));
    let new = [&[&*odd, &*new, "--dst-key-file", &key], &CHEAP[..]].concat();
    assert_refused(&convert(&new), 2, &["1537 bytes", "sectors of 512", "truncate -s %512"]);
    assert!(files.all() == before, "something was left");
    files.luks_format("there.img", "key", "--type luks2");
    let there = fs::read(files.path("there.img")).unwrap();
    let told = convert(&["-n", &files.raw("odd"), &files.path("there.img"), "--dst-key-file", &key]);
    assert_refused(&told, 2, &["1537 bytes", "nothing was written", "truncate -s %512"]);
    assert!(fs::read(files.path("there.img")).unwrap() == there);
    let volume = Volume::new(1 << 20, "aes-xts-plain64", 64, "", 3);
    let there = fs::read(&volume.image).unwrap();
    let told = convert(&["-n", &files.raw("odd"), "--dst-table-file", volume.table.to_str().unwrap()]);
    assert_refused(&told, 2, &["1537 bytes", "truncate -s %512"]);
    assert!(fs::read(&volume.image).unwrap() == there);
    // The twin: what it advises works.
    judge("truncate", ["-s", "%512", &*files.path("odd")]);
    converted(&new);
}

/// Past the page cache whole blocks are written, so nothing is made that would lack bytes.
#[test]
fn past_the_page_cache_is_refused_where_it_would_lose_bytes() {
    let files = Files::new(MIB, 0xE8_AC74);
    fs::write(files.path("odd"), noise(3, 1537)).unwrap();
    let before = files.all();
    let told = convert(&[&files.raw("odd"), &files.raw("out"), "--cache", "none"]);
    assert_refused(&told, 2, &["without the page cache", "auto would do"]);
    assert!(files.all() == before, "something was left");
}

#[test]
fn read_and_write_reach_the_last_byte_and_no_further() {
    let files = Files::new(MIB, 0xE8_AC75);
    for size in SIZES {
        let mut bytes = noise(size as u64, size);
        fs::write(files.path("odd"), &bytes).unwrap();
        let raw = files.raw("odd");
        assert!(run(["read", &*raw]).stdout == bytes, "{size} bytes");
        // The last bytes become others; one more is refused.
        let fresh = noise(7, size.min(600));
        let at = size - fresh.len();
        fs::write(files.path("fresh"), &fresh).unwrap();
        let words = ["write", &raw, "--input", &files.path("fresh"), "--offset"];
        let told = run(words.iter().chain(&[&*at.to_string()]));
        assert!(told.status.success(), "{}", text(&told.stderr));
        bytes[at..].copy_from_slice(&fresh);
        assert!(fs::read(files.path("odd")).unwrap() == bytes, "{size} bytes after a write");
        let told = run(words.iter().chain(&[&*(at + 1).to_string()]));
        assert_refused(&told, 2, &["nothing was written"]);
        let told = run(["read", &*raw, "--length", &(size + 1).to_string()]);
        assert_refused(&told, 2, &[&format!("{size} bytes")]);
        assert!(fs::read(files.path("odd")).unwrap() == bytes, "{size} bytes after refusals");
    }
}

/// The oracles are nbdinfo and nbdcopy, which move each byte of an export.
#[test]
fn a_file_of_any_size_is_served_to_the_byte() {
    let files = Files::new(MIB, 0xE8_AC77);
    for size in SIZES {
        let bytes = noise(size as u64, size);
        fs::write(files.path("odd"), &bytes).unwrap();
        let raw = files.raw("odd");
        let server = Served::start([&*raw, "--nbd", &files.path("served")], 1);
        assert_eq!(judge("nbdinfo", ["--size", server.uri()]).trim(), size.to_string());
        judge("nbdcopy", [server.uri(), &*files.path("out")]);
        assert!(fs::read(files.path("out")).unwrap() == bytes, "{size} bytes from an export");
        let other = noise(size as u64 + 1, size);
        fs::write(files.path("in"), &other).unwrap();
        judge("nbdcopy", ["--flush", &*files.path("in"), server.uri()]);
        assert!(fs::read(files.path("odd")).unwrap() == other, "{size} bytes into an export");
        assert_eq!(server.stop().0, Some(0));
    }
}

/// A volume in a file that ends within a sector: what is left over belongs to nobody, and stays.
#[test]
fn a_table_ends_before_a_sector_that_is_stored_in_part() {
    let files = Files::new(MIB, 0xE8_AC76);
    let odd = noise(5, 1537);
    fs::write(files.path("odd"), &odd).unwrap();
    let table = |sectors: u64| format!("0 {sectors} linear {} 0", files.path("odd"));
    let told = run(["read", "--table", &table(4)]);
    assert_refused(&told, 2, &["at most 3 sectors fit"]);
    assert!(run(["read", "--table", &table(3)]).stdout == odd[..1536]);
    File::options().write(true).open(files.path("odd")).unwrap().write_all_at(b"x", 1536).unwrap();
    let mut bytes = odd[..1536].to_vec();
    bytes.reverse();
    fs::write(files.path("fresh"), &bytes).unwrap();
    let words = ["write", "--table", &table(3), "--offset", "0", "--input", &files.path("fresh")];
    assert!(run(words).status.success());
    bytes.push(b'x');
    assert!(fs::read(files.path("odd")).unwrap() == bytes);
}
