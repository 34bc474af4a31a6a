//! What a word of the command line names, and which options have a meaning for it.
//!
//! The word alone decides both, before anything is opened: a name without `raw:` is a LUKS volume and nothing else, so
//! that bytes which were to be encrypted never go where there is no header any more.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use udm_backend::{BackendTypes, Location, OpenError, name_of};
use udm_dm::table::Table;
use udm_dm::targets::crypt::params::CryptSpec;

/// A device, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceName {
    /// A LUKS volume, which is unlocked.
    Luks(Place),
    /// The bytes as they are.
    Raw(Place),
}

/// Where bytes are.
#[derive(Clone, Debug)]
pub enum Place {
    /// In a file or block device.
    Path(PathBuf),
    /// Where a back end finds them: behind a server, in memory.
    Other(Arc<dyn Location>),
}

/// Which options have a meaning for a device, or for several.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Takes {
    /// How a LUKS volume is unlocked: key files, key slots, a detached header, limits, discards.
    pub unlocking: bool,
    /// How files and block devices are read and written: the page cache, the engine.
    pub files: bool,
    /// How sectors are encrypted: the cipher driver.
    pub cipher: bool,
}

/// Why a word names no device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// Nothing at all.
    #[error("the name of a device is empty; name a LUKS volume, raw:PATH, or an NBD URI")]
    Empty,
    /// A word that means two things that are there.
    #[error("{word} can mean two things: {file_words} for the file of this name, {other} for the other")]
    Ambiguous {
        /// The word.
        word: String,
        /// How the file of this name is named.
        file_words: String,
        /// How the other is named.
        other: String,
    },
    /// One that its back end does not understand: which, why, and what would do.
    #[error("{0}")]
    Location(String),
}

impl Takes {
    /// What a table's rows have a use for. What they name is looked up, and not opened.
    pub fn of_table(table: &Table) -> Self {
        let is_file = |name: &str| BackendTypes::builtin().find(name).is_none();
        Self {
            unlocking: false,
            files: table.rows.iter().any(|row| row.devices().iter().any(|device| is_file(&device.name))),
            cipher: table.rows.iter().any(|row| row.target.downcast_ref::<CryptSpec>().is_some()),
        }
    }

    /// What has a meaning for this device or the other.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            unlocking: self.unlocking || other.unlocking,
            files: self.files || other.files,
            cipher: self.cipher || other.cipher,
        }
    }
}

impl DeviceName {
    /// The device that `word` names, with the back ends of `udm-backend`.
    ///
    /// # Errors
    /// When it names none, or could name two.
    pub fn parse(word: &OsStr) -> Result<Self, NameError> {
        Self::parse_with(BackendTypes::builtin(), word)
    }

    /// The same with these back ends.
    ///
    /// # Errors
    /// When it names none, or could name two.
    pub fn parse_with(backends: &BackendTypes, word: &OsStr) -> Result<Self, NameError> {
        if word.is_empty() {
            return Err(NameError::Empty);
        }
        let is_there = |path: &Path| std::fs::symlink_metadata(path).is_ok();
        let whole = Path::new(word);
        let Some(rest) = word.as_bytes().strip_prefix(b"raw:") else {
            return Ok(match Place::parse(backends, word)? {
                // Memory has no header.
                place if place.is_scratch() => Self::Raw(place),
                place => Self::Luks(place),
            });
        };
        if rest.is_empty() {
            return Err(NameError::Empty);
        }
        let rest = OsStr::from_bytes(rest);
        if !is_there(whole) {
            return Ok(Self::Raw(Place::parse(backends, rest)?));
        }
        let other = match Place::parse(backends, rest) {
            Ok(Place::Path(path)) if is_there(&path) => format!("raw:./{}", path.display()),
            _ => return Ok(Self::Luks(Place::Path(whole.into()))),
        };
        let word = whole.display().to_string();
        Err(NameError::Ambiguous { file_words: format!("./{word}"), word, other })
    }

    /// Where its bytes are.
    pub fn place(&self) -> &Place {
        match self {
            Self::Luks(place) | Self::Raw(place) => place,
        }
    }

    /// The options that have a meaning for it.
    pub fn takes(&self) -> Takes {
        let is_luks = matches!(self, Self::Luks(_));
        let files = matches!(self.place(), Place::Path(_));
        Takes { unlocking: is_luks, files, cipher: is_luks }
    }

    /// The file or block device that it is about, where it is about one.
    pub fn path(&self) -> Option<&Path> {
        match self.place() {
            Place::Path(path) => Some(path),
            Place::Other(_) => None,
        }
    }

    /// The volume in the file or block device at `path`.
    pub fn luks(path: impl Into<PathBuf>) -> Self {
        Self::Luks(Place::Path(path.into()))
    }

    /// The bytes of the file or block device at `path`.
    pub fn raw(path: impl Into<PathBuf>) -> Self {
        Self::Raw(Place::Path(path.into()))
    }
}

impl Place {
    /// The place that `word` names: a file of that name, if there is one.
    fn parse(backends: &BackendTypes, word: &OsStr) -> Result<Self, NameError> {
        let location = word.to_str().map_or(Ok(None), |text| backends.parse(text));
        let location = location.map_err(|error: OpenError| NameError::Location(error.to_string()))?;
        Ok(location.map_or_else(|| Self::Path(word.into()), Self::Other))
    }

    /// Whether each opening makes a device of its own, with nothing in it.
    fn is_scratch(&self) -> bool {
        matches!(self, Self::Other(location) if location.is_scratch())
    }

    /// Its name in a table.
    pub fn in_table(&self) -> String {
        match self {
            Self::Path(path) => name_of(path),
            Self::Other(location) => location.to_string(),
        }
    }

    /// The last part of its name, for an export.
    pub fn short_name(&self) -> Option<String> {
        match self {
            Self::Path(path) => path.file_name().map(|name| name_of(Path::new(name))),
            Self::Other(location) => location.short_name(),
        }
        .map(|name| name.strip_prefix("./").map_or_else(|| name.clone(), str::to_owned))
    }
}

/// Places of the same name are the same.
impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Path(one), Self::Path(other)) => one == other,
            (Self::Other(one), Self::Other(other)) => one.to_string() == other.to_string(),
            _ => false,
        }
    }
}

impl Eq for Place {}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.display().fmt(f),
            Self::Other(location) => location.fmt(f),
        }
    }
}

/// As it is typed.
impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Raw(place) if !place.is_scratch() => write!(f, "raw:{place}"),
            Self::Luks(place) | Self::Raw(place) => place.fmt(f),
        }
    }
}

/// `NAME=REST`, where NAME could not be the beginning of a path or a table; and a word that is a file is that file.
///
/// # Errors
/// When both the whole word and REST are files.
pub fn split_name(word: &OsStr) -> Result<(Option<String>, OsString), NameError> {
    let bytes = word.as_bytes();
    let equals = bytes.iter().position(|byte| *byte == b'=');
    let name = equals.and_then(|at| std::str::from_utf8(&bytes[..at]).ok());
    let Some(name) = name.filter(|name| !name.is_empty() && !name.contains(['/', ' ', ':'])) else {
        return Ok((None, word.into()));
    };
    let rest = OsStr::from_bytes(&bytes[name.len() + 1..]);
    let is_there = |path: &OsStr| std::fs::symlink_metadata(path).is_ok();
    match (is_there(word), is_there(rest)) {
        (false, _) => Ok((Some(name.into()), rest.into())),
        (true, false) => Ok((None, word.into())),
        (true, true) => Err(NameError::Ambiguous {
            word: word.display().to_string(),
            file_words: format!("./{}", word.display()),
            other: format!("{name}=./{}", rest.display()),
        }),
    }
}
