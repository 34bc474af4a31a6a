//! What changes and destroys keys, where there is no room, no second whole copy, or no peace: cryptsetup opens the result.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use udm_tests::judge::try_judge;
use udm_tests::luks::{COSTS, Image, text};
use udm_tests::program::{Served, path, run};

/// An image whose header has no room for another key slot; `a` and `b` open it.
fn full(kind: &str) -> Image {
    let more: &[&str] = match kind {
        // Two areas of key slots, with a key of 512 bits.
        "luks2" => &["--luks2-keyslots-size", "512k"],
        _ => &[],
    };
    let image = Image::made(kind, more);
    image.luks_cheap(&["add-key", "@disk", "@b", "--key-file", "@a"]);
    if kind == "luks1" {
        for _ in 2..8 {
            image.luks_cheap(&["add-key", "@disk", "@d", "--key-file", "@a"]);
        }
    }
    image.refused(&["add-key", "@disk", "@c", "--key-file", "@a"], "kill a key slot");
    image
}

/// The twin is the backup that stands in the way: then nothing is changed.
#[test]
fn a_key_is_changed_in_place_where_the_header_is_full() {
    for (kind, _) in COSTS {
        let image = full(kind);
        let others = if kind == "luks1" { "d" } else { "" };
        let backup = image.path("disk.header-backup");
        fs::write(&backup, "of somebody else").unwrap();
        image.refused(&["change-key", "@disk", "@c", "--key-file", "@a"], "header-backup");
        assert_eq!(fs::read(&backup).unwrap(), b"of somebody else");
        assert_eq!(image.opening(), format!("ab{others}"), "{kind}");
        fs::remove_file(&backup).unwrap();

        let told = image.luks_cheap(&["change-key", "@disk", "@c", "--key-file", "@a"]);
        assert_eq!(told, "Key slot 0 has the new passphrase.\n");
        assert_eq!(image.opening(), format!("bc{others}"), "{kind}");
        image.luks_cheap(&["convert-key", "@disk", "--key-file", "@b", "--header-backup-file", "@kept"]);
        assert_eq!(image.opening(), format!("bc{others}"), "{kind}");
        assert!(!fs::exists(&backup).unwrap() && !fs::exists(image.path("kept")).unwrap());
        image.assert_whole();
    }
}

/// cryptsetup says what can be done; a passphrase is needed for nothing here.
#[test]
fn keys_are_destroyed_beside_a_damaged_copy() {
    for damaged in [4096 + 100, 16384 + 4096 + 100] {
        let image = Image::made("luks2", &[]);
        image.luks_cheap(&["add-key", "@disk", "@b", "--key-file", "@a"]);
        let mut bytes = fs::read(image.path("disk")).unwrap();
        bytes[damaged] ^= 1;
        fs::write(image.path("disk"), &bytes).unwrap();
        image.refused(&["add-key", "@disk", "@c", "--key-file", "@a"], "repair");
        image.luks(&["remove-key", "@disk", "@b"]);
        assert_eq!(image.opening(), "a", "byte {damaged}");
        image.assert_whole();
        fs::write(image.path("disk"), &bytes).unwrap();
        image.luks(&["kill-slot", "@disk", "0", "--key-file", "@b"]);
        assert_eq!(image.opening(), "b", "byte {damaged}");
        fs::write(image.path("disk"), &bytes).unwrap();
        image.luks(&["erase", "@disk", "--batch-mode"]);
        assert_eq!(image.opening(), "", "byte {damaged}");
        image.assert_whole();
    }
}

#[test]
fn a_slot_is_killed_by_any_passphrase_of_another() {
    let image = Image::made("luks2", &[]);
    image.luks_cheap(&["add-key", "@disk", "@a", "--key-file", "@a"]);
    image.luks_cheap(&["add-key", "@disk", "@b", "--key-file", "@a"]);
    // Slots 0 and 1 have the same passphrase, and 2 is not tried unless it is named.
    image.luks(&["config", "@disk", "--priority", "ignore", "--key-slot", "2"]);
    image.refused(&["kill-slot", "@disk", "2", "--key-file", "@b"], "opens none of the key slots");
    image.luks(&["kill-slot", "@disk", "0", "--key-file", "@a"]);
    image.luks(&["kill-slot", "@disk", "1", "--key-file", "@b"]);
    let named = image.try_luks(&["test-passphrase", "@disk", "--key-file", "@b", "--key-slot", "2"]);
    assert!(named.status.success(), "{}", text(&named.stderr));
    // Before anybody is asked for a passphrase:
    image.refused(&["kill-slot", "@disk", "9"], "not in use");
}

#[test]
fn a_detached_header_is_its_owners_alone_and_not_the_image() {
    let image = Image::made("luks2", &[]);
    fs::write(image.path("data"), vec![0; 1 << 20]).unwrap();
    image.luks_cheap(&["format", "@data", "@a", "--header", "@header"]);
    let mode = fs::metadata(image.path("header")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(image.luks(&["dump", "@data", "--header", "@header"]).contains("Keyslots"));
    fs::hard_link(image.path("disk"), image.path("link")).unwrap();
    for words in [
        &["dump", "@disk", "--header", "@link"][..],
        &["test-passphrase", "@disk", "--header", "@disk", "--key-file", "@a"],
        &["format", "@disk", "@a", "--header", "@link", "--batch-mode"],
        &["add-key", "@disk", "@b", "--header", "@link", "--key-file", "@a"],
    ] {
        image.refused(words, "names the image itself");
    }
    let read =
        run(image.words(&["read", "@disk", "--header", "@link", "--key-file", "@a", "--length", "512"]));
    assert!(!read.status.success() && text(&read.stderr).contains("names the image itself"));
    assert_eq!(image.opening(), "a");
}

/// What the header alone refuses is refused though there is no passphrase to be had.
#[test]
fn a_header_is_refused_before_the_passphrase_is_asked_for() {
    let image = Image::made("luks2", &[]);
    let limit = ["--pbkdf-memory-max", "16"];
    for words in [
        &["luks", "test-passphrase", "@disk"][..],
        &["luks", "add-key", "@disk"],
        &["luks", "change-key", "@disk"],
        &["luks", "remove-key", "@disk"],
        &["read", "@disk", "--length", "512"],
    ] {
        // Without a terminal, a program that asks says that there is none.
        let words = [image.words(words), limit.map(str::to_owned).to_vec()].concat();
        let alone =
            Command::new("setsid").arg("--wait").arg(path()).args(&words).stdin(Stdio::null()).output();
        let told = text(&alone.unwrap().stderr);
        assert!(told.contains("over the limit"), "{words:?}: {told}");
    }
    // The twin: without the limit it is the passphrase that is missing.
    let words = image.words(&["luks", "test-passphrase", "@disk"]);
    let alone = Command::new("setsid").arg("--wait").arg(path()).args(words).stdin(Stdio::null()).output();
    let told = text(&alone.unwrap().stderr);
    assert!(!told.contains("over the limit") && told.contains("terminal"), "{told}");
}

/// Changes beside a server say who has the volume, and end.
#[test]
fn a_change_beside_a_server_says_who_has_the_volume_and_ends() {
    let image = Image::made("luks2", &[]);
    let (disk, key, socket) = (image.path("disk"), image.path("a"), image.path("socket"));
    let served = Served::start([&disk, "--key-file", &key, "--nbd", &socket], 1);
    let process = format!("process {} (udm)", served.pid());
    let changes = [
        &["config", "@disk", "--label", "x"][..],
        &["add-key", "@disk", "@b", "--key-file", "@a"],
        &["repair", "@disk"],
        &["format", "@disk", "@a", "--batch-mode"],
        &["erase", "@disk", "--batch-mode"],
        &["header-backup", "@disk", "--header-backup-file", "@backup"],
    ];
    let begin = Instant::now();
    let running: Vec<_> = changes
        .iter()
        .map(|words| {
            let mut udm = Command::new(path());
            udm.arg("luks").args(image.words(words)).stdin(Stdio::null()).stderr(Stdio::piped());
            (words, udm.spawn().unwrap())
        })
        .collect();
    for (words, udm) in running {
        let output = udm.wait_with_output().unwrap();
        let told = text(&output.stderr);
        assert!(!output.status.success(), "{words:?}: {told}");
        assert!(told.contains(&process), "{words:?}: {told}");
    }
    assert!(begin.elapsed() < Duration::from_mins(1), "{:?}", begin.elapsed());
    assert_eq!(served.stop().0, Some(0));
    assert_eq!(image.opening(), "a");
    // The twin: when the server has gone, the change is made.
    image.luks(&["config", "@disk", "--label", "x"]);
}

/// QEMU does not look at cryptsetup's locks, and has its own.
#[test]
fn a_change_beside_qemu_is_refused() {
    let image = Image::made("luks2", &[]);
    let (disk, socket) = (image.path("disk"), image.path("socket"));
    let before = fs::read(&disk).unwrap();
    let words = ["--persistent", "--format=raw", &format!("--socket={socket}"), &disk];
    let mut qemu = Command::new("qemu-nbd").args(words).stdin(Stdio::null()).spawn().unwrap();
    while fs::metadata(&socket).is_err() {
        assert!(qemu.try_wait().unwrap().is_none(), "qemu-nbd ended");
        std::thread::sleep(Duration::from_millis(10));
    }
    for words in [&["config", "@disk", "--label", "x"][..], &["erase", "@disk", "--batch-mode"]] {
        image.refused(words, "QEMU's lock");
    }
    assert!(fs::read(&disk).unwrap() == before, "the header was changed beside QEMU");
    qemu.kill().unwrap();
    qemu.wait().unwrap();
    // The twin: without QEMU it is changed.
    image.luks(&["config", "@disk", "--label", "x"]);
}

/// A header under reencryption knows where the border is: no backup of it brings that back.
#[test]
fn a_header_under_reencryption_is_not_replaced() {
    let image = Image::made("luks2", &[]);
    image.luks(&["header-backup", "@disk", "--header-backup-file", "@before"]);
    let begin = ["reencrypt", "--init-only", "--disable-locks", "--force-offline-reencrypt"];
    let words = [&begin[..], &["--resilience", "checksum", "--key-file", "@a", "@disk"]].concat();
    let costs = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"];
    let output = try_judge("cryptsetup", image.words(&[&["-q"], &words[..], &costs].concat()));
    assert!(output.status.success(), "{}", text(&output.stderr));
    image.refused(
        &["header-restore", "@disk", "--header-backup-file", "@before", "--batch-mode"],
        "reencryption",
    );
    // As cryptsetup, which destroys keys nevertheless.
    image.luks(&["erase", "@disk", "--batch-mode"]);
}
