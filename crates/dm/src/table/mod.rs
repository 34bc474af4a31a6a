//! The table language, which is dmsetup's: what a mapped device is made of, one row after another.
//!
//! A row is `<start> <length> <target> <arguments>`, the numbers in sectors of 512 bytes; each row begins where the
//! one before it ends. [`Table::parse`] checks all that can be known without opening a device. What a device
//! must be (there, large enough, aligned) is for whoever opens it: [`Row::places`] says where to point then, and
//! [`Fault`] with [`TableError::new`] makes the error.
//!
//! ```
//! use udm_dm::table::Table;
//! use udm_dm::targets::crypt::params::CryptSpec;
//!
//! let table = Table::parse("
//!     ## the first MiB is as it is
//!     0    2048 linear disk.img 0
//!     2048 2048 crypt  aes-xts-plain64 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f 0 disk.img 2048
//! ")?;
//! assert_eq!(table.sectors().0, 4096);
//! let crypt = table.rows[1].target.downcast_ref::<CryptSpec>().expect("a crypt row");
//! assert_eq!(crypt.cipher.algorithm.to_string(), "xts(aes)");
//! # Ok::<(), udm_dm::table::TableError>(())
//! ```
//!
//! What a target's arguments mean, its [`TargetType`](crate::targets::TargetType) says. [`Table::parse`] knows those of
//! this crate, [`Table::parse_with`] those that it is given.
//!
//! Where udm and the kernel differ, `docs/differences.md` says so and why.

mod args;
mod error;
mod names;
mod place;
mod row;
#[cfg(test)]
mod tests;
mod word;
mod writer;

use std::fmt;

use udm_block::{Sector, Sectors};

pub use args::{Args, MAX_SECTORS};
pub use error::{Fault, KernelReason, TableError, TableErrorKind, reason};
pub use names::counted;
pub use place::{TextPlace, shown};
pub use row::{Row, RowPlaces};
pub use word::{Word, number};
pub use writer::{ArgWriter, ShowKeys};

use crate::targets::TargetTypes;
use udm_block::stack;

/// A table: rows that follow on one another, the first from sector 0 on. There is at least one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Table {
    /// The rows in order.
    pub rows: Vec<Row>,
}

impl Table {
    /// Reads a table in dmsetup's syntax, whose targets are those of this crate.
    ///
    /// # Errors
    /// At the first thing that is wrong, from left to right and from the first line on, except that what a
    /// number must be a multiple of is looked at when its row has been read.
    pub fn parse(text: &str) -> Result<Self, TableError> {
        Self::parse_with(TargetTypes::builtin(), text)
    }

    /// The same, with targets of `types`.
    ///
    /// # Errors
    /// Those of [`Table::parse`].
    pub fn parse_with(types: &TargetTypes, text: &str) -> Result<Self, TableError> {
        stack::wiped(|| Self::read(types, text))
    }

    /// The same, with copies of keys on the stack.
    fn read(types: &TargetTypes, text: &str) -> Result<Self, TableError> {
        let rows = word::rows(types, text);
        if rows.is_empty() {
            return Err(TableError::new(TextPlace::begin_of(text), no_rows()));
        }
        let rows = rows.iter().map(|words| Row::parse(types, words)).collect::<Result<_, _>>()?;
        Self::new(rows)
    }

    /// A table of these rows.
    ///
    /// # Errors
    /// Where there is none, or one is empty, ends past [`MAX_SECTORS`], or does not begin where the one before it ends.
    pub fn new(rows: Vec<Row>) -> Result<Self, TableError> {
        if rows.is_empty() {
            return Err(TableError::new(TextPlace::begin_of(""), no_rows()));
        }
        let mut end = Sector(0);
        for (index, row) in rows.iter().enumerate() {
            row::check_extent(row.start, row.length)
                .map_err(|fault| TableError::new(row.places().length().clone(), fault))?;
            if row.start != end {
                let before = index.checked_sub(1).map(|before| &rows[before]);
                return Err(TableError::new(row.places().start().clone(), gap(index, row, before, end)));
            }
            end = row.end();
        }
        Ok(Self { rows })
    }

    /// The size of the mapped device.
    pub fn sectors(&self) -> Sectors {
        self.rows.last().map_or(Sectors(0), |row| row.end() - Sector(0))
    }

    /// The table as `dmsetup table` prints it, a line a row. With keys shown, the string is as secret as they are, and
    /// the only copy.
    pub fn to_text(&self, keys: ShowKeys) -> String {
        row::in_one_buffer(&Rows(&self.rows, keys))
    }

    /// Whether the key of a row was wiped.
    pub fn has_wiped_key(&self) -> bool {
        self.rows.iter().any(|row| row.target.is_key_wiped())
    }
}

/// The table with its keys hidden, a line a row.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_text(ShowKeys::Hidden))
    }
}

/// Rows on their way to text.
struct Rows<'a>(&'a [Row], ShowKeys);

impl fmt::Display for Rows<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|row| writeln!(f, "{}", row.text(self.1)))
    }
}

/// The fault of a table with nothing in it.
fn no_rows() -> Fault {
    let hint = "write a row: <start> <length> <target> <arguments>";
    let fault = Fault::new(TableErrorKind::Words, "the table has no row (found nothing)", "nothing", hint);
    fault.with_kernel(reason::NO_TARGETS)
}

/// The fault of row `index`, which does not begin at `end`, where the row `before` it ends.
fn gap(index: usize, row: &Row, before: Option<&Row>, end: Sector) -> Fault {
    let (number, start) = (index + 1, row.start);
    let message = match before {
        None => format!("the first row begins at sector {start}, not at 0"),
        Some(before) => {
            let line = before.places().start().line();
            let wrong = if start > end {
                format!("no row has the {} between them", counted((start - end).0, "sector"))
            } else {
                "they overlap".to_owned()
            };
            format!(
                "row {number} begins at sector {start}, but row {index} (line {line}) ends at {end}: {wrong}"
            )
        }
    };
    let hint = format!("write {end}, or put the rows in order and fill what no row maps with zero or error");
    let hint = if before.is_some() {
        hint
    } else {
        "write 0, or put a row before it (zero or error will do)".into()
    };
    Fault::new(TableErrorKind::Layout, message, start.to_string(), hint).with_kernel(reason::GAP)
}
