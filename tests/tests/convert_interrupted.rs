//! `udm convert`, interrupted: by kills, signals, a full disk and errors, it goes on from where it was durable.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use udm_tests::images::{CHEAP, Files, MIB, assert_refused, convert, convert_limited, converted};
use udm_tests::mutate::SplitMix64;
use udm_tests::program::path;

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
        let _ = kill_process(Pid::from_child(&child), Signal::INT);
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
