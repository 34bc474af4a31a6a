//! One row of a table: what it maps, and to what.

use std::fmt;
use std::fmt::Write as _;
use std::sync::Arc;

use udm_block::{Sector, Sectors};
use udm_crypto::spec::nearest;

use super::args::{Args, MAX_SECTORS};
use super::error::{Fault, TableError, TableErrorKind, reason};
use super::names::TARGETS;
use super::place::{TextPlace, shown};
use super::word::{HEAD_WORDS, Word, printed};
use super::writer::{ArgWriter, ShowKeys};
use crate::targets::{DeviceArg, TargetSpec, TargetType, TargetTypes};

/// A row of a table: `<start> <length> <target> <args>`.
#[derive(Clone)]
pub struct Row {
    /// Where it begins in the mapped device.
    pub start: Sector,
    /// How many sectors of it there are.
    pub length: Sectors,
    /// What they are mapped to.
    pub target: Arc<dyn TargetSpec>,
    places: RowPlaces,
}

/// Where the words of a row stand, for an error that is found when its devices are opened.
#[derive(Clone, Debug)]
pub struct RowPlaces(Box<[TextPlace]>);

impl Row {
    /// A row that no text was written for. Its places are those of the line that it prints as.
    pub fn new(start: Sector, length: Sectors, target: impl TargetSpec) -> Self {
        Self::of(start, length, Arc::new(target))
    }

    fn of(start: Sector, length: Sectors, target: Arc<dyn TargetSpec>) -> Self {
        let line = RowText { start, length, target: &*target, keys: ShowKeys::Hidden }.to_string();
        let places = RowPlaces::new(&printed(target.target_type(), &line));
        Self { start, length, target, places }
    }

    /// The same row with another target, whose words stand in the same places.
    #[must_use]
    pub(crate) fn with_target(&self, target: impl TargetSpec) -> Self {
        Self { target: Arc::new(target), places: self.places.clone(), ..*self }
    }

    /// Reads the words of one row.
    pub(super) fn parse(types: &TargetTypes, words: &[Word<'_>]) -> Result<Self, TableError> {
        let [start_word, length_word, target_word, ..] = words else {
            let last = words.last().expect("a row has at least one word");
            let found = format!("{} of {HEAD_WORDS} words", words.len());
            let message = format!("a row needs a start, a length and a target: {found} are there");
            let hint = "write <start> <length> <target> <arguments>, the first two in sectors of 512 bytes";
            return Err(last.fault(Fault::new(TableErrorKind::Words, message, found, hint)));
        };
        let start = Sector(start_word.number("the row's start", None)?);
        let length = Sectors(length_word.number("the row's length", None)?);
        check_extent(start, length).map_err(|fault| length_word.fault(fault))?;
        let Some(known) = types.find(target_word) else {
            return Err(target_word.fault(no_such_target(types, target_word)));
        };
        let target = known.parse(&Args::new(words, start, length))?.into();
        Ok(Self { start, length, target, places: RowPlaces::new(words) })
    }

    /// Where the row's words stand, for an error that is found later.
    pub fn places(&self) -> &RowPlaces {
        &self.places
    }

    /// Where the row ends.
    ///
    /// # Panics
    /// Where it ends past 2^64 sectors, which no row of a [`Table`](super::Table) does.
    pub fn end(&self) -> Sector {
        self.start.checked_add(self.length).expect("a row's end was checked")
    }

    /// The devices that the target names.
    pub fn devices(&self) -> &[DeviceArg] {
        self.target.devices()
    }

    /// The row as `dmsetup table` prints it, without the space that it puts after a target that has no arguments.
    /// With keys shown, the string is as secret as they are, and the only copy.
    pub fn to_line(&self, keys: ShowKeys) -> String {
        in_one_buffer(&self.text(keys))
    }

    pub(super) fn text(&self, keys: ShowKeys) -> impl fmt::Display {
        RowText { start: self.start, length: self.length, target: &*self.target, keys }
    }
}

/// Places do not count: two rows are equal where they map the same to the same.
impl PartialEq for Row {
    fn eq(&self, other: &Self) -> bool {
        (self.start, self.length) == (other.start, other.length) && self.target.equals(&*other.target)
    }
}

impl Eq for Row {}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Row({self})")
    }
}

/// The row with its keys hidden.
impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_line(ShowKeys::Hidden))
    }
}

/// A row on its way to text.
struct RowText<'a> {
    start: Sector,
    length: Sectors,
    target: &'a dyn TargetSpec,
    keys: ShowKeys,
}

impl fmt::Display for RowText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.start, self.length, self.target.name())?;
        self.target.write(&mut ArgWriter::new(f, self.keys, self.target.target_type().secret_args()))
    }
}

impl RowPlaces {
    fn new(words: &[Word<'_>]) -> Self {
        Self(words.iter().map(Word::place).collect())
    }

    /// Of the row's start.
    pub fn start(&self) -> &TextPlace {
        self.word(0)
    }

    /// Of the row's length.
    pub fn length(&self) -> &TextPlace {
        self.word(1)
    }

    /// Of the target's name.
    pub fn target(&self) -> &TextPlace {
        self.word(2)
    }

    /// Of an argument, counted from 0; of the row's last word where there is no such argument.
    pub fn arg(&self, index: usize) -> &TextPlace {
        self.word(HEAD_WORDS + index)
    }

    fn word(&self, index: usize) -> &TextPlace {
        self.0.get(index).or(self.0.last()).expect("a row has words")
    }
}

/// `text` as a string that never grew: a buffer that does leaves pieces of keys behind in smaller ones.
pub(super) fn in_one_buffer(text: &impl fmt::Display) -> String {
    /// Counts what is written.
    struct Length(usize);
    impl fmt::Write for Length {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0 += text.len();
            Ok(())
        }
    }
    let mut length = Length(0);
    let _ = write!(length, "{text}");
    let mut line = String::with_capacity(length.0);
    let _ = write!(line, "{text}");
    line
}

/// Checks that a row has a length, and ends where a device can.
pub(super) fn check_extent(start: Sector, length: Sectors) -> Result<(), Fault> {
    if length.0 == 0 {
        let hint = "write how many sectors of 512 bytes it has, from 1";
        let fault = Fault::new(TableErrorKind::Layout, "the row's length is 0", "0", hint);
        return Err(fault.with_kernel(reason::ZERO_LENGTH));
    }
    if start.checked_add(length).is_some_and(|end| end.0 <= MAX_SECTORS) {
        return Ok(());
    }
    let message = format!(
        "the row from sector {start} on, of length {length}, ends past 2^54, where every device ends"
    );
    let hint = match MAX_SECTORS.checked_sub(start.0) {
        Some(most) if most > 0 => format!("write at most {most}"),
        _ => "begin the row before sector 2^54 (18014398509481984)".into(),
    };
    Err(Fault::new(TableErrorKind::Layout, message, length.to_string(), hint))
}

/// The fault of a target that `types` do not have, or nobody has.
fn no_such_target(types: &TargetTypes, name: &str) -> Fault {
    let found = shown(name);
    let ours: Vec<_> = types.iter().map(TargetType::name).collect();
    if TARGETS.contains(&name) {
        let message = format!("udm does not have the target {found} yet");
        let hint = format!("it has {}", all_of(&ours, "and"));
        return Fault::new(TableErrorKind::Missing, message, found, hint);
    }
    let hint = nearest(name, ours.iter().chain(TARGETS).copied())
        .map_or_else(|| format!("use {}", all_of(&ours, "or")), |near| format!("try {near}"));
    let message = format!("target {found} is not known");
    Fault::new(TableErrorKind::Unknown, message, found, hint).with_kernel(reason::TARGET)
}

/// The names in one sentence: `a, b and c`.
fn all_of(names: &[&str], before_last: &str) -> String {
    match names {
        [] => "no target".into(),
        [only] => (*only).into(),
        [first @ .., last] => format!("{} {before_last} {last}", first.join(", ")),
    }
}
