//! Rows, lines and messages. The oracle for whole crypt rows is the kernel, in `crates/dm/tests/kernel_lines.rs`; for
//! dmsetup's own syntax it is dmsetup's manual and behaviour.

use udm_block::{Sector, Sectors};

use super::{MAX_SECTORS, Row, ShowKeys, Table, TableError, TableErrorKind};
use crate::targets::crypt::params::CryptSpec;
use crate::targets::linear::LinearSpec;
use crate::targets::zero::ZeroSpec;

const KEY: &str = "0112233445566778899aabbccddeef00112233445566778899aabbccddeeff10";

fn parse(text: &str) -> Table {
    Table::parse(text).unwrap_or_else(|error| panic!("{text:?}\n{error}"))
}

#[track_caller]
fn refused(text: &str, kind: TableErrorKind, line: usize, column: usize) -> TableError {
    let error = Table::parse(text).expect_err(text);
    assert_eq!((error.kind(), error.line(), error.column()), (kind, line, column), "{error}");
    error
}

#[test]
fn lines_and_comments_are_cut_as_dmsetup_cuts_them() {
    let table = parse(
        "\n # a comment\r\n\t0 8\tlinear  /dev/a 16 # another\r\n\n8 8 zero\n16 8 error#x\n"
            .replace("error#x", "error #x")
            .as_str(),
    );
    let linear = table.rows[0].target.downcast_ref::<LinearSpec>().expect("a linear row");
    assert_eq!((linear.device.name.as_str(), linear.device.start), ("/dev/a", Sector(16)));
    let names: Vec<_> = table.rows.iter().map(|row| row.target.name()).collect();
    assert_eq!(names, ["linear", "zero", "error"]);
    assert_eq!(table.sectors(), Sectors(24));
    assert_eq!(table.to_string(), "0 8 linear /dev/a 16\n8 8 zero\n16 8 error\n");
    // A comment begins within an argument too, but not within the words that dmsetup reads with sscanf.
    assert_eq!(parse("0 8 linear a 1#2").rows, parse("0 8 linear a 1").rows);
    refused("0 8 linear a#b 1", TableErrorKind::Words, 1, 12);
    refused("0 8 zero#x", TableErrorKind::Unknown, 1, 5);
}

#[test]
fn a_backslash_takes_the_next_character_as_it_is() {
    let text = r"0 8 linear /a\ b\\c\#\d 0";
    let table = parse(text);
    assert_eq!(table.rows[0].devices()[0].name, r"/a b\c#d");
    assert_eq!(table.rows[0].to_string(), r"0 8 linear /a\ b\\c\#d 0");
    assert_eq!(parse(&table.to_string()), table);
    assert_eq!(parse(r"0 8 linear a\é\漢 0").rows[0].devices()[0].name, "aé漢");
    // A last one stands for itself.
    refused(r"0 8 linear a\ 0\", TableErrorKind::Words, 1, 12);
}

#[test]
fn rows_follow_on_one_another() {
    let zero = |start: u64, length: u64| format!("{start} {length} zero\n");
    parse(&(zero(0, 8) + &zero(8, 1)));
    let error = refused(&zero(8, 8), TableErrorKind::Layout, 1, 1);
    assert!(error.message().contains("first row"), "{error}");
    let error = refused(&(zero(0, 8) + &zero(9, 8)), TableErrorKind::Layout, 2, 1);
    assert_eq!(
        error.message(),
        "row 2 begins at sector 9, but row 1 (line 1) ends at 8: no row has the 1 sector between them"
    );
    let error = refused(&(zero(0, 8) + "\n" + &zero(8, 8) + &zero(7, 8)), TableErrorKind::Layout, 4, 1);
    assert_eq!(error.message(), "row 3 begins at sector 7, but row 2 (line 3) ends at 16: they overlap");
    refused(&zero(0, 0), TableErrorKind::Layout, 1, 3);
    parse(&zero(0, MAX_SECTORS));
    refused(&zero(0, MAX_SECTORS + 1), TableErrorKind::Layout, 1, 3);
    refused(&zero(u64::MAX, u64::MAX), TableErrorKind::Layout, 1, 22);
    refused(&format!("0 2 linear a {}", MAX_SECTORS - 1), TableErrorKind::Layout, 1, 14);
    refused("", TableErrorKind::Words, 1, 1);
    refused("# nothing\n\n", TableErrorKind::Words, 1, 1);
}

#[test]
fn rows_without_a_text_are_checked_too() {
    let row = |start, length| Row::new(Sector(start), Sectors(length), ZeroSpec);
    assert_eq!(Table::new(vec![row(0, 8), row(8, 8)]).expect("in order"), parse("0 8 zero\n8 8 zero"));
    for rows in
        [vec![], vec![row(0, 8), row(9, 8)], vec![row(0, 0)], vec![row(u64::MAX, 8)], vec![row(0, u64::MAX)]]
    {
        let error = Table::new(rows).expect_err("out of order");
        assert!(error.line() == 1, "{error}");
    }
}

#[test]
fn targets_are_looked_up_by_name() {
    for (target, kind, hint) in [
        ("verity", TableErrorKind::Missing, "it has linear, zero, error and crypt"),
        ("thin-pool", TableErrorKind::Missing, "it has"),
        ("crpyt", TableErrorKind::Unknown, "try crypt"),
        ("Linear", TableErrorKind::Unknown, "try linear"),
        ("nonsense", TableErrorKind::Unknown, "use linear"),
    ] {
        let error = refused(&format!("0 8 {target} x"), kind, 1, 5);
        assert!(error.hint().starts_with(hint), "{error}");
    }
    refused("0 8 zero x", TableErrorKind::Words, 1, 10);
    refused("0 8 error x", TableErrorKind::Words, 1, 11);
    refused("0 8 linear a", TableErrorKind::Words, 1, 12);
    refused("0 8 linear a 0 b", TableErrorKind::Words, 1, 16);
    refused("0 8 linear a\0 0", TableErrorKind::Device, 1, 12);
    refused("0 8", TableErrorKind::Words, 1, 3);
    for number in ["-1", "+1", "0x1", "1.5", "18446744073709551616", "٣"] {
        refused(&format!("0 {number} zero"), TableErrorKind::Number, 1, 3);
    }
}

#[test]
fn a_message_shows_the_line_and_what_would_do() {
    let error = refused(
        &format!("0 8 zero\n8 8 crypt aes-cbc-plain46 {KEY} 0 /dev/sda 0"),
        TableErrorKind::Unknown,
        2,
        19,
    );
    assert_eq!(
        error.to_string(),
        "table line 2, column 19: IV mode \"plain46\" is not known\n\
         \x20 8 8 crypt aes-cbc-plain46 <key> 0 /dev/sda 0\n\
         \x20                   ^^^^^^^ try plain64"
    );
    let error =
        refused(&format!("0 8 crypt aes-cbc-plain {KEY} x10 /dev/sda 0"), TableErrorKind::Number, 1, 90);
    assert_eq!(
        error.to_string(),
        "table line 1, column 90: iv_offset \"x10\" is not a number\n\
         \x20 0 8 crypt aes-cbc-plain <key> x10 /dev/sda 0\n\
         \x20                               ^^^ give a decimal number, digits only"
    );
    let error = refused(&format!("0 8 crypt aes-cbc-plain {KEY}00 0 /dev/sda 0"), TableErrorKind::Key, 1, 25);
    assert_eq!(
        error.to_string(),
        "table line 1, column 25: the key has 33 bytes (66 hex digits), which cbc(aes) does not take\n\
         \x20 0 8 crypt aes-cbc-plain <key> 0 /dev/sda 0\n\
         \x20                         ^^^^^ give 16, 24 or 32 bytes (32, 48 or 64 hex digits)"
    );
}

#[test]
fn a_long_line_is_cut_around_the_place() {
    let device = "/very/long".repeat(40);
    let error = refused(&format!("0 8 linear {device} x8"), TableErrorKind::Number, 1, 413);
    let lines: Vec<_> = error.to_string().lines().map(str::to_owned).collect();
    assert_eq!(lines[1].len(), 2 + 3 + 100, "{error}");
    assert!(lines[1].starts_with("  ...") && lines[1].ends_with(" x8"), "{error}");
    assert_eq!(lines[2].find("^^"), lines[1].find("x8"), "{error}");
    let error = refused(&format!("x 8 linear {device} 8"), TableErrorKind::Number, 1, 1);
    assert!(
        error.to_string().contains("\n  x 8 linear /very") && error.to_string().contains("...\n  ^ give"),
        "{error}"
    );
    let error = refused(&format!("0 8 linear {device}"), TableErrorKind::Words, 1, 12);
    assert!(error.to_string().lines().all(|line| line.len() < 160), "{error}");
}

#[test]
fn a_message_has_nothing_that_a_terminal_obeys() {
    let error = refused("0 8 \x1b[31mzero\u{202e}\tx", TableErrorKind::Unknown, 1, 5);
    let text = error.to_string();
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()) && !text.contains('\u{202e}'), "{text:?}");
    assert!(text.contains(r"\u{1b}[31mzero\u{202e}"), "{text}");
}

#[test]
fn a_key_is_masked_wherever_it_stands() {
    for text in [
        format!("0 8 crypt {KEY} aes-cbc-plain64 0 /dev/sda 0"),
        format!("0 8 crypt aes-cbc-plain64 0 {KEY} /dev/sda 0"),
        format!("0 8 crypt aes-cbc-plain64{KEY} 0 /dev/sda 0"),
        format!("0 8 crpyt aes-cbc-plain64 {KEY} 0 /dev/sda 0"),
        format!("{KEY} 8 crypt aes-cbc-plain64 0 /dev/sda 0"),
        format!("0 8 {KEY}"),
        format!("0 8 crypt aes-cbc-plain64 {KEY}0 0 /dev/sda 0"),
        format!("0 8 crypt aes-cbc-plain64 {KEY} 0 /dev/sda 0 {KEY}"),
        format!("0 8 crypt aes-cbc-plain64 {KEY} 0 /dev/sda 0 1 {KEY}"),
    ] {
        let error = Table::parse(&text).expect_err(&text);
        for shown in [error.to_string(), format!("{error:?}"), error.found().to_owned()] {
            assert!(!shown.contains(&KEY[..16]) && !shown.contains(&KEY[40..56]), "{shown}");
        }
    }
    // The bad twin: what is masked is the key, not every long word.
    let error =
        Table::parse("0 8 crypt aes-cbc-plain64 - 12345678901234567890x /dev/sda 0").expect_err("no key");
    assert!(error.to_string().contains("12345678901234567890x"), "{error}");
    // A disk's own name may have as many digits as a short key.
    let disk = "/dev/disk/by-id/wwn-0x5002538d40b0c5e15002538d40b0c5e1";
    let error = Table::parse(&format!("0 8 linear {disk} x")).expect_err("no number");
    assert!(error.to_string().contains(disk), "{error}");
    // A secret that is not hex is masked where the key belongs.
    let error = Table::parse("0 8 crypt aes-cbc-plain64 s3cret 0 /dev/sda 0").expect_err("no hex");
    assert!(!error.to_string().contains("s3c"), "{error}");
}

#[test]
fn an_option_is_checked_with_the_row() {
    let row = |tail: &str| format!("0 16 crypt aes-cbc-plain64 {KEY} 0 /dev/sda 0 {tail}");
    let at = row("").len() + 1;
    for (tail, kind, column, hint) in [
        ("1 sector_size:5000", TableErrorKind::Option, at + 14, "512, 1024"),
        ("1 sectorsize:4096", TableErrorKind::Unknown, at + 2, "sector_size:<bytes>"),
        ("1 allow_discard", TableErrorKind::Unknown, at + 2, "try allow_discards"),
        ("allow_discards", TableErrorKind::Number, at, "before them: 1"),
        ("2 allow_discards", TableErrorKind::Option, at, "write 1"),
        ("1 allow_discards same_cpu_crypt", TableErrorKind::Option, at, "write 2"),
        ("2 allow_discards ALLOW_DISCARDS", TableErrorKind::Option, at + 17, "leave one out"),
        ("1 integrity:28:aead", TableErrorKind::Missing, at + 2, "leave it out"),
        ("1 integrity:28", TableErrorKind::Option, at + 2, "integrity:<bytes"),
        ("1 integrity_key_size:0", TableErrorKind::Option, at + 21, "from 1"),
    ] {
        let error = refused(&row(tail), kind, 1, column);
        assert!(error.hint().contains(hint), "{error}");
    }
    let aligned = row("1 sector_size:4096");
    let error = refused(&aligned.replace("0 16 crypt", "0 12 crypt"), TableErrorKind::Alignment, 1, 3);
    assert_eq!(error.hint(), "write a multiple of 8, or a smaller sector_size");
    refused(&aligned.replace("/dev/sda 0", "/dev/sda 4"), TableErrorKind::Alignment, 1, 104);
    refused(&aligned.replace(" 0 /dev", " 4 /dev"), TableErrorKind::Alignment, 1, 93);
    refused(
        &format!("0 4 zero\n{}", aligned.replace("0 16 crypt", "4 16 crypt")),
        TableErrorKind::Alignment,
        2,
        1,
    );
}

#[test]
fn what_is_found_later_has_a_place_to_point_at() {
    let table = parse(&format!("0 8 linear a 5\n8 8 crypt aes-cbc-plain64 {KEY} 0 b 7"));
    let columns = |row: &Row| [0, 1, 3, 4].map(|index| row.places().arg(index).column());
    assert_eq!(columns(&table.rows[0]), [12, 14, 14, 14]);
    assert_eq!(columns(&table.rows[1]), [11, 27, 94, 96]);
    let crypt = table.rows[1].target.downcast_ref::<CryptSpec>().expect("a crypt row");
    let made = Row::new(Sector(8), Sectors(8), crypt.clone());
    assert_eq!(columns(&made), columns(&table.rows[1]));
    assert_eq!(made.to_line(ShowKeys::Shown), table.rows[1].to_line(ShowKeys::Shown));
}
