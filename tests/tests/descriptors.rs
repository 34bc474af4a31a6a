//! What is read from a descriptor: from where it stands, by nothing but the descriptor, and once.
//!
//! A socket is the descriptor that no path opens again (`/dev/stdin` and `/proc/self/fd/0` answer ENXIO), and a file that
//! stands in its middle is the one that a path opens at its beginning. cryptsetup says what the right passphrase is.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;
use udm_tests::images::{CHEAP, assert_refused, text};
use udm_tests::judge::judge;
use udm_tests::program::{path, run};

/// A folder with a volume that the bytes of `key` open.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(TempDir::with_prefix("udm-descriptors-").unwrap());
        fs::write(place.path("key"), "the key").unwrap();
        let (image, key) = (place.path("image"), place.path("key"));
        File::create(&image).unwrap().set_len(20 << 20).unwrap();
        judge("cryptsetup", ["-q", "luksFormat"].into_iter().chain(CHEAP).chain([&*image, &*key]));
        place
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }
}

/// A file of these bytes, which stands at byte `at`.
fn at(bytes: &str, at: u64) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes.as_bytes()).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file
}

/// A socket that has these bytes and then ends.
fn socket(bytes: &str) -> OwnedFd {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.write_all(bytes.as_bytes()).unwrap();
    theirs.shutdown(Shutdown::Both).unwrap();
    ours.into()
}

/// Runs udm with this stdin, which is descriptor 3 as well.
fn udm(stdin: impl Into<Stdio>, args: &[&str]) -> Output {
    let script = "exec \"$0\" \"$@\" 3<&0";
    Command::new("sh").args(["-c", script]).arg(path()).args(args).stdin(stdin).output().unwrap()
}

fn assert_done(output: &Output) {
    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[test]
fn a_passphrase_comes_from_the_descriptor_itself() {
    let place = Place::new();
    let image = place.path("image");
    for source in [["--key-file", "-"], ["--key-fd", "3"], ["--key-fd", "0"]] {
        let test = ["luks", "test-passphrase", &image, source[0], source[1]];
        assert_done(&udm(socket("the key"), &test));
        assert_done(&udm(at("not this: the key", 10), &test));
        // The oracle: what cryptsetup takes from such a stdin.
        let words = ["open", "--test-passphrase", &image, "--key-file", "-"];
        let stdin = at("not this: the key", 10);
        let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
        let mut cryptsetup = Command::new("cryptsetup");
        assert!(cryptsetup.args(words).env("PATH", path).stdin(stdin).status().unwrap().success());
        // The bad twin: the file from its beginning is another passphrase.
        assert_refused(&udm(at("not this: the key", 0), &test), 2, &["passphrase"]);
    }
}

#[test]
fn what_is_left_out_of_a_descriptor_is_counted_from_where_it_stands() {
    let place = Place::new();
    let image = place.path("image");
    let part = |offset, size| {
        let words = ["luks", "test-passphrase", &image, "--key-file", "-"].map(str::to_owned);
        let part = ["--keyfile-offset", offset, "--keyfile-size", size].map(str::to_owned);
        words.into_iter().chain(part).collect::<Vec<_>>()
    };
    let words = part("5", "7");
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    assert_done(&udm(socket("12345the key and more"), &words));
    assert_done(&udm(at("..12345the key and more", 2), &words));
    assert_refused(&udm(at("..12345the", 2), &words), 2, &["stdin: the key file ends after 3 bytes"]);
    let behind = ["luks", "test-passphrase", &image, "--key-file", "-", "--keyfile-offset", "100"];
    for stdin in [Stdio::from(socket("short")), at("short", 0).into()] {
        assert_refused(&udm(stdin, &behind), 2, &["stdin: the key file has nothing from byte 100 on"]);
    }
}

#[test]
fn a_new_key_a_token_a_table_and_data_come_from_the_descriptor_itself() {
    let place = Place::new();
    let (image, key) = (place.path("image"), place.path("key"));
    let add = ["luks", "add-key", &image, "--key-file", &key, "--new-keyfile", "-"];
    let add: Vec<&str> = add.into_iter().chain(CHEAP).collect();
    assert_done(&udm(at("before: new key", 8), &add));
    fs::write(place.path("new"), "new key").unwrap();
    judge("cryptsetup", ["open", "--test-passphrase", &image, "--key-file", &place.path("new")]);

    let token = r#"{"type":"ours","keyslots":[]}"#;
    for json in [&["--json-file", "-"][..], &[]] {
        let import: Vec<&str> = ["luks", "token", "import", &image].iter().chain(json).copied().collect();
        assert_done(&udm(socket(token), &import));
        assert_done(&udm(at(&format!("{{ {token}"), 2), &import));
    }

    let table = "0 8 linear null:1M 0";
    for stdin in [Stdio::from(socket(table)), at(&format!("0 9 zero {table}"), 9).into()] {
        let shown = udm(stdin, &["table", "show", "--table-file", "-"]);
        assert_eq!(text(&shown.stdout).trim(), table, "{}", text(&shown.stderr));
    }

    let disk = place.path("disk");
    let inputs: [(Stdio, &[&str]); 3] = [
        (socket("data").into(), &["--input", "-"]),
        (at("no data", 3).into(), &[]),
        // The file has more bytes than the device, and what is left of it has not.
        (at(&format!("{}data", "x".repeat(2000)), 2000).into(), &[]),
    ];
    for (stdin, input) in inputs {
        fs::write(&disk, [0; 1024]).unwrap();
        let raw = format!("raw:{disk}");
        let write: Vec<&str> = ["write", &raw, "--offset", "1000"].iter().chain(input).copied().collect();
        assert_done(&udm(stdin, &write));
        assert_eq!(&fs::read(&disk).unwrap()[998..1006], b"\0\0data\0\0");
    }
}

#[test]
fn one_descriptor_is_not_read_for_two_things() {
    let place = Place::new();
    let (image, disk) = (place.path("image"), place.path("disk"));
    fs::write(&disk, vec![0; 1 << 20]).unwrap();
    let before = fs::read(&image).unwrap();
    let new = place.path("made");
    let refused: [(&[&str], &str); 13] = [
        (&["luks", "add-key", &image, "--key-file", "-", "--new-keyfile", "-"], "--key-file"),
        (&["luks", "add-key", &image, "--key-file", "-", "-"], "both read stdin"),
        (&["luks", "change-key", &image, "--key-fd", "3", "--new-key-fd", "3"], "both read descriptor 3"),
        (&["luks", "change-key", &image, "--key-fd", "0", "--new-keyfile", "-"], "--key-fd"),
        (&["luks", "add-key", &image, "--volume-key-file", "-", "--new-keyfile", "-"], "--volume-key-file"),
        (&["luks", "format", &new, "--size", "20M", "--key-file", "-", "--volume-key-file", "-"], "both"),
        (&["write", &image, "--offset", "0", "--key-file", "-"], "--input, which was left out,"),
        (&["write", &image, "--offset", "0", "--key-fd", "0", "--input", "-"], "--input"),
        (&["write", "--table-file", "-", "--offset", "0"], "--table-file"),
        (&["serve", "--nbd", &new, &image, "--table-file", "-", "--key-file", "-"], "both read stdin"),
        (&["serve", "--nbd", &new, "--table-file", "-", "--table-file", "x=-"], "both read stdin"),
        (&["convert", &image, &new, "--key-file", "-", "--dst-key-file", "-"], "--dst-key-file"),
        (&["convert", "--table-file", "-", "--dst-table-file", "-"], "--dst-table-file"),
    ];
    for (words, what) in refused {
        let output = udm(socket("the key"), words);
        assert_refused(&output, 2, &[what, "would both read"]);
        assert!(!fs::exists(&new).unwrap(), "{words:?} made something");
    }
    assert!(before == fs::read(&image).unwrap(), "a refused command changed the volume");
    // The good twin: two descriptors are two things.
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.write_all(b"new key").unwrap();
    theirs.shutdown(Shutdown::Write).unwrap();
    let words = ["luks", "change-key", &image, "--key-fd", "3", "--new-key-fd", "4"];
    let words = words.into_iter().chain(CHEAP);
    let script = "exec \"$0\" \"$@\" 3<\"$KEY\" 4<&0";
    let mut sh = Command::new("sh");
    sh.args(["-c", script]).arg(path()).args(words).env("KEY", place.path("key"));
    assert_done(&sh.stdin(OwnedFd::from(ours)).output().unwrap());
}

#[test]
fn a_descriptor_that_is_not_open_is_named() {
    let place = Place::new();
    let image = place.path("image");
    let output = run(["luks", "test-passphrase", &image, "--key-fd", "200"]);
    assert_refused(&output, 2, &["descriptor 200 is not open"]);
    let closed = |words: &[&str]| {
        let script = "exec \"$0\" \"$@\" <&-";
        Command::new("sh").args(["-c", script]).arg(path()).args(words).output().unwrap()
    };
    for words in [
        &["luks", "test-passphrase", &image, "--key-file", "-"][..],
        &["luks", "test-passphrase", &image, "--key-fd", "0"],
        &["write", "raw:ram:1M", "--offset", "0"],
        &["table", "check", "--table-file", "-"],
        &["luks", "token", "import", &image],
    ] {
        assert_refused(&closed(words), 2, &["stdin is closed"]);
    }
}
