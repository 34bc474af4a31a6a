//! `udm convert`, interrupted: by kills, signals, a full disk and errors, it goes on from where it was durable.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use udm_tests::images::{
    CHEAP, Files, MIB, assert_refused, convert, convert_limited, converted, journal, killed, position,
    write_journal,
};
use udm_tests::mutate::SplitMix64;
use udm_tests::program::path;

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
                positions.push(position(&journal_path).unwrap_or(0));
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
    let words = [&*raw, &*out, "--resume", "--checkpoint", "1M"];
    files.interrupted(&words, "out", 1);
    let interrupted = convert(&[&raw, &out]);
    assert_refused(&interrupted, 2, &["was interrupted", "--resume goes on with it", "--force begins anew"]);
    let text = fs::read(&journal_path).unwrap();
    let mut lying = journal(&journal_path);
    lying["position"] = (40 << 20).into();
    write_journal(&journal_path, &lying);
    File::options().write(true).open(&part).unwrap().write_all_at(&[0; 4096], (40 << 20) - 4096).unwrap();
    let told = convert(&[words.as_slice(), &["--verify"]].concat());
    assert_refused(&told, 1, &["the destination differs from the source at byte"]);
    assert!(!files.exists("out"), "what differs was taken for whole");

    fs::write(&journal_path, text).unwrap();
    File::options().write(true).open(files.path("plain")).unwrap().write_all_at(b"changed", 0).unwrap();
    assert_refused(&convert(&words), 2, &["cannot go on", "the source was written to since"]);
    let other = convert(&[&files.raw("key"), &out, "--force"]);
    assert_refused(&other, 2, &["of another conversion, whose source was", "left as it is"]);
    fs::write(&journal_path, "something else").unwrap();
    for option in ["--resume", "--force"] {
        let told = convert(&[&raw, &out, option]);
        assert_refused(&told, 2, &["no record of a conversion", "left as it is"]);
        assert_eq!(fs::read(&journal_path).unwrap(), b"something else");
    }
    fs::remove_file(&journal_path).unwrap();
    // Nobody knows any more whose that is.
    let told = convert(&["--force", &raw, &out]);
    assert_refused(&told, 2, &["out.udm-part is there", "no record says", "move it away"]);
    fs::remove_file(&part).unwrap();
    converted(&["--force", &raw, &out]);
    assert!(fs::read(files.path("out")).unwrap()[7..] == files.plain[7..]);
    assert!(!Path::new(&journal_path).exists() && !Path::new(&part).exists());
}

/// Killed when the file had its name, and the journal was still there: nothing is left to do.
#[test]
fn a_kill_between_the_last_two_steps_is_no_matter() {
    let files = Files::new(64 * MIB, 0xC0_4E4C);
    let (raw, out, journal_path) = (files.raw("plain"), files.raw("out"), files.path("out.udm-convert"));
    let words = [&*raw, &*out, "--resume", "--checkpoint", "1M"];
    files.interrupted(&words, "out", 2);
    let mut whole = journal(&journal_path);
    converted(&words);
    let there = fs::metadata(files.path("out")).unwrap();
    whole["stage"] = "whole".into();
    whole["position"] = there.len().into();
    whole["destination"]["length"] = there.len().into();
    whole["destination"]["modified"] = format!("{}.{:09}", there.mtime(), there.mtime_nsec()).into();
    for option in [&[][..], &["--verify"]] {
        write_journal(&journal_path, &whole);
        let told = converted(&[&words[..], option].concat());
        assert_eq!((told["read"].as_u64(), told["verified"].as_bool()), (Some(0), Some(!option.is_empty())));
        assert!(!Path::new(&journal_path).exists());
        assert!(fs::read(files.path("out")).unwrap() == files.plain);
    }
    // The bad twins: what is at its name is not all of it, or another file, also where that has the same number, or was
    // changed.
    let refused = |whole: &serde_json::Value| {
        write_journal(&journal_path, whole);
        let before = fs::read(files.path("out")).unwrap();
        let told = convert(&words);
        assert_refused(&told, 2, &["out.udm-part is gone", "--force"]);
        assert!(fs::read(files.path("out")).unwrap() == before && Path::new(&journal_path).exists());
    };
    for (field, value) in [("position", 1.into()), ("stage", "copying".into())] {
        let mut twin = whole.clone();
        twin[field] = value;
        refused(&twin);
    }
    for (field, value) in [("born", "1.000000000"), ("modified", "1.000000000")] {
        let mut twin = whole.clone();
        twin["destination"][field] = value.into();
        refused(&twin);
    }
    fs::write(files.path("another"), b"another").unwrap();
    fs::rename(files.path("another"), files.path("out")).unwrap();
    refused(&whole);
    // And the way out.
    converted(&["--force", &raw, &out]);
    assert!(fs::read(files.path("out")).unwrap() == files.plain);
}

#[test]
fn an_interrupt_stops_it_and_it_goes_on() {
    let files = Files::new(256 * MIB, 0xC0_4E47);
    let (raw, out) = (files.raw("plain"), files.raw("out"));
    for attempt in 0.. {
        assert!(attempt < 50, "it is always faster than the signal");
        let _ = fs::remove_file(files.path("out"));
        let mut command = Command::new(path());
        command.args(["--quiet", "convert", &raw, &out, "--checkpoint", "1M"]).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        while position(&files.path("out.udm-convert")).unwrap_or(0) == 0 && !files.exists("out") {
            std::thread::sleep(Duration::from_millis(1));
        }
        let _ = kill_process(Pid::from_child(&child), Signal::INT);
        let output = child.wait_with_output().unwrap();
        if !output.status.success() {
            assert_refused(&output, 1, &["stopped at byte", "--resume goes on"]);
            break;
        }
    }
    let position = position(&files.path("out.udm-convert"));
    let told = converted(&[&raw, &out, "--resume"]);
    assert!(told["resumed_at"].as_u64() == position && position > Some(0), "{told} after {position:?}");
    assert!(fs::read(files.path("out")).unwrap() == files.plain);
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
    let position = position(&files.path("one.img.udm-convert"));
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
    assert_eq!(position(&files.path("out.udm-convert")), Some(3 << 20));
    assert!(!files.exists("out"));
    assert!(fs::read(files.path("out.udm-part")).unwrap()[..3 * MIB] == files.plain[..3 * MIB]);
}
