//! Options that have no meaning for what is named, in every command that takes devices: each is refused before anything is
//! opened, made or written.
//!
//! The oracle is `VERDICTS`, a table that a person wrote: which options have a meaning for which kind of device.

use std::fs::{self, File};
use std::path::PathBuf;
use std::time::SystemTime;

use tempfile::TempDir;
use udm_tests::program::run;
use udm_tests::volume::noise;

const MIB: usize = 1 << 20;
const CHEAP: [&str; 4] = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"];

/// The kinds of devices, the columns of `VERDICTS`.
const KINDS: [&str; 7] =
    ["luks", "raw", "luks over nbd", "raw over nbd", "crypt table", "linear table", "zero table"];

/// Whether an option has a meaning (`y`) for each kind.
const VERDICTS: &[(&[&str], &str)] = &[
    (&["--key-file", "KEY"], "y n y n n n n"),
    (&["--key-file", "KEY", "--keyfile-offset", "0"], "y n y n n n n"),
    (&["--key-file", "KEY", "--keyfile-size", "3"], "y n y n n n n"),
    (&["--key-file", "NO_SUCH_FILE"], "y n y n n n n"),
    (&["--key-fd", "0"], "y n y n n n n"),
    (&["--key-credential", "c"], "y n y n n n n"),
    (&["--key-slot", "0"], "y n y n n n n"),
    (&["--header", "HEADER"], "y n y n n n n"),
    (&["--allow-discards"], "y n y n n n n"),
    (&["--pbkdf-memory-max", "9999"], "y n y n n n n"),
    (&["--pbkdf-iterations-max", "9999"], "y n y n n n n"),
    (&["--pbkdf-passes-max", "9"], "y n y n n n n"),
    (&["--cache", "writeback"], "y y n n y y n"),
    (&["--engine", "threads"], "y y n n y y n"),
    (&["--driver", "portable"], "y n y n y n n"),
];

/// The commands, with what stands before and behind the device.
const COMMANDS: &[(&str, &[&str], &[&str])] = &[
    ("read", &[], &["--length", "512", "-o", "OUT"]),
    ("write", &["--offset", "0", "--input", "INPUT"], &[]),
    // It opens its devices, and then has no place to listen at.
    ("serve", &["--nbd", "NOWHERE/socket"], &[]),
    ("verify", &["--length", "4K"], &[]),
    ("convert", &[], &["raw:OUT", "-q"]),
];

struct Bench(TempDir);

impl Bench {
    /// A volume, plain bytes, a key, a header, and something to write.
    fn new() -> Self {
        let bench = Self(TempDir::with_prefix("udm-options-").unwrap());
        fs::write(bench.path("KEY"), "secret").unwrap();
        fs::write(bench.path("INPUT"), noise(0x0B710, 512)).unwrap();
        fs::write(bench.path("PLAIN"), noise(0x0B711, MIB)).unwrap();
        let (image, key) = (bench.text("LUKS"), bench.text("KEY"));
        let words = ["luks", "format", &image, "--size", "18M", "--key-file", &key];
        assert!(run(words.iter().chain(&CHEAP)).status.success());
        let data = bench.text("DATA");
        File::create(&data).unwrap().set_len(MIB as u64).unwrap();
        let words = ["luks", "format", &data, "--header", &bench.text("HEADER"), "--key-file", &key];
        assert!(run(words.iter().chain(&CHEAP)).status.success());
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// A word of the tables above, with the paths that it stands for.
    fn word(&self, word: &str) -> String {
        let names =
            ["KEY", "NO_SUCH_FILE", "HEADER", "INPUT", "NOWHERE", "OUT", "ENCRYPTED", "LUKS", "NEW", "V"];
        match names.iter().find(|name| word.strip_prefix("raw:").unwrap_or(word).starts_with(**name)) {
            Some(name) => word.replace(name, &self.text(name)),
            None => word.to_owned(),
        }
    }

    /// How a device of this kind is named.
    fn device(&self, kind: &str) -> Vec<String> {
        let uri = "nbd+unix:///?socket=/nobody/listens/here";
        let plain = self.text("PLAIN");
        let table = |line: String| vec!["--table".to_owned(), line];
        match kind {
            "luks" => vec![self.text("LUKS")],
            "raw" => vec![format!("raw:{plain}")],
            "luks over nbd" => vec![uri.to_owned()],
            "raw over nbd" => vec![format!("raw:{uri}")],
            "crypt table" => {
                let key = "00112233445566778899aabbccddeeff";
                table(format!("0 2048 crypt aes-cbc-plain64 {key} 0 {plain} 0"))
            }
            "linear table" => table(format!("0 2048 linear {plain} 0")),
            _ => table("0 2048 zero".into()),
        }
    }

    /// Which files there are, how long they are, and when each was written.
    fn state(&self) -> Vec<(PathBuf, u64, SystemTime)> {
        let entries = fs::read_dir(self.0.path()).unwrap().map(|entry| entry.unwrap().path());
        let mut state: Vec<_> = entries
            .map(|path| {
                let found = fs::metadata(&path).unwrap();
                (path, found.len(), found.modified().unwrap())
            })
            .collect();
        state.sort();
        state
    }
}

/// Whether the message is the refusal of an option, and of this one.
fn is_refusal(message: &str, option: &str) -> bool {
    message.contains("leave the option out") && message.contains(&format!("udm: {option} "))
}

#[test]
fn each_option_is_taken_or_refused_in_each_command_as_the_table_says() {
    let bench = Bench::new();
    let mut wrong = Vec::new();
    for (command, before, behind) in COMMANDS {
        for (options, verdicts) in VERDICTS {
            for (kind, verdict) in KINDS.iter().zip(verdicts.split(' ')) {
                let words = before.iter().chain(*options).map(|word| bench.word(word));
                let words = [command.to_string()].into_iter().chain(words).chain(bench.device(kind));
                let words: Vec<_> = words.chain(behind.iter().map(|word| bench.word(word))).collect();
                let state = bench.state();
                let output = run(&words);
                let message = String::from_utf8_lossy(&output.stderr).into_owned();
                // Of two options that go together, the first of the definition is named.
                let refused = is_refusal(&message, options[0]);
                // What a conversion writes is a file here, for which these have a meaning.
                let of_files = matches!(options[0], "--cache" | "--engine");
                let expected = verdict == "n" && !(of_files && *command == "convert");
                if refused != expected || refused && output.status.code() != Some(2) {
                    wrong.push(format!("{words:?}: {} {message}", output.status));
                }
                if refused && bench.state() != state {
                    wrong.push(format!("{words:?} changed something"));
                }
                for made in ["OUT", "OUT.udm-convert", "OUT.udm-part"] {
                    let _ = fs::remove_file(bench.path(made));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of the table's verdicts:\n{}", wrong.len(), wrong.join("\n"));
}

/// Of a conversion's options, those of DST: whether they have a meaning for a volume that is made, one that is written into
/// (`-n`), bytes as they are that are made, and an export's bytes.
const DESTINATIONS: &[(&[&str], &str)] = &[
    (&["--dst-key-file", "KEY"], "y y n n"),
    (&["--dst-key-file", "KEY", "--dst-keyfile-size", "6"], "y y n n"),
    (&["--dst-key-credential", "c"], "y y n n"),
    (&["--type", "luks1"], "y y n n"),
    (&["--cipher", "aes-cbc-plain64"], "y y n n"),
    (&["--key-size", "256"], "y y n n"),
    (&["--sector-size", "512"], "y y n n"),
    (&["--label", "disk"], "y y n n"),
    (&["--uuid", "6a8ff0a5-2ad5-4b7d-8b8e-6f3b1f1e9a10"], "y y n n"),
    (&["--hash", "sha512"], "y n n n"),
    (&["--pbkdf", "pbkdf2"], "y n n n"),
    (&["--iter-time", "10"], "y n n n"),
    (&["--pbkdf-force-iterations", "1000"], "y n n n"),
    (&["--keyslot-cipher", "aes-xts-plain64"], "y n n n"),
    (&["--sparse-size", "0"], "n n y y"),
    (&["--resume"], "y y y n"),
    (&["--checkpoint", "1M"], "y y y n"),
];

#[test]
fn each_option_of_a_destination_is_taken_or_refused_as_the_table_says() {
    let bench = Bench::new();
    let source = format!("raw:{}", bench.text("PLAIN"));
    let nobody = "raw:nbd+unix:///?socket=/nobody/listens/here";
    let volume = bench.text("LUKS");
    let made = bench.text("ENCRYPTED");
    let out = format!("raw:{}", bench.text("OUT"));
    let kinds: [&[&str]; 4] = [&[&made], &["-n", &volume], &[&out], &["-n", nobody]];
    let mut wrong = Vec::new();
    for (options, verdicts) in DESTINATIONS {
        for (kind, verdict) in kinds.iter().zip(verdicts.split(' ')) {
            let options: Vec<_> = options.iter().map(|word| bench.word(word)).collect();
            let words: Vec<&str> = ["convert", &source]
                .into_iter()
                .chain(kind.iter().copied())
                .chain(options.iter().map(String::as_str))
                .chain(CHEAP.into_iter().filter(|_| kind[0] == made && options[0].starts_with("--dst")))
                .collect();
            let state = bench.state();
            let output = run(&words);
            let message = String::from_utf8_lossy(&output.stderr).into_owned();
            let refused = is_refusal(&message, &options[0]);
            if refused != (verdict == "n") || refused && output.status.code() != Some(2) {
                wrong.push(format!("{words:?}: {} {message}", output.status));
            }
            if refused && bench.state() != state {
                wrong.push(format!("{words:?} changed something"));
            }
            for made in ["OUT", "ENCRYPTED"] {
                for end in ["", ".udm-convert", ".udm-part"] {
                    let _ = fs::remove_file(bench.path(&format!("{made}{end}")));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of the table's verdicts:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_words_that_wrote_plaintext_are_refused_and_those_that_encrypt_do() {
    let bench = Bench::new();
    let (plain, key, out) = (bench.text("PLAIN"), bench.text("KEY"), bench.text("OUT"));
    let source = format!("raw:{plain}");
    let raw = format!("raw:{out}");
    let refused = run(["convert", "-q", &source, &raw, "--dst-key-file", &key]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(!bench.path("OUT").exists(), "it was made");
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(told.contains("--dst-key-file") && told.contains("raw:"), "{told}");
    // The twin: without raw: it is encrypted.
    let words = ["convert", "-q", &*source, &*out, "--dst-key-file", &*key];
    assert!(run(words.iter().chain(&CHEAP)).status.success());
    let (bytes, plain) = (fs::read(&out).unwrap(), fs::read(&plain).unwrap());
    assert!(bytes.starts_with(b"LUKS") && !bytes.windows(64).any(|window| window == &plain[..64]));
}

#[test]
fn commands_on_headers_refuse_what_is_for_data_and_names_that_are_no_files() {
    let bench = Bench::new();
    let (luks, key) = (bench.text("LUKS"), bench.text("KEY"));
    let test = ["luks", "test-passphrase", &luks, "--key-file", &key];
    assert!(run(test).status.success());
    let refused = run(test.iter().chain(&["--allow-discards"]));
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(2) && is_refusal(&told, "--allow-discards"), "{told}");
    for (name, hint) in
        [(format!("raw:{luks}"), "leave out raw:"), ("nbd+unix:///?socket=/s".into(), "nbdfuse")]
    {
        for command in ["dump", "test-passphrase", "repair", "uuid"] {
            let refused = run(["luks", command, &name]);
            let told = String::from_utf8_lossy(&refused.stderr).into_owned();
            assert!(refused.status.code() == Some(2) && told.contains(hint), "{command}: {told}");
        }
    }
}

#[test]
fn one_header_is_not_taken_for_two_volumes_and_what_some_device_takes_is_taken() {
    let bench = Bench::new();
    let (luks, plain, key) = (bench.text("LUKS"), bench.text("PLAIN"), bench.text("KEY"));
    let nowhere = bench.text("NOWHERE/socket");
    let header = bench.text("HEADER");
    let two = run([
        "serve",
        &luks,
        &bench.text("DATA"),
        "--header",
        &header,
        "--key-file",
        &key,
        "--nbd",
        &nowhere,
    ]);
    let told = String::from_utf8_lossy(&two.stderr).into_owned();
    assert!(two.status.code() == Some(2) && told.contains("--header is of one LUKS volume"), "{told}");
    // The twin: the key file is for the volume, and the plain file beside it does not mind.
    let mixed = run(["serve", &luks, &format!("raw:{plain}"), "--key-file", &key, "--nbd", &nowhere]);
    let told = String::from_utf8_lossy(&mixed.stderr).into_owned();
    assert!(mixed.status.code() == Some(1) && told.contains("NOWHERE"), "{told}");
}

/// Words of `luks`, and what the refusal speaks of. Each without its last option (and value) works, which is the twin.
const TOGETHER: &[(&str, usize, &str)] = &[
    (
        "add-key LUKS --key-file KEY --pbkdf pbkdf2 --pbkdf-force-iterations 1000 NEW --new-keyfile-offset=1 --new-key-fd=0",
        1,
        "--new-key-fd",
    ),
    (
        "format V1 --size 18M --key-file KEY --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --pbkdf-memory=64",
        1,
        "--pbkdf-memory",
    ),
    (
        "format V2 --size 18M --key-file KEY --type luks1 --pbkdf-force-iterations 1000 --pbkdf-parallel=2",
        1,
        "--pbkdf-parallel",
    ),
    (
        "format V3 --size 18M --key-file KEY --type luks1 --pbkdf-force-iterations 1000 --iter-time=5",
        1,
        "--iter-time",
    ),
    (
        "format V4 --size 18M --key-file KEY --type luks1 --pbkdf-force-iterations 1000 --keyslot-key-size=256",
        1,
        "--keyslot-cipher",
    ),
];

#[test]
fn options_of_a_key_slot_that_do_not_go_together_are_refused_before_anything_is_made() {
    let bench = Bench::new();
    fs::write(bench.path("NEW"), "new").unwrap();
    for (words, last, about) in TOGETHER {
        let words: Vec<_> = words.split(' ').map(|word| bench.word(word)).collect();
        let before = bench.state();
        let refused = run(["luks"].into_iter().chain(words.iter().map(String::as_str)));
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(refused.status.code() == Some(2) && told.contains(about), "{words:?}: {told}");
        assert!(bench.state() == before, "{words:?} changed something");
        let fewer = &words[..words.len() - last];
        let done = run(["luks"].into_iter().chain(fewer.iter().map(String::as_str)));
        assert!(done.status.success(), "{fewer:?}: {}", String::from_utf8_lossy(&done.stderr));
    }
    // An offset into a new key file that nobody names.
    let words = [
        "luks",
        "add-key",
        &bench.text("LUKS"),
        "--key-file",
        &bench.text("KEY"),
        "--new-keyfile-offset",
        "1",
    ];
    let refused = run(words);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(2) && told.contains("--new-keyfile"), "{told}");
}
