//! Malformed lines: each is refused with its place, what was found and what would do, or means what it prints.

use std::fs;
use std::path::Path;

use serde_json::Value;
use udm_dm::table::{ShowKeys, Table, TableError};

#[path = "../../../tests/src/mutate.rs"]
mod mutate;

use mutate::{SplitMix64, mutate};

const SEED: u64 = 0x7ab1_e0f5;
const MUTANTS: usize = 20_000;
/// In no place that it is moved to may a run of this many characters of it be seen.
const KEY: &str = "d1f0a9c83b7e6524d1e9b07fac5238649e2d7b10fc4a8563e07ac1d94b5f2863";
const SEEN: usize = 16;

fn good_lines() -> Vec<String> {
    let mut lines = vec![
        format!("0 2048 crypt aes-xts-plain64 {KEY} 0 /dev/sda 4096"),
        format!(
            "0 2048 crypt capi:xts(aes)-plain64be {KEY} 8 /dev/sda 4096 2 sector_size:4096 iv_large_sectors"
        ),
        format!("0 64 crypt aes:2-cbc-essiv:sha256 {KEY} 0 disk.img 0 1 allow_discards"),
        format!(
            "0 64 crypt capi:essiv(cbc(aes),sha3-256)-plain {KEY} 16 /dev/vda 8 3 no_read_workqueue no_write_workqueue same_cpu_crypt"
        ),
        "0 64 crypt aes-xts-plain64 :64:logon:volume:key 0 7:1 0".into(),
        "0 2048 linear /dev/sda 0\n2048 64 zero\n2112 8 error".into(),
        r"# two disks".to_owned() + "\n0 8 linear /my\\ disk 0 # the first\n\n8 8 linear /disk\\#2 8",
    ];
    lines.push(format!("0 16 zero\n16 16 crypt aes {KEY} 0 /dev/vda 0"));
    lines
}

/// Checks that the error can be shown to a person: it points into the text, and says what was found and would do.
fn check_error(text: &str, error: &TableError) {
    let line = text.split('\n').nth(error.line() - 1);
    let width = line.unwrap_or_else(|| panic!("line {} of {text:?}", error.line())).chars().count();
    assert!((1..=width.max(1)).contains(&error.column()), "column {} of {text:?}", error.column());
    let shown = error.to_string();
    assert!(!error.found().is_empty() && shown.contains(error.found()), "{text:?}\n{shown}");
    assert!(!error.hint().is_empty() && shown.contains(error.hint()), "{text:?}\n{shown}");
    assert!(shown.lines().nth(2).is_some_and(|carets| carets.contains('^')), "{text:?}\n{shown}");
    assert!(shown.chars().all(|c| c == '\n' || !c.is_control()), "{shown:?}");
    assert!(
        !(0..=KEY.len() - SEEN).any(|at| shown.contains(&KEY[at..at + SEEN])),
        "a key is shown:\n{shown}"
    );
}

/// Parses `text`, checks the outcome, and says whether it was refused.
fn refused(text: &str) -> bool {
    match Table::parse(text) {
        Ok(table) => {
            let printed = table.to_text(ShowKeys::Shown);
            let again = Table::parse(&printed)
                .unwrap_or_else(|error| panic!("{text:?} printed as\n{printed}{error}"));
            assert_eq!(again, table, "{text:?}");
            assert_eq!(again.to_text(ShowKeys::Shown), printed);
            false
        }
        Err(error) => {
            check_error(text, &error);
            true
        }
    }
}

#[test]
fn the_good_lines_are_good() {
    for line in good_lines() {
        Table::parse(&line).unwrap_or_else(|error| panic!("{error}"));
        assert!(!refused(&line));
    }
}

#[test]
fn malformed_lines_are_refused_with_their_place_or_mean_what_they_print() {
    println!("seed {SEED:#x}");
    let (good, mut random) = (good_lines(), SplitMix64::new(SEED));
    let mut mutant = || {
        let line = random.pick(&good).clone();
        mutate(&mut random, &line)
    };
    let count = (0..MUTANTS).filter(|_| refused(&mutant())).count();
    // A mutant may be good: a word more in a comment, another digit in a number.
    println!("{count} of {MUTANTS} mutants refused");
    assert!(count > MUTANTS / 2, "only {count} refused");
}

#[test]
fn lines_that_the_kernel_refused_are_refused_with_their_place() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/table-lines.json");
    let file: Value = serde_json::from_str(&fs::read_to_string(path).expect("the vectors")).expect("JSON");
    let lines = file["lines"].as_array().expect("a list").iter();
    let lines = lines.filter_map(|line| line["table"].as_str());
    let count = lines.filter(|line| refused(&line.replace("<dev>", "/dev/vda"))).count();
    println!("{count} lines refused");
    assert!(count >= 110, "only {count}");
}
