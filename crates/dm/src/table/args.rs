//! The words of a row, as a target type reads them.

use udm_block::{LONGEST_DEVICE, Sector, Sectors};

use super::error::{Fault, KernelReason, TableError, TableErrorKind, reason};
use super::names::counted;
use super::place::shown;
use super::word::{HEAD_WORDS, Word};
use crate::targets::DeviceArg;

/// The most sectors of a device: 2^63 bytes, past which the kernel has no offsets.
pub const MAX_SECTORS: u64 = LONGEST_DEVICE.0;

/// The arguments of a target, and the row that they stand in. Each word knows its place, so that
/// [`Word::fault`] makes an error that points at it.
pub struct Args<'a> {
    /// Where the row begins in the mapped device.
    pub start: Sector,
    /// How many sectors it has.
    pub length: Sectors,
    row: &'a [Word<'a>],
}

impl<'a> Args<'a> {
    /// The arguments in `row`, whose start and length have been read.
    pub(super) fn new(row: &'a [Word<'a>], start: Sector, length: Sectors) -> Self {
        Self { start, length, row }
    }

    /// The words after the target's name.
    pub fn words(&self) -> &'a [Word<'a>] {
        &self.row[HEAD_WORDS..]
    }

    /// The word that says where the row begins.
    pub fn start_word(&self) -> &'a Word<'a> {
        &self.row[0]
    }

    /// The word that says how long the row is.
    pub fn length_word(&self) -> &'a Word<'a> {
        &self.row[1]
    }

    /// The last word of the row: the target's name where it has no arguments.
    pub fn last_word(&self) -> &'a Word<'a> {
        self.row.last().expect("a row has at least three words")
    }

    /// The device whose name is argument `index`, counted from 0; the next argument is its start. The row, or each part
    /// of it that goes to one device, has `length` sectors. The kernel says `not_a_number` to a start that is none.
    ///
    /// # Errors
    /// Where the start is not a number, or is past what a device can have, or the name has a zero byte.
    ///
    /// # Panics
    /// Where there are no two such words.
    pub fn device(
        &self,
        index: usize,
        length: Sectors,
        not_a_number: KernelReason,
    ) -> Result<DeviceArg, TableError> {
        let [name, start_word] = &self.words()[index..index + 2] else { unreachable!("two words") };
        let start = Sector(start_word.number("the device's start", Some(not_a_number))?);
        check_device_end(start_word, start, length)?;
        Ok(DeviceArg { name: name.device()?, start, word: index })
    }

    /// Checks that there are no arguments, for the target `name`. The kernel says `kernel` where there are some.
    ///
    /// # Errors
    /// Where there are some.
    pub fn none(&self, name: &str, kernel: Option<KernelReason>) -> Result<(), TableError> {
        let Some(word) = self.words().first() else { return Ok(()) };
        let message = format!("the target {name} takes no words, and has {}", shown(word));
        let hint = format!("leave out what is after {name}");
        let fault = Fault::new(TableErrorKind::Words, message, shown(word), hint);
        Err(word.fault(kernel.into_iter().fold(fault, Fault::with_kernel)))
    }

    /// The error of a row that has another number of arguments than its target takes. `needs` says that: it is the beginning of
    /// the message, "a linear row needs 2 words", and behind it comes " after its target, and has 3 words". The error points
    /// at argument `at`, or at the last word where there is no such argument. The kernel says `kernel`.
    pub fn wrong_count(&self, needs: &str, at: usize, hint: &str, kernel: KernelReason) -> TableError {
        let words = self.words();
        let found = counted(words.len() as u64, "word");
        let message = format!("{needs} after its target, and has {found}");
        let fault = Fault::new(TableErrorKind::Words, message, found, hint).with_kernel(kernel);
        words.get(at).unwrap_or(self.last_word()).fault(fault)
    }
}

impl Word<'_> {
    /// The word as the name of a device. What it names is looked at by whoever opens it.
    ///
    /// # Errors
    /// Where it has a zero byte.
    pub fn device(&self) -> Result<String, TableError> {
        if self.contains('\0') {
            let message = format!("the device {} has a zero byte in it", shown(self));
            let fault = Fault::new(TableErrorKind::Device, message, shown(self), "write a path without it");
            return Err(self.fault(fault));
        }
        Ok(self.to_string())
    }
}

/// Checks that `length` sectors from `start` on, which `word` says, are on a device that there can be.
fn check_device_end(word: &Word<'_>, start: Sector, length: Sectors) -> Result<(), TableError> {
    if start.checked_add(length).is_some_and(|end| end.0 <= MAX_SECTORS) {
        return Ok(());
    }
    let sectors = counted(length.0, "sector");
    let message = format!("{sectors} from sector {start} on would be past 2^54, where every device ends");
    let hint = format!("write at most {}", MAX_SECTORS - length.0);
    let fault = Fault::new(TableErrorKind::Layout, message, start.to_string(), hint);
    Err(word.fault(fault.with_kernel(reason::TOO_SMALL)))
}
