//! What a person meets who is asked at the terminal: bytes as they are typed, the truth about what went wrong, and a terminal
//! that is as before, however the program ends.
//!
//! cryptsetup is asked the same at the same kind of terminal: what it takes for a passphrase is one here.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;

use rustix::process::Signal;
use tempfile::TempDir;
use udm_tests::images::CHEAP;
use udm_tests::judge::judge;
use udm_tests::page;
use udm_tests::program::path;
use udm_tests::terminal::Terminal;

/// Bytes that are not UTF-8, TAB, control characters that mean nothing to a terminal, a character and half of one.
const TYPED: &[u8] = b"\xff\xe4a\tb\x01\x05\x0c\x1b[\xc3\xa9\xc3";

/// A folder with a volume that the bytes of `key` open.
struct Place(TempDir);

impl Place {
    fn new(key: &[u8]) -> Self {
        let place = Self(TempDir::with_prefix("udm-prompts-").unwrap());
        fs::write(place.path("key"), key).unwrap();
        let (image, key) = (place.path("image"), place.path("key"));
        File::create(&image).unwrap().set_len(2 << 20).unwrap();
        // A small volume, with room for three key slots.
        let small = ["-q", "luksFormat", "--offset", "2048", "--luks2-keyslots-size", "992K"];
        judge("cryptsetup", small.into_iter().chain(CHEAP).chain([&*image, &*key]));
        place
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }
}

/// Starts udm at a terminal.
fn udm(args: &[&str]) -> Terminal {
    Terminal::start(path(), args)
}

/// Starts cryptsetup at a terminal.
fn cryptsetup(args: &[&str]) -> Terminal {
    let script = "PATH=$PATH:/usr/sbin:/sbin; exec cryptsetup \"$@\"";
    Terminal::start("sh", ["-c", script, "sh"].iter().chain(args))
}

#[test]
fn what_is_typed_is_the_passphrase_byte_for_byte_as_in_cryptsetup() {
    let place = Place::new(TYPED);
    let image = place.path("image");
    let line = [TYPED, b"\n"].concat();
    // The terminal has its keys for erasing in both: all of the line, and the last character.
    let erased = [&b"wrong\x15"[..], TYPED, b"x\x7f\n"].concat();
    for typed in [&line, &erased] {
        let mut theirs = cryptsetup(&["open", "--test-passphrase", "--tries", "1", &image]);
        theirs.wait_for("Enter passphrase for");
        // It flushes what was typed after it has shown its prompt.
        theirs.wait_until_hidden();
        theirs.type_in(typed);
        let (status, shown) = theirs.end();
        assert!(status.success(), "cryptsetup: {shown}");

        let mut ours = udm(&["luks", "test-passphrase", &image]);
        ours.wait_for("Passphrase for");
        ours.wait_for(": ");
        assert!(!ours.echoes());
        ours.type_in(typed);
        let (status, shown) = ours.end();
        assert!(status.success(), "{shown}");
        assert!(ours.echoes() && shown.contains("\r\nKey slot 0 unlocked."), "{shown}");
        assert!(!shown.contains("wrong"), "what is typed is shown: {shown}");
    }
    // The bad twin: one byte less is another passphrase.
    let mut ours = udm(&["luks", "test-passphrase", &image]);
    ours.wait_for(": ");
    ours.type_in([&TYPED[..TYPED.len() - 1], b"\n"].concat());
    assert_eq!(ours.end().0.code(), Some(2));
}

#[test]
fn a_new_passphrase_is_typed_twice_and_opens_the_volume_in_cryptsetup() {
    let place = Place::new(b"old");
    let (image, key) = (place.path("image"), place.path("key"));
    let add: Vec<&str> = ["luks", "add-key", &image, "--key-file", &key].into_iter().chain(CHEAP).collect();
    let mut ours = udm(&add);
    for prompt in ["New passphrase for", "The same again"] {
        ours.wait_for(prompt);
        ours.wait_for(": ");
        ours.type_in([TYPED, b"\n"].concat());
    }
    let (status, shown) = ours.end();
    assert!(status.success() && ours.echoes(), "{shown}");
    fs::write(place.path("typed"), TYPED).unwrap();
    judge("cryptsetup", ["open", "--test-passphrase", &image, "--key-file", &place.path("typed")]);

    let mut ours = udm(&add);
    for (prompt, typed) in [("New passphrase for", "one\n"), ("The same again", "other\n")] {
        ours.wait_for(prompt);
        ours.wait_for(": ");
        ours.type_in(typed);
    }
    let (status, shown) = ours.end();
    assert!(status.code() == Some(2) && shown.contains("the two passphrases differ"), "{shown}");
}

#[test]
fn an_end_of_input_a_line_that_is_too_long_and_an_empty_one_are_told_as_what_they_are() {
    let place = Place::new(&[b'y'; 512]);
    let image = place.path("image");
    let test = ["luks", "test-passphrase", &*image];
    for (typed, told) in [
        (b"\x04".to_vec(), "the terminal's input ended (^D) before anything was typed"),
        ([&[b'y'; 513][..], b"\n"].concat(), "more than 512 bytes were typed"),
        (b"\n".to_vec(), "passphrase"),
    ] {
        let mut ours = udm(&test);
        ours.wait_for(": ");
        ours.type_in(&typed);
        let (status, shown) = ours.end();
        assert_eq!(status.code(), Some(2), "{shown}");
        assert!(shown.contains(told) && !shown.contains("there is no terminal"), "{shown}");
        assert!(ours.echoes(), "{shown}");
    }
    // The oracle of the longest: cryptsetup takes the first 512 bytes of a longer line.
    let mut theirs = cryptsetup(&["open", "--test-passphrase", "--tries", "1", &image]);
    theirs.wait_for("Enter passphrase for");
    theirs.wait_until_hidden();
    theirs.type_in([&[b'y'; 520][..], b"\n"].concat());
    let (status, shown) = theirs.end();
    assert!(status.success(), "cryptsetup: {shown}");
    let mut ours = udm(&test);
    ours.wait_for(": ");
    ours.type_in([&[b'y'; 512][..], b"\n"].concat());
    assert!(ours.end().0.success());
}

#[test]
fn a_signal_ends_the_program_and_leaves_the_terminal_as_it_was() {
    let place = Place::new(b"key");
    let image = place.path("image");
    for (key, signal) in [(Some(b"\x03"), Signal::INT), (Some(b"\x1c"), Signal::QUIT), (None, Signal::TERM)] {
        let mut ours = udm(&["luks", "test-passphrase", &image]);
        ours.wait_for(": ");
        assert!(!ours.echoes());
        match key {
            Some(key) => ours.type_in(key),
            None => ours.signal(signal),
        }
        let (status, shown) = ours.end();
        assert_eq!(status.signal(), Some(signal.as_raw()), "{status}: {shown}");
        assert!(ours.echoes(), "{signal:?} leaves the terminal without its echo");
    }
}

#[test]
fn a_signal_that_was_ignored_stays_ignored() {
    let place = Place::new(b"key");
    let script = "trap '' HUP TERM TSTP; exec \"$@\"";
    let path = path();
    let words = ["luks", "test-passphrase", &place.path("image")].map(str::to_owned);
    let program = path.to_str().unwrap().to_owned();
    let args = ["-c", script, "sh"].map(str::to_owned).into_iter().chain([program]).chain(words);
    let mut ours = Terminal::start("sh", args);
    ours.wait_for(": ");
    ours.signal(Signal::HUP);
    ours.signal(Signal::TERM);
    ours.type_in(b"\x1a");
    ours.type_in("key\n");
    let (status, shown) = ours.end();
    assert!(status.success() && shown.contains("Key slot 0 unlocked."), "{shown}");
}

#[test]
fn a_suspended_program_gives_the_terminal_back_and_asks_again() {
    let place = Place::new(b"key");
    let image = place.path("image");
    let script =
        "\"$@\"; echo \"stopped by $?\"; read -r line; echo \"read $line\"; fg; echo \"ended with $?\"";
    let program = path();
    let words = ["-mc", script, "bash", program.to_str().unwrap(), "luks", "test-passphrase", &image];
    let mut ours = Terminal::start("bash", words);
    ours.wait_for("Passphrase for");
    ours.wait_for(": ");
    assert!(!ours.echoes());
    ours.type_in("ke\x1a");
    ours.wait_for("stopped by 148");
    assert!(ours.echoes(), "a suspended program keeps the terminal without its echo");
    ours.type_in("nothing\n");
    ours.wait_for("read nothing");
    ours.wait_for("Passphrase for");
    ours.wait_for(": ");
    assert!(!ours.echoes());
    ours.type_in("key\n");
    ours.wait_for("Key slot 0 unlocked.");
    ours.wait_for("ended with 0");
    assert!(ours.end().0.success() && ours.echoes());
}

#[test]
fn a_key_file_that_is_a_terminal_is_asked_for_without_showing_it() {
    let place = Place::new(b"key");
    let image = place.path("image");
    for source in [["--key-file", "-"], ["--key-fd", "0"], ["--key-file", "/dev/tty"]] {
        let mut ours = udm(&["luks", "test-passphrase", &image, source[0], source[1]]);
        ours.wait_for("Passphrase for");
        ours.wait_for(": ");
        assert!(!ours.echoes(), "{source:?}");
        ours.type_in("key\n");
        let (status, shown) = ours.end();
        assert!(status.success() && ours.echoes(), "{source:?}: {shown}");
    }
    let mut ours = udm(&["luks", "test-passphrase", &image, "--key-file", "-", "--keyfile-size", "3"]);
    let (status, shown) = ours.end();
    assert!(status.code() == Some(2) && shown.contains("is a terminal"), "{shown}");
}

#[test]
fn a_terminal_that_is_stdin_alone_is_asked_at() {
    let place = Place::new(b"key");
    let image = place.path("image");
    let mut ours = Terminal::start_without(path(), ["luks", "test-passphrase", &image]);
    ours.wait_for("Passphrase for");
    ours.wait_for(": ");
    assert!(!ours.echoes());
    ours.type_in("key\n");
    let (status, shown) = ours.end();
    assert!(status.success() && ours.echoes(), "{shown}");
}

#[test]
fn only_yes_in_capitals_goes_on() {
    let place = Place::new(b"key");
    let image = place.path("image");
    let before = fs::read(&image).unwrap();
    for answer in ["YES \n", " YES\n", "yes\n", "y\n", "\n", "YESYES\n", "Y\u{c9}S\n", "\x04"] {
        let mut ours = udm(&["luks", "erase", &image]);
        ours.wait_for("Type YES: ");
        ours.type_in(answer);
        let (status, shown) = ours.end();
        assert!(status.code() == Some(2) && shown.contains("nothing was changed"), "{answer:?}: {shown}");
    }
    assert!(before == fs::read(&image).unwrap(), "an answer that was not YES has changed the volume");
    let mut ours = udm(&["luks", "erase", &image]);
    ours.wait_for("Type YES: ");
    ours.type_in("YES\n");
    assert!(ours.end().0.success());
    assert!(before != fs::read(&image).unwrap());
}

/// A command, the prompts that it has, and what is typed at each.
type Asking = (&'static [&'static str], &'static [(&'static str, &'static str)]);

const PASSPHRASE: (&str, &str) = ("Passphrase for ", "key\n");
const NEW: (&str, &str) = ("New passphrase for ", "new\n");
const AGAIN: (&str, &str) = ("The same again: ", "new\n");
const SURE: (&str, &str) = ("Type YES: ", "YES\n");

/// Every command that asks. Words with an `@` before them are files of the place.
const ASKING: [Asking; 17] = [
    (&["luks", "test-passphrase", "@image"], &[PASSPHRASE]),
    (&["read", "@image", "--length", "512", "-o", "@read"], &[PASSPHRASE]),
    (&["write", "@image", "--offset", "0", "--input", "@key"], &[PASSPHRASE]),
    (&["verify", "@image"], &[PASSPHRASE]),
    (&["serve", "@image", "--nbd", "@socket"], &[PASSPHRASE]),
    (&["luks", "add-key", "@image"], &[PASSPHRASE, NEW, AGAIN]),
    (&["luks", "change-key", "@image"], &[PASSPHRASE, NEW, AGAIN]),
    (&["luks", "convert-key", "@image"], &[PASSPHRASE]),
    (&["luks", "remove-key", "@image"], &[PASSPHRASE, SURE, SURE]),
    (&["luks", "kill-slot", "@image", "0"], &[SURE, SURE]),
    (&["luks", "kill-slot", "@two", "1"], &[PASSPHRASE]),
    (&["luks", "erase", "@image"], &[SURE]),
    (&["luks", "repair", "@damaged"], &[SURE]),
    (&["luks", "header-restore", "@image", "--header-backup-file", "@backup"], &[SURE]),
    (&["luks", "format", "@image"], &[SURE, NEW, AGAIN]),
    (&["luks", "format", "@made", "--size", "20M"], &[NEW, AGAIN]),
    (&["convert", "@image", "@made"], &[PASSPHRASE, NEW, AGAIN]),
];

/// What is in the place: names and bytes.
fn everything(place: &Place) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(place.0.path()).unwrap().map(|entry| entry.unwrap());
    let mut files: Vec<_> = entries
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path()).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn a_signal_at_any_prompt_ends_the_program_and_changes_nothing() {
    let place = Place::new(b"key");
    judge(
        "cryptsetup",
        ["luksHeaderBackup", &place.path("image"), "--header-backup-file", &place.path("backup")],
    );
    fs::copy(place.path("image"), place.path("two")).unwrap();
    fs::write(place.path("second"), "second").unwrap();
    let add = ["-q", "luksAddKey", "--key-file", &place.path("key")].map(str::to_owned);
    judge(
        "cryptsetup",
        add.into_iter().chain(CHEAP.map(str::to_owned)).chain([place.path("two"), place.path("second")]),
    );
    let mut damaged = fs::read(place.path("image")).unwrap();
    damaged[..512].fill(0);
    fs::write(place.path("damaged"), damaged).unwrap();
    let before = everything(&place);
    let mut table = "| command | prompt | SIGHUP | SIGINT | SIGTERM |\n|---|---|---|---|---|\n".to_owned();
    let mut prompts = 0;
    for (words, asks) in ASKING {
        let words: Vec<String> = words
            .iter()
            .map(|word| word.strip_prefix('@').map_or((*word).into(), |name| place.path(name)))
            .collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        for (number, (prompt, _)) in asks.iter().enumerate() {
            for signal in [Signal::HUP, Signal::INT, Signal::TERM] {
                let mut ours = udm(&words);
                for (prompt, answer) in &asks[..number] {
                    ours.wait_for(prompt);
                    if !prompt.ends_with(": ") {
                        ours.wait_for(": ");
                    }
                    ours.type_in(answer);
                }
                ours.wait_for(prompt);
                if !prompt.ends_with(": ") {
                    ours.wait_for(": ");
                }
                ours.signal(signal);
                let (status, shown) = ours.end();
                assert_eq!(status.signal(), Some(signal.as_raw()), "{words:?}: {status}: {shown}");
                assert!(ours.echoes(), "{words:?}, {prompt:?}: the terminal has no echo");
                assert!(
                    before == everything(&place),
                    "{words:?}, {prompt:?}: {signal:?} has changed something"
                );
            }
            let name =
                words.iter().take_while(|word| !word.starts_with('/')).copied().collect::<Vec<_>>().join(" ");
            let _ = writeln!(
                table,
                "| {name} | {}: | dies by it | dies by it | dies by it |",
                prompt.trim_end_matches([':', ' '])
            );
            prompts += 1;
        }
    }
    assert_eq!(prompts, ASKING.iter().map(|(_, asks)| asks.len()).sum::<usize>());
    page::write("prompts.md", "prompts", &table);
}

/// Runs udm with no terminal at all.
fn without_terminal(args: &[&str]) -> std::process::Output {
    let mut setsid = std::process::Command::new("setsid");
    setsid.arg("--wait").arg(path()).args(args).stdin(std::process::Stdio::null()).output().unwrap()
}

/// The oracle is mke2fs, and the label as LVM's own documentation of its format has it. The bad twin is an image of zeros,
/// of which nothing is named.
#[test]
fn format_says_what_is_there_and_asks_before_it_is_lost() {
    let place = Place::new(b"key");
    let (disk, key) = (place.path("disk"), place.path("key"));
    let make = |what: &str| {
        let file = File::create(&disk).unwrap();
        file.set_len(20 << 20).unwrap();
        match what {
            "ext4" => drop(judge("mke2fs", ["-q", "-t", "ext4", &disk])),
            "LVM2_member" => {
                let label = [&b"LABELONE\x01\0\0\0\0\0\0\0"[..], &[0; 4], b"\x20\0\0\0LVM2 001"].concat();
                std::os::unix::fs::FileExt::write_all_at(&file, &label, 512).unwrap();
            }
            "crypto_LUKS" => drop(fs::copy(place.path("image"), &disk).unwrap()),
            _ => {}
        }
    };
    for what in ["ext4", "LVM2_member", "crypto_LUKS", "nothing"] {
        make(what);
        let before = fs::read(&disk).unwrap();
        let format = ["luks", "format", &*disk, &*key].into_iter().chain(CHEAP).collect::<Vec<_>>();
        for answer in ["YES \n", "no\n"] {
            let mut ours = udm(&format);
            ours.wait_for("Type YES: ");
            ours.type_in(answer);
            let (status, shown) = ours.end();
            assert_eq!(status.code(), Some(2), "{shown}");
            assert_eq!(shown.contains(&format!("has the signature {what} (")), what != "nothing", "{shown}");
            assert!(shown.contains("is going to be lost"), "{shown}");
        }
        // Where nobody can be asked, something stays.
        if what != "nothing" {
            let output = without_terminal(&format);
            let told = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.code() == Some(2) && told.contains(what), "{told}");
        }
        assert!(before == fs::read(&disk).unwrap(), "{what} was lost without a YES");
        if what == "crypto_LUKS" {
            continue;
        }
        let mut ours = udm(&format);
        ours.wait_for("Type YES: ");
        ours.type_in("YES\n");
        let (status, shown) = ours.end();
        assert!(status.success(), "{shown}");
        make(what);
        let quiet: Vec<&str> = format.iter().copied().chain(["--batch-mode"]).collect();
        assert!(without_terminal(&quiet).status.success());
    }
}

#[test]
fn repair_asks_where_there_is_something_to_repair_and_names_what_is_there() {
    let place = Place::new(b"key");
    let image = place.path("image");
    assert!(without_terminal(&["luks", "repair", &image]).status.success(), "there is nothing to ask");
    // An LVM label over the primary header.
    let label = [&b"LABELONE\x01\0\0\0\0\0\0\0"[..], &[0; 4], b"\x20\0\0\0LVM2 001"].concat();
    let file = File::options().write(true).open(&image).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[0; 512], 0).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &label, 512).unwrap();
    let before = fs::read(&image).unwrap();
    let mut ours = udm(&["luks", "repair", &image]);
    ours.wait_for("Type YES: ");
    ours.type_in("no\n");
    let (status, shown) = ours.end();
    assert!(status.code() == Some(2) && shown.contains("LVM2_member"), "{shown}");
    assert_eq!(without_terminal(&["luks", "repair", &image]).status.code(), Some(2));
    assert!(before == fs::read(&image).unwrap(), "it was repaired without a YES");
    let mut ours = udm(&["luks", "repair", &image]);
    ours.wait_for("Type YES: ");
    ours.type_in("YES\n");
    let (status, shown) = ours.end();
    assert!(status.success(), "{shown}");
    judge("cryptsetup", ["open", "--test-passphrase", &image, "--key-file", &place.path("key")]);
}
