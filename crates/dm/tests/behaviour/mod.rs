//! What a kernel did with crypt devices (`vectors/behaviour.txt`), command by command, on managed devices: what each
//! command prints, its exit status, and what crypt logs.

mod files;
mod machine;
mod shell;
mod transcript;

use std::collections::HashMap;
use std::fmt::Write as _;

use crate::support::hex;
use machine::{Answer, Machine};
use shell::After;
use transcript::Entry;

/// Commands that have no meaning here, and why.
const NO_MEANING: [(&str, &str); 1] =
    [("dmsetup targets | grep crypt", "the versions of a kernel's targets: `udm --version` is ours")];

/// Limits that have no meaning here, and why. A `-` stands for them on both sides.
const NO_MEANING_LIMITS: [(&str, &str); 4] = [
    ("fua", "the kernel says 0, as its crypt has a flush instead; here every device takes FUA"),
    ("max_sectors_kb", "of the kernel's request queue: here a bio of any length is split"),
    ("max_segments", "of the kernel's request queue: here a bio has up to 256 runs"),
    ("dma_alignment", "of the kernel's buffers: here memory may lie anywhere"),
];

/// Lines of the log that are of other parts of the kernel.
const OTHERS_LOGS: [(&str, &str); 5] = [
    ("preresume failed, error = -11", "says again what crypt has said"),
    ("Cannot calculate initial queue limits", "says again what the table's check has said"),
    ("unable to set up device queue for new table", "the same"),
    ("caused an alignment inconsistency", "a warning before the error"),
    ("Buffer I/O error on dev", "the page cache's, of the client"),
];

fn key(factor: usize, first: usize) -> String {
    hex(&(0..64).map(|i| (factor * i + first) as u8).collect::<Vec<_>>())
}

/// Plays the transcript: what differs, a sentence each.
fn play(entries: &[Entry]) -> Vec<String> {
    let mut variables: HashMap<&str, String> = [("K1", key(7, 3)), ("K2", key(11, 5))].into();
    variables.insert("T", format!("0 128 crypt aes-xts-plain64 {} 0 /dev/vda 0", key(7, 3)));
    // The exit status, which a subshell gives on: see `run_one`.
    variables.extend([("s", "s".to_owned()), ("?", "status".to_owned())]);
    let mut machine = Machine::new();
    let mut differences = Vec::new();
    for entry in entries {
        if NO_MEANING.iter().any(|(command, _)| *command == entry.command) {
            continue;
        }
        let answer = run(&mut machine, &entry.command, &variables);
        let place = format!("line {}: {}", entry.line, entry.command);
        let (found, said) = (ours(&answer.output, &variables), theirs(entry));
        if found != said {
            differences.push(format!("{place}\n  the kernel: {said:?}\n  here:       {found:?}"));
        }
        if answer.status != entry.status {
            differences.push(format!("{place}: exit status {}, not {}", answer.status, entry.status));
        }
        differences.extend(compare_logs(entry, &answer.log).map(|why| format!("{place}: {why}")));
    }
    differences
}

/// Every line of the kernel's log is one that we would have logged, or another part's.
fn compare_logs(entry: &Entry, ours: &[String]) -> Option<String> {
    let mut left: Vec<_> = ours.iter().collect();
    for line in &entry.log {
        if let Some(at) = left.iter().position(|ours| line.contains(ours.as_str())) {
            left.remove(at);
        } else if !OTHERS_LOGS.iter().any(|(part, _)| line.contains(part)) {
            return Some(format!("the kernel logs {line:?}, here it is {ours:?}"));
        }
    }
    // What the kernel refuses without a word in its log, we may have a line for; where it logs, none of ours is left.
    (!entry.log.is_empty() && !left.is_empty()).then(|| format!("{left:?} is not what the kernel logs"))
}

/// One command line.
fn run(machine: &mut Machine, line: &str, variables: &HashMap<&str, String>) -> Answer {
    let (before, limits) = match line.split_once("; for f in ") {
        Some((before, rest)) => (before, rest.split_once(';').map(|(names, _)| names)),
        None => (line, None),
    };
    let mut all = Answer::default();
    let mut kept = 0;
    for (after, words) in shell::commands(before, variables) {
        if after == After::Success && all.status != 0 {
            continue;
        }
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let answer = match words[..] {
            ["s=status"] => {
                kept = all.status;
                Answer::default()
            }
            ["(exit", "s)"] => Answer { status: kept, ..Answer::default() },
            _ => run_one(machine, &words),
        };
        all.output.push_str(&answer.output);
        all.log.extend(answer.log);
        all.status = answer.status;
    }
    if let Some(names) = limits {
        all.output.push_str(&machine.limits(names).output);
    }
    all
}

/// One simple command.
fn run_one(machine: &mut Machine, words: &[&str]) -> Answer {
    match *words {
        ["make", table] => machine.dmsetup(&["create", "t", "--noudevsync", "--table", table]),
        ["dmsetup", ..] => machine.dmsetup(&words[1..]),
        ["sum"] => machine.sum(),
        ["dd", ..] => machine.dd(&words[1..]),
        ["blkdiscard", ..] => machine.blkdiscard(words),
        ["blockdev", ..] => machine.blockdev(words),
        ["cat", ..] => machine.cat(&words[1..]),
        ["seq", "1", "500", "|", "head", "-c", "1024", ">a"] => {
            let mut text = (1..=500).fold(String::new(), |mut text, number| {
                let _ = writeln!(text, "{number}");
                text
            });
            text.truncate(1024);
            machine.files.insert("a".into(), text.into_bytes());
            Answer::default()
        }
        ["exec", "8</dev/mapper/t"] => {
            machine.descriptor = Some(machine.devices["t"].open().unwrap());
            Answer::default()
        }
        ["exec", "8<&-"] => {
            machine.descriptor = None;
            Answer::default()
        }
        _ => panic!("a command that is neither played nor listed: {words:?}"),
    }
}

/// What is printed here, with the names of what is printed there.
fn ours(output: &str, variables: &HashMap<&str, String>) -> Vec<String> {
    let output = output.replace(&variables["K1"], "K1").replace(&variables["K2"], "K2");
    lines(&output.replace("(/dev/vda)", "(254, 0)").replace("/dev/vda", "<maj>:0"))
}

/// What the kernel's side printed, without what has no meaning here.
fn theirs(entry: &Entry) -> Vec<String> {
    let mut said = lines(&entry.output.join("\n"));
    let listed = |name: &str| NO_MEANING_LIMITS.iter().any(|(limit, _)| *limit == name);
    if entry.command.contains("for f in ") {
        let line = said.last_mut().expect("limits");
        let mut words: Vec<_> = line.split(' ').map(str::to_owned).collect();
        for at in (0..words.len()).step_by(2).filter(|at| listed(&words[*at])).collect::<Vec<_>>() {
            words[at + 1] = "-".into();
        }
        *line = words.join(" ");
    } else if let Some(files) = entry.command.strip_prefix("cat /") {
        let files = files.split(';').next().expect("a command").split(' ');
        for (line, file) in said.iter_mut().zip(files) {
            if listed(file.rsplit('/').next().expect("a name")) {
                "-".clone_into(line);
            }
        }
    }
    said
}

/// Lines, each with one space between its words.
fn lines(text: &str) -> Vec<String> {
    text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn every_command_does_what_the_kernel_did() {
    let entries = transcript::read();
    let differences = play(&entries);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    for (command, why) in NO_MEANING {
        assert!(entries.iter().any(|entry| entry.command == command), "{command} is not in the transcript");
        println!("not played: {command}: {why}");
    }
    for (limit, why) in NO_MEANING_LIMITS {
        println!("not compared: {limit}: {why}");
    }
    println!("{} commands do what the kernel did", entries.len() - NO_MEANING.len());
}

/// The bad twin: whichever answer of the kernel had been another one, the test above would have said so.
#[test]
fn every_answer_is_compared() {
    type Change = fn(&mut Entry);
    let all = transcript::read();
    let played = |entry: &&Entry| NO_MEANING.iter().all(|(command, _)| *command != entry.command);
    let ours = |line: &String| OTHERS_LOGS.iter().all(|(part, _)| !line.contains(part));
    let logged = |entry: &&Entry| entry.log.iter().any(ours);
    let changes: [(&str, Change, usize); 3] = [
        ("the status", |entry| entry.status ^= 1, all.iter().filter(played).count()),
        ("the output", |entry| entry.output.insert(0, "more".into()), all.iter().filter(played).count()),
        (
            "the log",
            |entry| entry.log.iter_mut().for_each(|line| line.make_ascii_uppercase()),
            all.iter().filter(logged).count(),
        ),
    ];
    for (what, change, count) in changes {
        let mut entries = all.clone();
        // The commands stay what they are, so all answers can be changed at once.
        entries.iter_mut().for_each(change);
        let differences = play(&entries);
        for entry in all.iter().filter(|entry| played(entry) && (what != "the log" || logged(entry))) {
            let place = format!("line {}:", entry.line);
            assert!(
                differences.iter().any(|found| found.starts_with(&place)),
                "{place} {what} is not compared"
            );
        }
        println!("{count} times {what}");
    }
}
