//! Files that a command makes for its user: they replace nothing unasked, and are there when they are whole. And no file is
//! meant for two things, of which one would destroy the other.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::process::{Command, Output};

use tempfile::TempDir;
use udm_tests::images::{CHEAP, assert_refused, text};
use udm_tests::judge::judge;
use udm_tests::program::{path, run};

/// A folder with a volume that has a token and that the bytes of `key` open. `soft` and `hard` are links to it.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(TempDir::with_prefix("udm-outputs-").unwrap());
        fs::write(place.path("key"), "the key").unwrap();
        let (image, key) = (place.path("image"), place.path("key"));
        File::create(&image).unwrap().set_len(20 << 20).unwrap();
        judge("cryptsetup", ["-q", "luksFormat"].into_iter().chain(CHEAP).chain([&*image, &*key]));
        judge("cryptsetup", ["token", "add", "--key-description", "udm", "--key-slot", "0", &image]);
        symlink(&image, place.path("soft")).unwrap();
        fs::hard_link(&image, place.path("hard")).unwrap();
        place
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    fn names(&self) -> usize {
        fs::read_dir(self.0.path()).unwrap().count()
    }
}

/// Runs udm where files have at most so many bytes, and a write beyond is an error and no signal: a disk that is full.
fn run_full(bytes: u64, args: &[&str]) -> Output {
    let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" \"$@\"", bytes / 512);
    Command::new("sh").args(["-c", &script]).arg(path()).args(args).output().unwrap()
}

#[test]
fn no_command_writes_over_what_is_there_unless_it_is_told_to() {
    let place = Place::new();
    let (image, key, there) = (place.path("image"), place.path("key"), place.path("there"));
    let export = ["luks", "token", "export", &image, "--token-id", "0", "--json-file", &there];
    let backup = ["luks", "header-backup", &image, "--header-backup-file", &there];
    let read = ["read", &image, "--key-file", &key, "--length", "4K", "--output", &there];
    let commands: [(&[&str], bool); 3] = [(&export, true), (&backup, false), (&read, true)];
    for (words, takes_force) in commands {
        fs::write(&there, "of somebody").unwrap();
        assert_refused(&run(words), 2, &["is there already"]);
        assert_eq!(fs::read(&there).unwrap(), b"of somebody", "{words:?}");
        if takes_force {
            let output = run(words.iter().chain(&["--force"]));
            assert!(output.status.success(), "{}", text(&output.stderr));
            assert_ne!(fs::read(&there).unwrap(), b"of somebody");
        }
        fs::remove_file(&there).unwrap();
        let output = run(words);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let mode = fs::metadata(&there).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{words:?}: others may read it");
        fs::remove_file(&there).unwrap();
        // A name that leads nowhere is not followed to a place that nobody thought of.
        symlink(place.path("elsewhere"), &there).unwrap();
        assert_refused(&run(words), 2, &["symbolic link"]);
        assert!(!fs::exists(place.path("elsewhere")).unwrap());
        fs::remove_file(&there).unwrap();
        // What can lose nothing is written to.
        let null: Vec<&str> =
            words.iter().map(|word| if *word == there { "/dev/null" } else { word }).collect();
        assert!(run(&null).status.success(), "{words:?}");
    }
    // Pages and pictures: none is made where one is there.
    let pages = place.path("pages");
    fs::create_dir(&pages).unwrap();
    fs::write(format!("{pages}/udm.1"), "of somebody").unwrap();
    fs::write(format!("{pages}/cipher.svg"), "of somebody").unwrap();
    assert_refused(&run(["man", "--directory", &pages]), 2, &["udm.1 is there already: --force"]);
    let bench = ["bench", "cipher", "--rounds", "1", "--driver", "portable", "--plot", &pages];
    assert_refused(&run(bench), 2, &["cipher.svg is there already: --force"]);
    assert_eq!(fs::read_dir(&pages).unwrap().count(), 2);
    assert!(run(["man", "--force", "--directory", &pages]).status.success());
    assert!(text(&fs::read(format!("{pages}/udm.1")).unwrap()).contains(".TH"));
}

/// The bad twin is any other file in the place of the one that is read twice: the same words then work, or fail for another
/// reason.
#[test]
fn no_file_is_meant_for_two_things() {
    let place = Place::new();
    let (image, key, other) = (place.path("image"), place.path("key"), place.path("other"));
    fs::write(&other, "other").unwrap();
    let header = place.path("header");
    judge("cryptsetup", ["luksHeaderBackup", &image, "--header-backup-file", &header]);
    let before = (fs::read(&image).unwrap(), fs::read(&key).unwrap(), fs::read(&header).unwrap());
    let raw = format!("raw:{image}");
    let table = format!("0 8 linear {image} 0");
    for link in ["image", "soft", "hard"] {
        let same = &*place.path(link);
        let commands: &[&[&str]] = &[
            &["luks", "token", "export", &image, "--token-id", "0", "--force", "--json-file", same],
            &["luks", "header-backup", &image, "--header-backup-file", same],
            &["read", &image, "--key-file", &key, "--force", "--output", same],
            &["read", &raw, "--force", "--output", same],
            &["read", "--table", &table, "--force", "--output", same],
            &["write", &raw, "--offset", "1M", "--input", same],
            &["write", "--table", &table, "--offset", "0", "--input", same],
            &["luks", "format", &image, "-q", same],
            &["luks", "format", &image, "-q", "--key-file", same],
            &["luks", "format", &image, "-q", "--key-file", &key, "--volume-key-file", same],
            &["luks", "format", &other, "-q", "--header", &image, "--key-file", same],
            &["luks", "add-key", &image, "--key-file", &key, "--new-keyfile", same],
            &["luks", "add-key", &image, "--key-file", &key, same],
            &["luks", "change-key", &image, "--key-file", same],
            &["luks", "header-restore", &image, "-q", "--header-backup-file", same],
            &["luks", "token", "import", &image, "--json-file", same],
            &["luks", "test-passphrase", &other, "--header", &image, "--key-file", same],
        ];
        for words in commands {
            let output = run(*words);
            assert_eq!(output.status.code(), Some(2), "{words:?}: {}", text(&output.stderr));
        }
        let ours: &[&str] = &["luks", "add-key", &image, "--key-file", &key, "--new-keyfile", same];
        assert_refused(&run(ours), 2, &["--new-keyfile", "are the same file"]);
    }
    // A key file and a table that are to be replaced by what they open.
    let text_table = place.path("table");
    fs::write(&text_table, &table).unwrap();
    for words in [
        &["read", &*image, "--key-file", &*key, "--force", "--output", &*key][..],
        &["read", "--table-file", &text_table, "--force", "--output", &text_table],
        &["read", &image, "--header", &header, "--key-file", &key, "--force", "--output", &header],
    ] {
        assert_refused(&run(words), 2, &["are the same file"]);
    }
    // Stdin is the volume.
    let mut stdin = Command::new(path());
    stdin.args(["luks", "add-key", &image, "--key-file", "-", "--new-keyfile", &key]);
    let output = stdin.stdin(File::open(&image).unwrap()).output().unwrap();
    assert_refused(&output, 2, &["are the same file"]);
    let after = (fs::read(&image).unwrap(), fs::read(&key).unwrap(), fs::read(&header).unwrap());
    assert!(before == after, "a file was changed");
    assert_eq!(fs::read_to_string(&text_table).unwrap(), table);
}

#[test]
fn a_full_disk_leaves_no_half_of_a_file_and_what_was_there() {
    let place = Place::new();
    let (image, key, there) = (place.path("image"), place.path("key"), place.path("there"));
    let before = place.names();
    let backup = ["luks", "header-backup", &image, "--header-backup-file", &there];
    let read = ["read", &image, "--key-file", &key, "--length", "1M", "--output", &there];
    let made = ["luks", "format", &*place.path("made"), &*key, "--size", "20M"].map(str::to_owned);
    let made: Vec<&str> = made.iter().map(String::as_str).chain(CHEAP).collect();
    for (words, status) in [(&backup[..], 1), (&read[..], 1), (&made[..], 2)] {
        let output = run_full(256 << 10, words);
        assert_refused(&output, status, &["File too large"]);
        assert_eq!(place.names(), before, "{words:?} has left something");
    }
    fs::write(&there, "of somebody").unwrap();
    let inode = fs::metadata(&there).unwrap().ino();
    let forced: Vec<&str> = read.iter().copied().chain(["--force"]).collect();
    assert_refused(&run_full(256 << 10, &forced), 1, &["File too large"]);
    assert_eq!(
        (fs::read(&there).unwrap(), fs::metadata(&there).unwrap().ino()),
        (b"of somebody".into(), inode)
    );
    assert_eq!(place.names(), before + 1);
    // The good twin: with room it is replaced.
    assert!(run_full(2 << 20, &forced).status.success());
    assert_eq!(fs::metadata(&there).unwrap().len(), 1 << 20);
}

#[test]
fn a_stdout_that_takes_nothing_is_an_error() {
    let place = Place::new();
    let (image, key) = (place.path("image"), place.path("key"));
    for redirected in [">&-", ">/dev/full"] {
        for words in [
            &["read", &*image, "--key-file", &*key, "--length", "4K"][..],
            &["read", &image, "--key-file", &key, "--length", "4K", "--output", "-"],
            &["luks", "dump", &image],
            &["luks", "uuid", &image],
            &["luks", "token", "export", &image, "--token-id", "0"],
            &["man"],
            &["completions", "bash"],
            &["--help"],
            &["--version"],
        ] {
            let script = format!("exec \"$0\" \"$@\" {redirected}");
            let output = Command::new("sh").args(["-c", &script]).arg(path()).args(words).output().unwrap();
            assert_eq!(output.status.code(), Some(1), "{words:?} {redirected}: {}", text(&output.stderr));
        }
    }
}
