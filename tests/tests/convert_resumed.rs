//! `udm convert --resume` and its journal: what cannot be identified is compared, and nothing of anybody else's is touched.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, symlink};
use std::path::Path;
use std::process::Output;

use udm_tests::images::{CHEAP, Files, MIB, assert_refused, convert, converted, journal, position, text};

/// Whatever the journal's name leads to, it is not replaced, with --force neither.
#[test]
fn a_journal_is_made_new_or_is_nobody_elses() {
    let files = Files::new(MIB, 0x10_0A11);
    let (raw, out, key) = (files.raw("plain"), files.raw("out"), files.path("key"));
    fs::write(files.path("text"), b"precious").unwrap();
    fs::write(files.path("empty"), b"").unwrap();
    fs::create_dir(files.path("folder")).unwrap();
    symlink(files.path("text"), files.path("link")).unwrap();
    symlink(files.path("nothing"), files.path("dangling")).unwrap();
    fs::hard_link(files.path("plain"), files.path("hard")).unwrap();
    files.luks_format("volume", "key", "--type luks2");
    let before = files.all();
    let untouched = |told: &Output, what: &str| {
        assert_eq!(told.status.code(), Some(2), "{what}: {}", text(&told.stderr));
        assert!(files.all() == before, "{what}: something is different");
    };
    for name in ["plain", "hard", "key", "text", "empty", "folder", "link", "dangling", "volume"] {
        for option in [&[][..], &["--force"], &["--resume"]] {
            let journal = files.path(name);
            let words = [&[&*raw, &*out, "--journal", &journal], option].concat();
            untouched(&convert(&words), &format!("{name} {option:?}"));
            let image = files.path("volume");
            let volume = [&*image, &out, "--key-file", &key, "--journal", &journal];
            untouched(&convert(&[&volume[..], option].concat()), &format!("{name} {option:?} of a volume"));
        }
    }
    for (name, what) in [("out", "the destination itself"), ("out.udm-part", "until it is whole")] {
        let told = convert(&[&raw, &out, "--force", "--journal", &files.path(name)]);
        assert_refused(&told, 2, &[what, "name a file that is not there yet"]);
        untouched(&told, name);
    }
    let told = convert(&["-n", &raw, &files.raw("text"), "--journal", &files.path("text")]);
    assert_refused(&told, 2, &["the destination itself"]);
    // The twin: a name of its own, which is free again at the end.
    converted(&[&raw, &out, "--journal", &files.path("new")]);
    assert!(fs::read(files.path("out")).unwrap() == files.plain && !files.exists("new"));
    fs::remove_file(files.path("out")).unwrap();
    assert!(files.all() == before);
}

/// The part of somebody else, and the journal of another conversion.
#[test]
fn only_what_is_of_this_conversion_is_removed() {
    let files = Files::new(64 * MIB, 0x10_0A12);
    let (raw, out, part) = (files.raw("plain"), files.raw("out"), files.path("out.udm-part"));
    fs::write(&part, b"precious").unwrap();
    for option in [&[][..], &["--force"], &["--resume"]] {
        let told = convert(&[&[&*raw, &*out], option].concat());
        assert_refused(&told, 2, &["out.udm-part is there", "left as it is"]);
        assert_eq!(fs::read(&part).unwrap(), b"precious");
        assert!(!files.exists("out.udm-convert"));
    }
    fs::remove_file(&part).unwrap();
    symlink(files.path("key"), &part).unwrap();
    assert_refused(&convert(&[&raw, &out, "--force"]), 2, &["out.udm-part is there"]);
    fs::remove_file(&part).unwrap();
    // A part in the place of the one that was made.
    let words = [&*raw, &*out, "--resume", "--checkpoint", "1M"];
    files.interrupted(&words, "out", 5);
    fs::rename(&part, files.path("mine")).unwrap();
    fs::write(&part, b"precious").unwrap();
    for option in ["--resume", "--force"] {
        assert_eq!(convert(&[&raw, &out, option]).status.code(), Some(2));
        assert_eq!(fs::read(&part).unwrap(), b"precious");
    }
    fs::rename(files.path("mine"), &part).unwrap();
    // A file that came to the destination's name meanwhile.
    fs::write(files.path("out"), b"precious").unwrap();
    assert_refused(&convert(&words), 1, &["another file was made there"]);
    assert_eq!(fs::read(files.path("out")).unwrap(), b"precious");
    fs::remove_file(files.path("out")).unwrap();
    let told = converted(&words);
    assert_eq!(told["read"].as_u64(), Some(0), "all was copied before: {told}");
    assert!(fs::read(files.path("out")).unwrap() == files.plain);
    // What is of this conversion goes when it begins anew.
    fs::remove_file(files.path("out")).unwrap();
    files.interrupted(&words, "out", 6);
    converted(&[&raw, &out, "--force"]);
    assert!(!Path::new(&part).exists() && !files.exists("out.udm-convert"));
}

/// Somebody gives the part its name himself: it is not the whole.
#[test]
fn a_part_with_the_name_of_the_whole_is_not_taken_for_it() {
    let files = Files::new(64 * MIB, 0x10_0A13);
    let (raw, out, part) = (files.raw("plain"), files.raw("out"), files.path("out.udm-part"));
    let words = [&*raw, &*out, "--resume", "--checkpoint", "1M"];
    let at = files.interrupted(&words, "out", 7);
    fs::rename(&part, files.path("out")).unwrap();
    let told = convert(&words);
    assert_refused(&told, 2, &["out.udm-part is gone", &format!("when {at} of {} bytes", 64 * MIB)]);
    assert!(files.exists("out.udm-convert") && files.exists("out"));
    // What it advises works.
    fs::rename(files.path("out"), &part).unwrap();
    assert_eq!(converted(&words)["resumed_at"].as_u64(), Some(at));
    assert!(fs::read(files.path("out")).unwrap() == files.plain);
}

/// A table does not say whether its devices have changed, so what was copied is compared.
#[test]
fn a_source_behind_a_table_that_changed_is_noticed() {
    let files = Files::new(64 * MIB, 0x10_0A14);
    fs::write(files.path("table"), format!("0 131072 linear {} 0", files.path("plain"))).unwrap();
    let (table, out) = (files.path("table"), files.raw("out"));
    let words = ["--table-file", &*table, &*out, "--resume", "--checkpoint", "1M"];
    let at = files.interrupted(&words, "out", 8);
    let plain = File::options().write(true).open(files.path("plain")).unwrap();
    let flipped: Vec<u8> = files.plain[100..110].iter().map(|byte| !byte).collect();
    plain.write_all_at(&flipped, 100).unwrap();
    let told = convert(&words);
    assert_refused(&told, 2, &["changed since", "differ at byte 100 ", "--force begins anew"]);
    assert_eq!(position(&files.path("out.udm-convert")), Some(at));
    // As it was, it goes on; and a change behind what was copied is copied.
    plain.write_all_at(&files.plain[100..110], 100).unwrap();
    plain.write_all_at(b"fresh", 64 * MIB as u64 - 5).unwrap();
    let output = udm_tests::program::run(["--json", "convert"].iter().chain(&words));
    assert!(output.status.success(), "{}", text(&output.stderr));
    let told = text(&output.stderr);
    assert!(told.contains("a table does not say") && told.contains("compared"), "{told}");
    assert!(fs::read(files.path("out")).unwrap() == fs::read(files.path("plain")).unwrap());
}

#[test]
fn options_that_disagree_with_the_volume_that_is_there_are_refused_by_name() {
    let files = Files::new(MIB, 0x10_0A15);
    let (raw, key) = (files.raw("plain"), files.path("key"));
    let uuid = "11111111-2222-4333-8444-555555555555";
    let options = format!(
        "--type luks2 --cipher aes-cbc-plain64 --key-size 256 --sector-size 512 --label one --uuid {uuid}"
    );
    files.luks_format("there.img", "key", &options);
    let image = files.path("there.img");
    let before = fs::read(&image).unwrap();
    let into = |options: &str| {
        let words = ["-n", &raw, &image, "--dst-key-file", &key].into_iter();
        convert(&words.chain(options.split_whitespace()).collect::<Vec<_>>())
    };
    for (option, has) in [
        ("--type luks1", "has luks2"),
        ("--cipher aes-xts-plain64", "has aes-cbc-plain64"),
        ("--key-size 512", "has 256"),
        ("--sector-size 4096", "has 512"),
        ("--label two", "has one"),
        ("--uuid 11111111-2222-4333-8444-555555555556", uuid),
        ("--pbkdf pbkdf2", "there already"),
        ("--iter-time 2000", "there already"),
        ("--hash sha256", "there already"),
    ] {
        let name = option.split(' ').next().unwrap();
        let options = if name == "--type" { "--type luks1 --cipher aes-cbc-plain64" } else { option };
        assert_refused(&into(options), 2, &[name, has]);
        assert!(fs::read(&image).unwrap() == before, "{option}: something was written");
    }
    // What agrees is no matter.
    let told = into(&options);
    assert!(told.status.success(), "{}", text(&told.stderr));
}

#[test]
fn options_that_disagree_with_what_was_begun_are_refused_by_name() {
    let files = Files::new(64 * MIB, 0x10_0A16);
    let (raw, key, image) = (files.raw("plain"), files.path("key"), files.path("new.img"));
    let base = [&[&*raw, &image, "--dst-key-file", &key], &["--resume", "--checkpoint", "1M"][..]].concat();
    let first = [&base[..], &CHEAP, &["--label", "one"]].concat();
    let at = files.interrupted(&first, "new.img", 9);
    let before = journal(&files.path("new.img.udm-convert"));
    for (option, value) in [
        ("--label", "two"),
        ("--cipher", "aes-cbc-plain64"),
        ("--sector-size", "512"),
        ("--key-size", "256"),
        ("--type", "luks1"),
        ("--pbkdf", "argon2id"),
        ("--pbkdf-force-iterations", "1001"),
        ("--pbkdf-memory", "64"),
    ] {
        let told = convert(&[&base[..], &[option, value]].concat());
        assert_refused(&told, 2, &[option, value]);
    }
    assert_eq!(journal(&files.path("new.img.udm-convert")), before, "it went on");
    // Those that agree, and none, go on.
    let again = [&first[..], &["--sector-size", "4096", "--key-size", "512", "--type", "luks2"]].concat();
    assert_eq!(converted(&again)["resumed_at"].as_u64(), Some(at));
    converted(&["-d", &key, &image, &files.raw("back")]);
    assert!(fs::read(files.path("back")).unwrap() == files.plain);
}
