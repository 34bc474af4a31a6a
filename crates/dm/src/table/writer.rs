//! The words of a row, as a target prints them.

use std::fmt;
use std::fmt::Write as _;

use crate::targets::DeviceArg;

/// Whether a printed key is to be read or not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ShowKeys {
    /// Keys are printed, as `dmsetup table --showkeys` does.
    Shown,
    /// Keys are printed as zeros of the same length, as `dmsetup table` does.
    Hidden,
}

/// Writes the arguments of a row as `dmsetup table` prints them: a space before each, and a backslash before each
/// character that a table would not take as it is.
///
/// Where keys are hidden, an argument that its [`TargetType`](crate::targets::TargetType) names as a secret is written as
/// zeros, one for each character. A target that forgets to look at [`ArgWriter::keys`] shows no key.
pub struct ArgWriter<'a, 'f> {
    f: &'a mut fmt::Formatter<'f>,
    keys: ShowKeys,
    secrets: &'a [usize],
    /// The argument that is written next, counted from 0.
    next: usize,
}

impl<'a, 'f> ArgWriter<'a, 'f> {
    pub(crate) fn new(f: &'a mut fmt::Formatter<'f>, keys: ShowKeys, secrets: &'a [usize]) -> Self {
        Self { f, keys, secrets, next: 0 }
    }

    /// Whether secrets are shown.
    pub fn keys(&self) -> ShowKeys {
        self.keys
    }

    /// Writes the next argument.
    ///
    /// # Errors
    /// Those of the text that is written to.
    pub fn arg(&mut self, value: impl fmt::Display) -> fmt::Result {
        if self.keys == ShowKeys::Hidden && self.secrets.contains(&self.next) {
            self.begin()?;
            return write!(Zeros(self.f), "{value}");
        }
        self.public(value)
    }

    /// Writes the next argument where it stands in the place of a secret and is none: the name of a key, for example.
    ///
    /// # Errors
    /// Those of the text that is written to.
    pub fn public(&mut self, value: impl fmt::Display) -> fmt::Result {
        self.begin()?;
        write!(Escaped(self.f), "{value}")
    }

    /// Writes the next two arguments: the name of a device, and the start on it.
    ///
    /// # Errors
    /// Those of the text that is written to.
    pub fn device(&mut self, device: &DeviceArg) -> fmt::Result {
        self.arg(&device.name)?;
        self.arg(device.start)
    }

    fn begin(&mut self) -> fmt::Result {
        self.next += 1;
        self.f.write_char(' ')
    }
}

/// Writes a zero for each character.
struct Zeros<'a, 'f>(&'a mut fmt::Formatter<'f>);

impl fmt::Write for Zeros<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|_| self.0.write_char('0'))
    }
}

/// Writes text as one word of a table: white space, `\` and `#` get a backslash.
struct Escaped<'a, 'f>(&'a mut fmt::Formatter<'f>);

impl fmt::Write for Escaped<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let special = |c: char| c.is_ascii_whitespace() || matches!(c, '\\' | '#' | '\x0b');
        for part in text.split_inclusive(special) {
            let plain = part.trim_end_matches(special);
            self.0.write_str(plain)?;
            if plain.len() < part.len() {
                self.0.write_char('\\')?;
                self.0.write_str(&part[plain.len()..])?;
            }
        }
        Ok(())
    }
}
