//! What is wrong with a table: where, what was found, and what would do.

use std::fmt;
use std::ops::Range;

use super::place::TextPlace;

/// A table that udm does not take. Its text is for a person; the accessors are for a program.
///
/// ```
/// let error = udm_dm::table::Table::parse("0 2048 crypt aes-xts-plain46 - 0 disk.img 0").unwrap_err();
/// assert_eq!((error.line(), error.column(), error.found()), (1, 22, "\"plain46\""));
/// assert_eq!(error.to_string(), "\
/// table line 1, column 22: IV mode \"plain46\" is not known
///   0 2048 crypt aes-xts-plain46 - 0 disk.img 0
///                        ^^^^^^^ try plain64");
/// ```
pub struct TableError(Box<Inner>);

struct Inner {
    place: TextPlace,
    fault: Fault,
}

/// What sort of thing is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum TableErrorKind {
    /// Too few words in a row, or too many, or no row at all.
    Words,
    /// A number that is none, or too large.
    Number,
    /// Rows that do not follow on one another, or a row that is empty or ends past what a device can have.
    Layout,
    /// A name that nobody knows: of a target, cipher, mode, IV mode, hash or option.
    Unknown,
    /// Something that the kernel has and udm does not have yet.
    Missing,
    /// A cipher that is not put together as it should be.
    Cipher,
    /// A key that is not hex, or not of a size that the cipher takes.
    Key,
    /// An optional parameter: its value, its count, or given twice.
    Option,
    /// A number that must be a multiple of the sector size, and is not.
    Alignment,
    /// A device that is not there, is too small, or does not fit: found by whoever opens it.
    Device,
}

/// How the kernel refuses the same thing: its errno, and the text that its log has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KernelReason {
    /// The errno, as a positive number.
    pub errno: i32,
    /// The target's message (`ti->error`), or what device-mapper's core logs.
    pub text: &'static str,
}

/// The reasons that the kernel gives, by what they stand for.
pub mod reason {
    use super::KernelReason;

    const ENOENT: i32 = 2;
    const ENOMEM: i32 = 12;
    const EINVAL: i32 = 22;

    macro_rules! reasons {
        ($($(#[$doc:meta])* $name:ident = $errno:ident $text:literal;)*) => {$(
            $(#[$doc])*
            pub const $name: KernelReason = KernelReason { errno: $errno, text: $text };
        )*};
    }
    reasons! {
        /// Too few words.
        NOT_ENOUGH_ARGUMENTS = EINVAL "Not enough arguments";
        /// Words after a target that takes none.
        NO_ARGUMENTS = EINVAL "No arguments required";
        /// A wrong number of words after a target, such as a linear one without its two.
        ARGUMENT_COUNT = EINVAL "Invalid argument count";
        /// A row that does not begin where the one before it ends.
        GAP = EINVAL "Gap in table";
        /// A row of no length.
        ZERO_LENGTH = EINVAL "zero-length target";
        /// A target that nobody has.
        TARGET = EINVAL "unknown target type";
        /// A table with no row.
        NO_TARGETS = EINVAL "no targets specified";
        /// A start that is no multiple of the target's block size.
        BLOCK_SIZE = EINVAL "not aligned to h/w logical block size";
        /// A device that ends before the target does.
        TOO_SMALL = EINVAL "too small for target";
        /// A cipher, mode or hash that the crypto API does not have.
        CIPHER = ENOENT "Error allocating crypto tfm";
        /// An old-form cipher with a parenthesis, or with an integrity profile.
        CIPHER_FORM = EINVAL "Bad cipher specification";
        /// A cipher name past the crypto API's limit.
        CIPHER_LENGTH = ENOMEM "Cannot allocate cipher strings";
        /// A number of keys that is not a power of two.
        KEY_COUNT = EINVAL "Bad cipher key count specification";
        /// No IV mode.
        IV_REQUIRED = EINVAL "IV mechanism required";
        /// An IV mode that nobody knows.
        IV_MODE = EINVAL "Invalid IV mode";
        /// An IV mode that the cipher or the sector size does not fit.
        IV_CREATE = EINVAL "Error creating IV";
        /// A key of the IV mode's own that its cipher does not take.
        IV_INIT = EINVAL "Error initialising IV";
        /// What the kernel refuses without saying why.
        UNKNOWN = EINVAL "Unknown error";
        /// Authentication or stored IVs, with no place for them below.
        INTEGRITY_SPACE = EINVAL "Integrity profile not supported.";
        /// essiv without its hash.
        ESSIV_HASH = EINVAL "Digest algorithm missing for ESSIV mode";
        /// A key that is not hex, or not of the right size.
        KEY = EINVAL "Error decoding and setting key";
        /// A keyring key without its size.
        KEY_SIZE = EINVAL "Cannot parse key size";
        /// An `iv_offset` that is no number, or no multiple of the sector size.
        IV_OFFSET = EINVAL "Invalid iv_offset sector";
        /// A device start that is no number.
        DEVICE_START = EINVAL "Invalid device sector";
        /// An option count that is no number, too large, or larger than the words there.
        OPTION_COUNT = EINVAL "Invalid number of feature args";
        /// An option that nobody knows, or one whose value is no number.
        OPTION = EINVAL "Invalid feature arguments";
        /// A sector size that there is not.
        SECTOR_SIZE = EINVAL "Invalid feature value for sector_size";
        /// A row whose length is no multiple of its sector size.
        LENGTH = EINVAL "Device size is not multiple of sector_size feature";
        /// A tag size that there is not.
        INTEGRITY = EINVAL "Invalid integrity arguments";
        /// An integrity profile that nobody knows.
        INTEGRITY_PROFILE = EINVAL "Unknown integrity profile";
        /// A MAC key size of nothing.
        INTEGRITY_KEY_SIZE = EINVAL "Invalid integrity_key_size argument";
    }
}

/// What is wrong with one word, before it is known where that word stands.
///
/// A LUKS header and a `key set` message have words of the table language too, but no table around them.
pub struct Fault(Box<Parts>);

struct Parts {
    kind: TableErrorKind,
    at: Option<Range<usize>>,
    message: String,
    found: String,
    hint: String,
    kernel: Option<KernelReason>,
}

impl Fault {
    /// A fault of the whole word, of which the kernel has nothing to say: `message` is what is wrong in one line, `found`
    /// what was found (never a piece of a key), and `hint` what would do.
    pub fn new(
        kind: TableErrorKind,
        message: impl Into<String>,
        found: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        let (message, found, hint) = (message.into(), found.into(), hint.into());
        Self(Box::new(Parts { kind, at: None, message, found, hint, kernel: None }))
    }

    /// The same, of the bytes `at` of the word only.
    #[must_use]
    pub fn with_bytes(mut self, at: Range<usize>) -> Self {
        self.0.at = Some(at);
        self
    }

    /// The same; the kernel refuses it too, and this is how.
    #[must_use]
    pub fn with_kernel(mut self, reason: KernelReason) -> Self {
        self.0.kernel = Some(reason);
        self
    }

    /// The same with another hint.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = hint.into();
        self
    }

    /// The same with more to its message.
    #[must_use]
    pub fn with_more(mut self, more: &str) -> Self {
        self.0.message.push_str(more);
        self
    }

    /// What sort of thing is wrong.
    pub fn kind(&self) -> TableErrorKind {
        self.0.kind
    }

    /// The bytes of the word that are at fault; `None` for the whole word.
    pub fn bytes(&self) -> Option<Range<usize>> {
        self.0.at.clone()
    }

    /// What is wrong, in one line.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What was found. Never a piece of a key.
    pub fn found(&self) -> &str {
        &self.0.found
    }

    /// What would do.
    pub fn hint(&self) -> &str {
        &self.0.hint
    }

    /// How the kernel says it; `None` where the kernel takes the word, or says nothing of its own.
    pub fn kernel_reason(&self) -> Option<KernelReason> {
        self.0.kernel
    }

    /// The message, and what was found where the message does not say it.
    fn write_message(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())?;
        if !self.message().contains(self.found()) {
            write!(f, " (found {})", self.found())?;
        }
        Ok(())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_message(f)?;
        write!(f, ": {}", self.hint())
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.kind())
    }
}

impl std::error::Error for Fault {}

impl TableError {
    /// The error that `fault` is at `place`.
    pub fn new(place: TextPlace, fault: Fault) -> Self {
        Self(Box::new(Inner { place, fault }))
    }

    /// What sort of thing is wrong.
    pub fn kind(&self) -> TableErrorKind {
        self.0.fault.kind()
    }

    /// The line, from 1.
    pub fn line(&self) -> usize {
        self.0.place.line()
    }

    /// The column at which the fault begins, in characters, from 1.
    pub fn column(&self) -> usize {
        self.0.place.column()
    }

    /// Where it is.
    pub fn place(&self) -> &TextPlace {
        &self.0.place
    }

    /// What is wrong, in one line, without the place.
    pub fn message(&self) -> &str {
        self.0.fault.message()
    }

    /// What was found. Never a piece of a key.
    pub fn found(&self) -> &str {
        self.0.fault.found()
    }

    /// What would do.
    pub fn hint(&self) -> &str {
        self.0.fault.hint()
    }

    /// How the kernel says it; `None` where the kernel takes the line, or says nothing of its own.
    pub fn kernel_reason(&self) -> Option<KernelReason> {
        self.0.fault.kernel_reason()
    }
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "table line {}, column {}: ", self.line(), self.column())?;
        self.0.fault.write_message(f)?;
        writeln!(f)?;
        self.0.place.write_quote(f, self.hint())
    }
}

impl fmt::Debug for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.kind())
    }
}

impl std::error::Error for TableError {}
