//! Volumes that udm makes and changes, judged by cryptsetup and qemu-img: what each command did, they find, open and
//! decrypt. No right is needed, and no device-mapper.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::Value;
use udm_tests::judge::{judge, try_judge};
use udm_tests::luks::{COSTS, Image, PAYLOAD, text};
use udm_tests::program::{Served, path, run};
use udm_tests::volume::noise;

#[test]
fn what_udm_makes_and_changes_cryptsetup_opens_and_decrypts() {
    for (kind, _) in COSTS {
        let image = Image::made(kind, &[]);
        image.write("@a", &noise(1, PAYLOAD));
        assert_eq!(image.opening(), "a", "{kind}");
        assert_eq!(
            image.luks_cheap(&["add-key", "@disk", "@b", "--key-file", "@a"]),
            "Key slot 1 created.\n"
        );
        image.luks_cheap(&["add-key", "@disk", "--new-keyfile", "@c", "--key-file", "@b", "-S", "6"]);
        assert_eq!(image.opening(), "abc", "{kind}");
        image.luks_cheap(&["change-key", "@disk", "@d", "--key-file", "@a"]);
        assert_eq!(image.opening(), "bcd", "{kind}");
        image.luks(&["kill-slot", "@disk", "6", "--key-file", "@b"]);
        assert_eq!(image.opening(), "bd", "{kind}");
        image.luks(&["remove-key", "@disk", "@b"]);
        assert_eq!(image.opening(), "d", "{kind}");
        let costs = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1234"];
        image.luks(&[&["convert-key", "@disk", "--key-file", "@d"][..], &costs].concat());
        assert!(image.cryptsetup(&["luksDump", "@disk"]).contains("1234"));
        image.cryptsetup(&[&["luksAddKey", "--key-file", "@d", "@disk", "@a"][..], &costs].concat());
        assert_eq!(image.opening(), "ad", "{kind}");
        image.assert_whole();
        assert!(image.decrypted(kind, "@d") == noise(1, PAYLOAD), "{kind}: it is something else");
    }
}

/// As in a container: no right, no /dev/mapper. `cargo xtask test` runs it as nobody.
#[test]
fn what_is_written_over_nbd_cryptsetup_decrypts() {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    println!(
        "{:?}",
        status
            .lines()
            .filter(|line| line.starts_with("CapEff") || line.starts_with("Uid"))
            .collect::<Vec<_>>()
    );
    for (kind, _) in COSTS {
        let image = Image::made(kind, &[]);
        let (disk, key, socket) = (image.path("disk"), image.path("a"), image.path("socket"));
        let served = Served::start([&disk, "--key-file", &key, "--nbd", &socket], 1);
        let writes = ["-c", "write -P 0x5a 1M 3M", "-c", "write -P 0xa5 1500k 4k", "-c", "flush"];
        judge("qemu-io", ["-f", "raw"].into_iter().chain(writes).chain([served.uri()]));
        assert_eq!(served.stop().0, Some(0));
        let plain = image.decrypted(kind, "@a");
        assert!(plain[1 << 20..1500 << 10].iter().all(|byte| *byte == 0x5a), "{kind}");
        assert!(plain[1500 << 10..1504 << 10].iter().all(|byte| *byte == 0xa5), "{kind}");
        assert!(plain[1504 << 10..4 << 20].iter().all(|byte| *byte == 0x5a), "{kind}");
    }
}

#[test]
fn labels_tokens_backups_and_repairs_are_as_cryptsetup_has_them() {
    let uuid = "0d9f0af5-0002-4dc1-b0a5-c9ff61d2ee12";
    let image = Image::made("luks2", &["--label", "first", "--sector-size", "2048", "--uuid", uuid]);
    assert_eq!(image.luks(&["uuid", "@disk"]).trim(), uuid);
    image.luks(&["config", "@disk", "--label", "second", "--subsystem", "other"]);
    image.luks(&["config", "@disk", "--priority", "prefer", "--key-slot", "0"]);
    image.luks(&["config", "@disk", "--persistent", "--allow-discards", "--perf-no_read_workqueue"]);
    let dump = image.cryptsetup(&["luksDump", "@disk"]);
    for part in ["second", "other", "preferred", "allow-discards no-read-workqueue", "2048"] {
        assert!(dump.contains(part), "{part} is not in {dump}");
    }
    image.luks(&["token", "add", "@disk", "--key-description", "a-key"]);
    assert!(image.cryptsetup(&["luksDump", "@disk"]).contains("Key description: a-key"));
    let json = image.cryptsetup(&["token", "export", "--token-id", "0", "@disk"]);
    assert_eq!(image.luks(&["token", "export", "@disk", "--token-id", "0"]).trim(), json.trim());
    fs::write(image.path("json"), &json).unwrap();
    image.luks(&["token", "import", "@disk", "--json-file", "@json", "--token-id", "9"]);
    assert_eq!(image.cryptsetup(&["token", "export", "--token-id", "9", "@disk"]).trim(), json.trim());
    image.luks(&["token", "remove", "@disk", "--token-id", "0"]);

    image.luks(&["header-backup", "@disk", "--header-backup-file", "@backup"]);
    image.refused(&["header-backup", "@disk", "--header-backup-file", "@backup"], "is there already");
    image.luks(&["erase", "@disk", "--batch-mode"]);
    assert_eq!(image.opening(), "");
    image.luks(&["header-restore", "@disk", "--header-backup-file", "@backup", "--batch-mode"]);
    assert_eq!(image.opening(), "a");

    let mut bytes = fs::read(image.path("disk")).unwrap();
    bytes[5000] ^= 1;
    fs::write(image.path("disk"), bytes).unwrap();
    image.refused(&["config", "@disk", "--label", "third"], "udm luks repair");
    image.refused(&["header-backup", "@disk", "--header-backup-file", "@half"], "udm luks repair");
    assert!(!std::path::Path::new(&image.path("half")).exists(), "half a backup is there");
    let told = image.luks(&["repair", "@disk", "--batch-mode"]);
    assert!(told.contains("written anew from the") && told.contains("The header is repaired."), "{told}");
    assert!(image.luks(&["repair", "@disk", "--batch-mode"]).contains("nothing to repair"));
    image.assert_whole();
    assert_eq!(image.opening(), "a");
}

#[test]
fn a_detached_header_and_a_volume_key_of_ones_own_are_those_of_cryptsetup() {
    let image = Image::made("luks2", &[]);
    let key: Vec<u8> = noise(5, 64);
    fs::write(image.path("volume-key"), &key).unwrap();
    fs::write(image.path("data"), vec![0; 2 << 20]).unwrap();
    let costs = ["--volume-key-file", "@volume-key", "--header", "@header"];
    image.luks_cheap(&[&["format", "@data", "@a"][..], &costs].concat());
    image.cryptsetup(&["open", "--test-passphrase", "@data", "--header", "@header", "--key-file", "@a"]);
    let dump = image.cryptsetup(&["luksDump", "--dump-volume-key", "--key-file", "@a", "@header"]);
    let first: Vec<_> = key[..4].iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(dump.contains(&first.join(" ")), "{dump}");
    // Without any passphrase, the key itself gets a key slot.
    let words = ["add-key", "@data", "@b", "--header", "@header", "--volume-key-file", "@volume-key"];
    image.luks_cheap(&words);
    image.cryptsetup(&["open", "--test-passphrase", "@data", "--header", "@header", "--key-file", "@b"]);
    let told =
        run(image.words(&["read", "@data", "--header", "@header", "--key-file", "@b", "--length", "512"]));
    assert!(told.status.success() && told.stdout.len() == 512, "{}", text(&told.stderr));
}

#[test]
fn passphrases_come_from_descriptors_and_credentials_too() {
    let image = Image::made("luks2", &[]);
    let words = image.words(&["@disk", "@b", "@a"]);
    let script = format!(
        "exec 7<{} 8<{}; exec '{}' luks add-key {} --key-fd 7 --new-key-fd 8 {}",
        words[2],
        words[1],
        path().display(),
        words[0],
        image.costs.join(" ")
    );
    judge("sh", ["-c", &script]);
    assert_eq!(image.opening(), "ab");
    let mut udm = Command::new(path());
    udm.args(["luks", "add-key", &words[0], "--key-credential", "a", "--new-key-credential", "c"]);
    let done = udm.args(image.costs).env("CREDENTIALS_DIRECTORY", image.folder.path()).output().unwrap();
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert_eq!(image.opening(), "abc");
    image.refused(&["add-key", "@disk", "@d", "--key-credential", "../a"], "no credential");
    fs::write(image.path("empty"), "").unwrap();
    image.refused(&["add-key", "@disk", "@empty", "--key-file", "@a"], "is empty");
}

/// Nothing is lost unless a person at a terminal says YES; of the last key, twice.
#[test]
fn a_person_is_asked_before_something_is_lost() {
    let image = Image::made("luks2", &[]);
    let before = fs::read(image.path("disk")).unwrap();
    let udm = |words: &[&'static str]| [&["luks"], words].concat();
    for words in [
        udm(&["kill-slot", "@disk", "0", "--key-file", "@a"]),
        udm(&["remove-key", "@disk", "@a"]),
        udm(&["erase", "@disk"]),
        udm(&["format", "@disk", "@b"]),
    ] {
        let words = image.words(&words);
        let alone = Command::new("setsid")
            .arg("--wait")
            .arg(path())
            .args(&words)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert_eq!(alone.status.code(), Some(2), "{words:?}");
        assert!(text(&alone.stderr).contains("--batch-mode"), "{}", text(&alone.stderr));
        for answer in ["yes", "", "YES\nno"] {
            // One YES is enough but where two are asked for.
            if answer == "YES\nno"
                && !words.iter().any(|word| word.contains("-slot") || word.contains("-key"))
            {
                continue;
            }
            let told = at_a_terminal(&words, answer);
            assert!(told.contains("Type YES") && told.contains("was not YES"), "{words:?}: {told}");
        }
        assert!(fs::read(image.path("disk")).unwrap() == before, "{words:?}: something was changed");
    }
    let told =
        at_a_terminal(&image.words(&udm(&["kill-slot", "@disk", "0", "--key-file", "@a"])), "YES\nYES");
    assert!(told.contains("Key slot 0 destroyed"), "{told}");
    assert_eq!(image.opening(), "");
}

/// What `udm` says at a terminal where somebody types `answer`.
fn at_a_terminal(words: &[String], answer: &str) -> String {
    let command = format!("'{}' {}", path().display(), words.join(" "));
    let typed = format!("(sleep 0.3; printf '{answer}\\n'; sleep 0.3) | script -qec \"{command}\" /dev/null");
    text(&try_judge("sh", ["-c", &typed]).stdout)
}

#[test]
fn what_cannot_be_is_refused_and_leaves_no_file_behind() {
    let image = Image::made("luks2", &[]);
    image.refused(&["format", "@new", "@a", "--size", "1M"], "it has no room for the header");
    assert!(!std::path::Path::new(&image.path("new")).exists(), "the image that was not made is there");
    image.refused(
        &["format", "@disk", "@a", "--size", "1M", "--batch-mode"],
        "without --size it is formatted",
    );
    image.refused(&["format", "@disk", "@a", "--cipher", "aes-xts-plain46", "--batch-mode"], "plain46");
    image.refused(&["format", "@disk", "@a", "--pbkdf-memory", "1", "--batch-mode"], "--pbkdf-memory is 1");
    image.refused(&["add-key", "@disk", "@b", "--key-file", "@c"], "does not open key slot 0");
    image.refused(&["add-key", "@disk", "@b", "--key-file", "@a", "-S", "0"], "this key slot is in use");
    image.refused(&["kill-slot", "@disk", "3", "--key-file", "@a"], "it is not in use");
    image.refused(&["config", "@disk"], "nothing to set");
    image.refused(&["token", "remove", "@disk", "--token-id", "3"], "no such token");
    image.refused(&["erase", "@a", "--batch-mode"], "no LUKS header");
    let json = run(["--json", "luks", "kill-slot", &image.path("disk"), "9", "--key-file", &image.path("a")]);
    let told: Value = serde_json::from_slice(&json.stderr).unwrap();
    assert_eq!(told["status"], 2, "{told}");
    image.luks_cheap(&["add-key", "@disk", "@b", "--key-file", "@a"]);
    image
        .refused(&["kill-slot", "@disk", "1", "--key-file", "@b"], "the passphrase does not open key slot 0");
    assert_eq!(image.opening(), "ab");
}
