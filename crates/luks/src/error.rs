//! What can be wrong, and whose fault it is.

use std::fmt;
use std::fmt::Write as _;

use udm_crypto::spec::{Part, SpecError, Why};

use crate::secret::NoMemory;

/// What is wrong with a hash that is not known here.
pub(crate) const NO_HASH: &str = "udm does not have this hash";

/// Something that was found in a header, or asked of one, and cannot be gone on with.
///
/// It prints as where, what was found, what is wrong with that, and what would do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// The field: of LUKS2 its path in the metadata, such as `keyslots.0.kdf.memory`; of a binary header its name in the
    /// specification.
    pub field: String,
    /// What it holds.
    pub found: String,
    /// What is wrong with that.
    pub why: String,
    /// What would do.
    pub hint: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}: {}; {}", self.field, self.found, self.why, self.hint)
    }
}

impl Finding {
    /// Where, what was found, and what is wrong with that.
    pub(crate) fn without_hint(&self) -> String {
        format!("{} is {}: {}", self.field, self.found, self.why)
    }

    /// What is wrong with a cipher string or the name of a hash in `field`.
    #[expect(clippy::unnecessary_box_returns, reason = "errors hold it boxed, to be small")]
    pub(crate) fn of_spec(field: impl Into<String>, error: &SpecError) -> Box<Self> {
        let found = shown(&error.found);
        match &error.why {
            // Which hashes cryptsetup has depends on its library; and the name is in a header, where nobody mistypes it.
            Why::Unknown { .. } if error.part == Part::Hash => {
                Self::new(field, found, NO_HASH, "cryptsetup knows it, if its library does")
            }
            _ => Self::new(field, found, error.message(shown), error.hint()),
        }
    }

    #[expect(clippy::unnecessary_box_returns, reason = "errors hold it boxed, to be small")]
    pub(crate) fn new(
        field: impl Into<String>,
        found: impl fmt::Display,
        why: impl Into<String>,
        hint: impl Into<String>,
    ) -> Box<Self> {
        Box::new(Self { field: field.into(), found: found.to_string(), why: why.into(), hint: hint.into() })
    }
}

/// Why a volume was not opened, made or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The header could not be read or written.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// There is no header.
    #[error("there is no LUKS header")]
    NoHeader,
    /// The header is not as the specification has it.
    #[error("the LUKS header is damaged: {0}")]
    Damaged(Box<Finding>),
    /// The header asks for something that is not done here.
    #[error("not supported: {0}")]
    Unsupported(Box<Finding>),
    /// The header asks for more memory or time than it may have. Nothing of it was done.
    #[error("over the limit: {0}")]
    OverLimit(Box<Finding>),
    /// A key slot needs more memory than there is. Nothing of it was taken.
    #[error("not enough memory: {0}")]
    NoRoom(Box<Finding>),
    /// No key slot opens.
    #[error("{}", wrong_passphrase(tried, left_out))]
    WrongPassphrase {
        /// The key slots that were tried.
        tried: Vec<u32>,
        /// Those that were not, and why.
        left_out: Vec<(u32, &'static str)>,
    },
    /// What was asked for is not there.
    #[error("{0}")]
    Request(Box<Finding>),
    /// There is no memory for it.
    #[error(transparent)]
    NoMemory(#[from] NoMemory),
    /// A cipher failed, which is no fault of the header's.
    #[error("the cipher of {what} failed: {why}")]
    Cipher {
        /// What it was to encipher.
        what: String,
        /// How it failed.
        why: String,
    },
}

/// Whose fault an [`Error`] is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ErrorClass {
    /// The passphrase is another one.
    Passphrase,
    /// The header is damaged, or there is none.
    Header,
    /// It asks for more than it may have.
    Hostile,
    /// This program does not do it.
    Unsupported,
    /// What was asked for is not there.
    Request,
    /// This machine: its disk or its memory.
    Machine,
}

impl Error {
    /// Whose fault it is.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Io { .. } | Self::NoMemory(_) | Self::NoRoom(_) | Self::Cipher { .. } => {
                ErrorClass::Machine
            }
            Self::NoHeader | Self::Damaged(_) => ErrorClass::Header,
            Self::Unsupported(_) => ErrorClass::Unsupported,
            Self::OverLimit(_) => ErrorClass::Hostile,
            Self::WrongPassphrase { .. } => ErrorClass::Passphrase,
            Self::Request(_) => ErrorClass::Request,
        }
    }

    /// The field that it is about, where it is about one.
    pub fn finding(&self) -> Option<&Finding> {
        match self {
            Self::Damaged(finding)
            | Self::Unsupported(finding)
            | Self::OverLimit(finding)
            | Self::NoRoom(finding)
            | Self::Request(finding) => Some(finding),
            _ => None,
        }
    }

    pub(crate) fn io(what: impl fmt::Display) -> impl FnOnce(std::io::Error) -> Self {
        let what = format!("reading {what}");
        |source| Self::Io { what, source }
    }

    pub(crate) fn writing(what: impl fmt::Display) -> impl FnOnce(std::io::Error) -> Self {
        let what = format!("writing {what}");
        |source| Self::Io { what, source }
    }

    /// What was asked for cannot be: `field` is the option's name in cryptsetup.
    pub(crate) fn request(
        field: impl Into<String>,
        found: impl fmt::Display,
        why: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self::Request(Finding::new(field, found, why, hint))
    }
}

/// What is said when no key slot opens.
fn wrong_passphrase(tried: &[u32], left_out: &[(u32, &'static str)]) -> String {
    let mut text = match tried {
        [] => "there is no key slot to open with a passphrase".to_owned(),
        [one] => format!("the passphrase does not open key slot {one}"),
        many => format!("the passphrase opens none of the key slots {}", listed(many)),
    };
    for (slot, why) in left_out {
        let _ = write!(text, "; key slot {slot} was not tried: {why}");
    }
    text
}

/// `0, 1 and 4`.
fn listed(numbers: &[u32]) -> String {
    let words: Vec<_> = numbers.iter().map(ToString::to_string).collect();
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => words.concat(),
    }
}

/// Text of a header as it may be shown: quoted, without control characters, and of bounded length.
pub(crate) fn shown(text: &str) -> String {
    const MOST: usize = 60;
    let mut shown: String = text.chars().take(MOST).collect::<String>().escape_debug().collect();
    if text.chars().nth(MOST).is_some() {
        shown += "...";
    }
    format!("\"{shown}\"")
}
