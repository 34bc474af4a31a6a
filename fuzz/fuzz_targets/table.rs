//! Tables in dmsetup's syntax, with the targets of the program: whatever the text, reading it ends with a table or an error that can be shown, and a
//! table that is printed and read again is the same table.
#![no_main]

use libfuzzer_sys::fuzz_target;
use udm_dm::table::{ShowKeys, Table};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let table = match Table::parse_with(udm_targets::all(), text) {
        Ok(table) => table,
        Err(error) => {
            // The story for a person quotes the text and marks a column in it, which must fall between characters.
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    let printed = table.to_text(ShowKeys::Shown);
    match Table::parse_with(udm_targets::all(), &printed) {
        Ok(again) => {
            assert!(again == table, "read, printed and read again, this table is another");
            assert_eq!(again.to_text(ShowKeys::Shown), printed, "printing is not stable");
        }
        Err(error) => panic!("a printed table cannot be read:\n{error}"),
    }
    let hidden = table.to_text(ShowKeys::Hidden);
    assert_eq!(hidden.lines().count(), printed.lines().count(), "hiding the keys changes the rows");
});
