//! Every command under every bad condition. What must hold in each cell stands in `docs/conditions.md`, which this holds to
//! what was found, and in `tests/src/conditions/` as code. Prompts are the matter of `prompts.rs`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use udm_tests::conditions::place::Place;
use udm_tests::conditions::rows::{Effect, ROWS, Row};
use udm_tests::conditions::{Cells, Condition, Ordinary, Run, Verdict, run};
use udm_tests::page;
use udm_tests::program::{self, path};

/// How exactly the least memory is looked for, in KiB.
const STEP: u64 = 256;
/// How many amounts of memory are tried between the least for anything and the least that a command needs.
const BETWEEN: u64 = 4;
/// What takes longest: all cipher drivers are tested.
const SLOW: [&str; 1] = ["ciphers"];
/// The conditions that are the same for all commands, but for memory and signals, and how a disk is full.
const CONDITIONS: [(&str, &[Condition]); 10] = [
    ("stdin closed", &[Condition::Closed(0)]),
    ("stdout closed", &[Condition::Closed(1)]),
    ("stderr closed", &[Condition::Closed(2)]),
    ("all closed", &[Condition::AllClosed]),
    ("stdout unread", &[Condition::Unread(1)]),
    ("stderr unread", &[Condition::Unread(2)]),
    ("stdout full", &[Condition::Full(1)]),
    ("stderr full", &[Condition::Full(2)]),
    ("both full", &[Condition::BothFull]),
    ("disk full", &[Condition::DiskFull(0), Condition::DiskFull(16 << 10)]),
];

/// The commands that a help text lists.
fn listed(words: &[&str]) -> Vec<String> {
    let output = program::run([&["help"], words].concat());
    let text = String::from_utf8(output.stdout).unwrap();
    let behind = text.lines().skip_while(|line| *line != "Commands:").skip(1);
    let lines = behind.take_while(|line| !line.is_empty());
    let names = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

/// All commands without commands of their own, as help lists them.
fn commands(words: &[&str]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for name in listed(words) {
        let below = [words, &[&*name]].concat();
        if name == "help" {
            // Each has one, which is the same.
            found.extend(words.is_empty().then_some(name));
        } else if listed(&below).is_empty() {
            found.insert(below.join(" "));
        } else {
            found.extend(commands(&below));
        }
    }
    found
}

#[test]
fn every_command_has_a_row() {
    let rows: BTreeSet<String> = ROWS.iter().map(|row| row.name.to_owned()).collect();
    assert_eq!(rows, commands(&[]));
    assert!(rows.len() == ROWS.len() && rows.contains("luks token export"), "{rows:?}");
}

/// The least address space in which the program comes as far as its own code, in KiB: below that the loader fails.
fn least_at_all() -> u64 {
    let folder = tempfile::tempdir().unwrap();
    let (program, words) = (path(), ["--version".to_owned()]);
    let program = [program.to_str().unwrap()];
    let limit = Duration::from_secs(30);
    let what = Run { program: &program, words: &words, temporary: folder.path(), socket: None, limit };
    let runs = |kib| run(what, Condition::Memory(kib)).status.is_some_and(|status| status.success());
    let (mut fails, mut suffices) = (1024, 256 << 10);
    assert!(runs(suffices) && !runs(fails));
    while suffices - fails > 16 {
        let kib = fails.midpoint(suffices);
        *if runs(kib) { &mut suffices } else { &mut fails } = kib;
    }
    suffices
}

/// Judges a command with all amounts of memory that the search for the least comes to, and some below: that least, in KiB.
fn memory(cells: &mut Cells<'_>, ordinary: &Ordinary, least: u64) -> Result<u64, String> {
    let mut suffices = |kib| Ok::<_, String>(cells.cell(Condition::Memory(kib), ordinary)? == Verdict::Done);
    if suffices(least)? {
        return Ok(least);
    }
    let (mut fails, mut enough) = (least, 2 * least);
    while !suffices(enough)? {
        (fails, enough) = (enough, 2 * enough);
    }
    while enough - fails > STEP {
        let kib = fails.midpoint(enough);
        *if suffices(kib)? { &mut enough } else { &mut fails } = kib;
    }
    for part in 1..=BETWEEN {
        suffices(least + (enough - least) * part / (BETWEEN + 1))?;
    }
    Ok(enough)
}

/// Sends each signal at several times: what the page says, and how many came before the end.
fn signals(cells: &mut Cells<'_>, ordinary: &Ordinary) -> Result<(&'static str, usize), String> {
    let mut came = 0;
    let is_server = matches!(cells.row.effect, Effect::Serves);
    for signal in [Signal::HUP, Signal::INT, Signal::TERM] {
        for part in if SLOW.contains(&cells.row.name) { &[5][..] } else { &[3, 6, 9] } {
            let verdict = cells.cell(Condition::Signal(signal, ordinary.took * *part / 10), ordinary)?;
            if is_server && verdict != Verdict::Done {
                return Err(format!("a server ends by {signal:?} with {verdict:?}"));
            }
            came += usize::from(verdict != Verdict::Done);
        }
    }
    Ok((if is_server { "stops, and exits with 0" } else { "dies by it" }, came))
}

fn text(verdict: Verdict) -> String {
    match verdict {
        Verdict::Done => "done".into(),
        Verdict::Error(status) => format!("error {status}"),
        Verdict::Dies(signal) if signal == Signal::PIPE.as_raw() => "SIGPIPE".into(),
        Verdict::Dies(signal) => format!("signal {signal}"),
    }
}

/// The row of the page, and how many signals came before a command's end.
fn judged(row: &Row, place: &mut Place, least: u64) -> Result<(String, usize), String> {
    let program = path();
    let program = [program.to_str().unwrap()];
    let mut cells = Cells::new(row, place, &program);
    let ordinary = cells.ordinary().map_err(|why| format!("udm {} by itself: {why}", row.name))?;
    let mut line = format!("| {} |", row.name);
    let mut faults = Vec::new();
    let enough = memory(&mut cells, &ordinary, least).unwrap_or_else(|fault| {
        faults.push(fault);
        0
    });
    println!("{}: {enough} KiB suffice, {:?}", row.name, ordinary.took);
    line += " error or done |";
    for (_, conditions) in CONDITIONS {
        let mut worst = Verdict::Done;
        for condition in conditions {
            match cells.cell(*condition, &ordinary) {
                Ok(Verdict::Done) => {}
                Ok(other) => worst = other,
                Err(fault) => faults.push(fault),
            }
        }
        let _ = write!(line, " {} |", text(worst));
    }
    let (told, came) = signals(&mut cells, &ordinary).unwrap_or_else(|fault| {
        faults.push(fault);
        ("", 0)
    });
    let _ = writeln!(line, " {told} |");
    if faults.is_empty() { Ok((line, came)) } else { Err(faults.join("\n")) }
}

#[test]
fn no_command_panics_hangs_lies_or_loses_anything() {
    let least = least_at_all();
    println!("{least} KiB suffice for udm --version");
    let (next, results) = (AtomicUsize::new(0), Mutex::new(vec![None; ROWS.len()]));
    // What takes longest goes first.
    let mut order: Vec<usize> = (0..ROWS.len()).collect();
    order.sort_by_key(|at| !SLOW.contains(&ROWS[*at].name));
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut place = Place::new();
                while let Some(at) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = judged(&ROWS[*at], &mut place, least);
                    results.lock().unwrap()[*at] = Some(result);
                }
            });
        }
    });
    let results: Vec<_> = results.into_inner().unwrap().into_iter().map(Option::unwrap).collect();
    let faults: Vec<&str> =
        results.iter().filter_map(|result| result.as_ref().err()).map(String::as_str).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let mut table = "| command | little memory |".to_owned();
    for (name, _) in CONDITIONS {
        let _ = write!(table, " {name} |");
    }
    let _ = writeln!(table, " signal |\n|{}", "---|".repeat(CONDITIONS.len() + 3));
    let mut came = 0;
    for (line, signals) in results.into_iter().flatten() {
        table += &line;
        came += signals;
    }
    // A signal that comes after the end shows nothing.
    println!("{came} signals of {} came before the end", ROWS.len() * 9);
    assert!(came > ROWS.len() * 9 / 3, "most signals came too late");
    page::hold("conditions.md", "conditions", &table, include_str!("../../docs/conditions.md"));
}

/// Programs that are as bad as can be, and what is said of each. The last one is good.
const TWINS: [(&str, &str); 12] = [
    ("kill -ABRT $$", "dies by signal 6"),
    ("kill -SEGV $$", "dies by signal 11"),
    ("kill -TERM $$", "dies by signal 15"),
    ("exit 101", "exit status is Some(101)"),
    ("exit 134", "exit status is Some(134)"),
    ("echo \"thread 'main' panicked\" >&2; exit 1", "it panics"),
    ("exec sleep 60", "it hangs"),
    ("exit 1", "one sentence"),
    ("echo 'udm: one' >&2; echo 'udm: two' >&2; exit 1", "one sentence"),
    ("exit 0", "nothing was done"),
    ("echo x >\"$3\"; echo 'udm: no' >&2; exit 1", "something is lost"),
    ("echo 'udm: log' >>\"$3\"; exit 0", "a message is in the file"),
];

#[test]
fn bad_programs_are_found_out() {
    let mut place = Place::new();
    let find = |name: &str| ROWS.iter().find(|row| row.name == name).unwrap();
    let real = path();
    let real = real.to_str().unwrap();
    let row = find("luks config");
    let ordinary = Cells::new(row, &mut place, &[real]).ordinary().unwrap();
    for (script, fault) in TWINS {
        let program = ["sh", "-c", script, "sh"];
        let mut cells = Cells::new(row, &mut place, &program);
        // The others end, however long a busy machine takes for them.
        if fault == "it hangs" {
            cells.limit = Duration::from_millis(300);
        }
        let found = cells.cell(Condition::Ordinary, &ordinary).unwrap_err();
        assert!(found.contains(fault), "{script}: {found}");
    }
    let program = [real];
    let mut good = Cells::new(row, &mut place, &program);
    assert_eq!(good.cell(Condition::Ordinary, &ordinary), Ok(Verdict::Done));
    // What is printed and lost, what is half made, and what is changed though it is none of the command's.
    for (name, script, condition, fault) in [
        ("luks uuid", "exit 0", Condition::Full(1), "its output is lost"),
        ("luks uuid", "exit 0", Condition::Ordinary, "not all of its output"),
        ("luks uuid", "echo >>\"$3\"; exit 0", Condition::Ordinary, "the file image was changed"),
        ("luks header-backup", "echo half >\"$5\"; exit 0", Condition::Ordinary, "not whole"),
        ("luks header-backup", "echo >\"$TMPDIR/left\"; exit 0", Condition::Ordinary, "temporary files"),
    ] {
        let row = find(name);
        let ordinary = Cells::new(row, &mut place, &[real]).ordinary().unwrap();
        let program = ["sh", "-c", script, "sh"];
        let found = Cells::new(row, &mut place, &program).cell(condition, &ordinary).unwrap_err();
        assert!(found.contains(fault), "{name}, {script}: {found}");
    }
}
