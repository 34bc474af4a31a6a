//! One row of a table: what it maps, and to what.

use std::fmt;
use std::fmt::Write as _;

use udm_block::{LONGEST_DEVICE, Sector, Sectors};
use udm_crypto::spec::nearest;

use super::error::{Fault, TableError, TableErrorKind, reason};
use super::names::{OURS, TARGETS, counted};
use super::place::{Place, shown};
use super::word::{HEAD_WORDS, Word, escape, rows};
use crate::targets::crypt::params::CryptSpec;

/// The most sectors of a device: 2^63 bytes, past which the kernel has no offsets.
pub const MAX_SECTORS: u64 = LONGEST_DEVICE.0;

/// A row of a table: `<start> <length> <target> <args>`.
#[derive(Clone)]
pub struct Row {
    /// Where it begins in the mapped device.
    pub start: Sector,
    /// How many sectors of it there are.
    pub length: Sectors,
    /// What they are mapped to.
    pub target: TargetSpec,
    places: RowPlaces,
}

/// A target with its parameters.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TargetSpec {
    /// The sectors of another device, from `start` on.
    Linear {
        /// The device, as the table names it.
        device: String,
        /// Where on it the row begins.
        start: Sector,
    },
    /// Reads as zeros, and writes go nowhere.
    Zero,
    /// Every read and write fails.
    Error,
    /// The sectors of another device, encrypted.
    Crypt(Box<CryptSpec>),
}

/// Where the words of a row stand that can turn out to be wrong when its device is opened.
#[derive(Clone, Debug)]
pub struct RowPlaces {
    /// The row's start.
    pub start: Place,
    /// The row's length.
    pub length: Place,
    /// The target's name.
    pub target: Place,
    /// The key of a crypt row.
    pub key: Option<Place>,
    /// The device, where the target has one.
    pub device: Option<Place>,
    /// The start on that device.
    pub device_start: Option<Place>,
}

/// Whether a printed key is to be read or not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ShowKeys {
    /// Keys are printed, as `dmsetup table --showkeys` does.
    Shown,
    /// Keys are printed as zeros of the same length, as `dmsetup table` does.
    Hidden,
}

impl Row {
    /// A row that no text was written for. Its places are those of the line that it prints as.
    pub fn new(start: Sector, length: Sectors, target: TargetSpec) -> Self {
        let line = RowText { start, length, target: &target, keys: ShowKeys::Hidden }.to_string();
        let words = rows(&line);
        // A device's name with a line feed prints as two lines; the place is then the first one's end.
        let words = words.first().map_or(&[][..], |words| words.as_slice());
        Self { start, length, places: RowPlaces::new(words, &target), target }
    }

    /// Reads the words of one row.
    pub(super) fn parse(words: &[Word<'_>]) -> Result<Self, TableError> {
        let [start_word, length_word, target_word, args @ ..] = words else {
            let last = words.last().expect("a row has at least one word");
            let found = format!("{} of {HEAD_WORDS} words", words.len());
            let message = format!("a row needs a start, a length and a target: {found} are there");
            let hint = "write <start> <length> <target> <arguments>, the first two in sectors of 512 bytes";
            return Err(last.fault(Fault::new(TableErrorKind::Words, message, found, hint)));
        };
        let start = Sector(start_word.number("the row's start", None)?);
        let length = Sectors(length_word.number("the row's length", None)?);
        check_extent(start, length).map_err(|fault| length_word.fault(fault))?;
        let target = match &**target_word {
            "linear" => linear(target_word, args, length)?,
            "zero" => no_arguments(args, "zero", TargetSpec::Zero).map_err(|(word, fault)| {
                // Only this target says so in the kernel; error takes words and does not look at them.
                word.fault(fault.with_kernel(reason::NO_ARGUMENTS))
            })?,
            "error" => {
                no_arguments(args, "error", TargetSpec::Error).map_err(|(word, fault)| word.fault(fault))?
            }
            "crypt" => TargetSpec::Crypt(Box::new(CryptSpec::parse(words, start, length)?)),
            _ => return Err(target_word.fault(no_such_target(target_word))),
        };
        Ok(Self { start, length, places: RowPlaces::new(words, &target), target })
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

    /// The device below and the start on it, where the target has one.
    pub fn device(&self) -> Option<(&str, Sector)> {
        match &self.target {
            TargetSpec::Linear { device, start } => Some((device, *start)),
            TargetSpec::Crypt(crypt) => Some((&crypt.device, crypt.start)),
            TargetSpec::Zero | TargetSpec::Error => None,
        }
    }

    /// The row as `dmsetup table` prints it, without the space that it puts after a target that has no arguments.
    /// With keys shown, the string is as secret as they are, and the only copy.
    pub fn to_line(&self, keys: ShowKeys) -> String {
        in_one_buffer(&self.text(keys))
    }

    pub(super) fn text(&self, keys: ShowKeys) -> impl fmt::Display {
        RowText { start: self.start, length: self.length, target: &self.target, keys }
    }
}

/// Places do not count: two rows are equal where they map the same to the same.
impl PartialEq for Row {
    fn eq(&self, other: &Self) -> bool {
        (self.start, self.length) == (other.start, other.length) && self.target == other.target
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
    target: &'a TargetSpec,
    keys: ShowKeys,
}

impl fmt::Display for RowText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.start, self.length, self.target.name())?;
        match self.target {
            TargetSpec::Linear { device, start } => write!(f, " {} {start}", escape(device)),
            TargetSpec::Zero | TargetSpec::Error => Ok(()),
            TargetSpec::Crypt(crypt) => {
                f.write_str(" ")?;
                crypt.write(f, self.keys)
            }
        }
    }
}

impl TargetSpec {
    /// The target's name in a table.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Linear { .. } => "linear",
            Self::Zero => "zero",
            Self::Error => "error",
            Self::Crypt(_) => "crypt",
        }
    }
}

impl RowPlaces {
    /// The places of `words`, which are a row of `target`.
    fn new(words: &[Word<'_>], target: &TargetSpec) -> Self {
        let (key, device) = match target {
            TargetSpec::Linear { .. } => (None, Some(HEAD_WORDS)),
            TargetSpec::Zero | TargetSpec::Error => (None, None),
            TargetSpec::Crypt(_) => (Some(CryptSpec::KEY_WORD), Some(CryptSpec::DEVICE_WORD)),
        };
        let place = |index: usize| words.get(index).map(Word::place);
        let last = || words.last().map(Word::place).expect("a row has words");
        Self {
            start: place(0).unwrap_or_else(last),
            length: place(1).unwrap_or_else(last),
            target: place(2).unwrap_or_else(last),
            key: key.map(|index| place(index).unwrap_or_else(last)),
            device: device.map(|index| place(index).unwrap_or_else(last)),
            device_start: device.map(|index| place(index + 1).unwrap_or_else(last)),
        }
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

/// Checks that `length` sectors from `start` on, which `word` says, are on a device that there can be.
pub(crate) fn check_device_end(word: &Word<'_>, start: Sector, length: Sectors) -> Result<(), TableError> {
    if start.checked_add(length).is_some_and(|end| end.0 <= MAX_SECTORS) {
        return Ok(());
    }
    let sectors = counted(length.0, "sector");
    let message = format!("{sectors} from sector {start} on would be past 2^54, where every device ends");
    let hint = format!("write at most {}", MAX_SECTORS - length.0);
    let fault = Fault::new(TableErrorKind::Layout, message, start.to_string(), hint);
    Err(word.fault(fault.with_kernel(reason::TOO_SMALL)))
}

/// The name of a device. What it names is looked at by whoever opens it.
pub(crate) fn device_word(word: &Word<'_>) -> Result<String, TableError> {
    if word.contains('\0') {
        let message = format!("the device {} has a zero byte in it", shown(word));
        let fault = Fault::new(TableErrorKind::Device, message, shown(word), "write a path without it");
        return Err(word.fault(fault));
    }
    Ok(word.to_string())
}

/// Reads `<device> <start>`.
fn linear(target: &Word<'_>, args: &[Word<'_>], length: Sectors) -> Result<TargetSpec, TableError> {
    let [device, start_word] = args else {
        let found = counted(args.len() as u64, "word");
        let message = format!("a linear row needs 2 words after its target, and has {found}");
        let hint = "write <device> <start>";
        let fault =
            Fault::new(TableErrorKind::Words, message, found, hint).with_kernel(reason::ARGUMENT_COUNT);
        return Err(args.get(2).or(args.last()).unwrap_or(target).fault(fault));
    };
    let start = Sector(start_word.number("the device's start", Some(reason::DEVICE_START))?);
    check_device_end(start_word, start, length)?;
    Ok(TargetSpec::Linear { device: device_word(device)?, start })
}

/// Checks that a target that takes no words has none.
fn no_arguments<'w, 't>(
    args: &'w [Word<'t>],
    name: &str,
    target: TargetSpec,
) -> Result<TargetSpec, (&'w Word<'t>, Fault)> {
    let Some(word) = args.first() else {
        return Ok(target);
    };
    let message = format!("the target {name} takes no words, and has {}", shown(word));
    let hint = format!("leave out what is after {name}");
    Err((word, Fault::new(TableErrorKind::Words, message, shown(word), hint)))
}

/// The fault of a target that udm, or nobody, has.
fn no_such_target(name: &str) -> Fault {
    let found = shown(name);
    if TARGETS.contains(&name) {
        let message = format!("udm does not have the target {found} yet");
        return Fault::new(TableErrorKind::Missing, message, found, "it has linear, zero, error and crypt");
    }
    let hint = nearest(name, OURS.iter().chain(TARGETS).copied())
        .map_or_else(|| "use linear, zero, error or crypt".into(), |near| format!("try {near}"));
    let message = format!("target {found} is not known");
    Fault::new(TableErrorKind::Unknown, message, found, hint).with_kernel(reason::TARGET)
}
