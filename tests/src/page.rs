//! Pages of docs/ that tests write, when `UDM_WRITE_DOCS` is set.

use std::fs;
use std::path::Path;

/// Puts `table` between the lines `<!-- begin NAME -->` and `<!-- end NAME -->` of a page in docs/, and prints it anyway.
///
/// # Panics
/// When there is no such place in it.
pub fn write(page: &str, name: &str, table: &str) {
    println!("{table}");
    if std::env::var_os("UDM_WRITE_DOCS").is_none() {
        return;
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(page);
    let text = fs::read_to_string(&path).expect("a page");
    let (begin, end) = (format!("<!-- begin {name} -->\n"), format!("<!-- end {name} -->"));
    let (before, rest) = text.split_once(&begin).expect("the line before the table");
    let (_, after) = rest.split_once(&end).expect("the line behind it");
    fs::write(&path, format!("{before}{begin}{table}{end}{after}")).expect("a page that can be written");
}

/// The same, for a page that is in the program as `text`: it must say so already.
///
/// # Panics
/// When it says something else.
pub fn hold(page: &str, name: &str, table: &str, text: &str) {
    write(page, name, table);
    let is_there = text.contains(&format!("<!-- begin {name} -->\n{table}<!-- end {name} -->"));
    let is_written = std::env::var_os("UDM_WRITE_DOCS").is_some();
    assert!(is_there || is_written, "docs/{page} says something else: UDM_WRITE_DOCS=1 brings it up to date");
}
