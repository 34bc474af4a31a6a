//! The key word of a crypt row. Nothing here prints a byte of a key unless it is asked to by name.

use std::fmt;

use base16ct::HexDisplay;
use subtle::ConstantTimeEq;
use udm_crypto::spec::{CipherSpec, IvMode, either};
use zeroize::Zeroizing;

use super::cipher::key_reason;
use crate::table::{ArgWriter, Fault, ShowKeys, TableErrorKind, number, reason};

/// The most key sizes that a hint counts up.
const SIZES_SHOWN: usize = 6;

/// The key of a crypt target.
#[derive(Clone, PartialEq, Eq)]
pub enum KeySpec {
    /// `-`: none.
    None,
    /// The bytes themselves, of all keys one after another.
    Bytes(KeyBytes),
    /// `:<size>:<type>:<description>`: a key of the kernel's keyring.
    Keyring(KeyringKey),
    /// One that was there and has been wiped, by the message `key wipe`. No table says this.
    Wiped {
        /// The bytes that it had: another key must have as many.
        size: usize,
    },
}

/// The bytes of a key. They are wiped when it is dropped, compared in constant time, and not in `Debug`.
#[derive(Clone)]
pub struct KeyBytes(Zeroizing<Vec<u8>>);

/// A key of the kernel's keyring. It is read when the table is opened: see [`crate::keyring`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyringKey {
    /// The bytes of the key.
    pub size: usize,
    /// Its type.
    pub kind: KeyringType,
    /// What it is called in the keyring.
    pub description: String,
}

/// The type of a keyring key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum KeyringType {
    /// A key that programs cannot read back.
    Logon,
    /// A key that they can.
    User,
    /// A key sealed under another one.
    Encrypted,
    /// A key sealed by the TPM.
    Trusted,
}

impl KeyringType {
    /// Every type.
    pub const ALL: [Self; 4] = [Self::Logon, Self::User, Self::Encrypted, Self::Trusted];

    /// The kernel's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Logon => "logon",
            Self::User => "user",
            Self::Encrypted => "encrypted",
            Self::Trusted => "trusted",
        }
    }
}

impl KeySpec {
    /// Reads a key for `cipher`: of a table, or of a `key set` message.
    ///
    /// # Errors
    /// Where it is neither hex nor `-` nor a keyring key, or of a size that the cipher does not take. The fault has
    /// sizes and places in it, and nothing of the key's text.
    pub fn parse(text: &str, cipher: &CipherSpec) -> Result<Self, Fault> {
        if let Some(rest) = text.strip_prefix(':') {
            let key = keyring_key(rest)?;
            check_size(key.size, "the keyring key", cipher)?;
            return Ok(Self::Keyring(key));
        }
        if text == "-" {
            return if cipher.takes_key_size(0) { Ok(Self::None) } else { Err(no_key(cipher)) };
        }
        check_digits(text, cipher)?;
        check_size(text.len() / 2, "the key", cipher)?;
        Ok(Self::Bytes(decode(text)))
    }

    /// The key of these bytes for `cipher`.
    ///
    /// # Errors
    /// Where there are not as many as the cipher takes.
    pub fn of_bytes(bytes: KeyBytes, cipher: &CipherSpec) -> Result<Self, Fault> {
        check_size(bytes.as_slice().len(), "the key", cipher)?;
        Ok(Self::Bytes(bytes))
    }

    /// The bytes of the key, of all keys together.
    pub fn size(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Bytes(bytes) => bytes.as_slice().len(),
            Self::Keyring(key) => key.size,
            Self::Wiped { size } => *size,
        }
    }

    /// Writes the key as `dmsetup table` does: a hidden one as zeros, as many as it has characters.
    pub(crate) fn write(&self, args: &mut ArgWriter<'_, '_>) -> fmt::Result {
        match (self, args.keys()) {
            (Self::Keyring(key), _) => {
                args.public(format_args!(":{}:{}:{}", key.size, key.kind.name(), key.description))
            }
            (Self::None, _) => args.arg("-"),
            (Self::Bytes(bytes), ShowKeys::Shown) => {
                args.arg(format_args!("{:x}", HexDisplay(bytes.as_slice())))
            }
            // A hidden key is not looked at: its digits would be left on the stack.
            (Self::Bytes(_) | Self::Wiped { .. }, _) => {
                args.arg(format_args!("{:0>1$}", "", 2 * self.size()))
            }
        }
    }
}

impl fmt::Debug for KeySpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Bytes(bytes) => bytes.fmt(f),
            Self::Keyring(key) => key.fmt(f),
            Self::Wiped { size } => write!(f, "Wiped({size} bytes)"),
        }
    }
}

impl KeyBytes {
    /// A key of these bytes.
    pub fn new(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }
}

impl PartialEq for KeyBytes {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice().ct_eq(other.as_slice()).into()
    }
}

impl Eq for KeyBytes {}

impl fmt::Debug for KeyBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyBytes({} bytes)", self.0.len())
    }
}

/// `<size>:<type>:<description>`, after the first colon.
fn keyring_key(text: &str) -> Result<KeyringKey, Fault> {
    const FORM: &str = "write :<bytes>:<logon, user, encrypted or trusted>:<description>";
    let fault = |message: &str, found: &str| Fault::new(TableErrorKind::Key, message, found, FORM);
    let Some((size, rest)) = text.split_once(':') else {
        return Err(fault("the keyring key has no type", "one colon").with_kernel(reason::KEY_SIZE));
    };
    // What is written there may be a key in the wrong place, so the number's own fault is not passed on.
    let size = number(size, "size", None).ok().and_then(|size| usize::try_from(size).ok());
    let Some(size) = size else {
        return Err(
            fault("the keyring key's size is not a number", "no number").with_kernel(reason::KEY_SIZE)
        );
    };
    let Some((kind, description)) = rest.split_once(':') else {
        return Err(fault("the keyring key has no description", "two colons").with_kernel(reason::KEY));
    };
    if description.is_empty() {
        return Err(fault("the keyring key's description is empty", "nothing").with_kernel(reason::KEY));
    }
    if rest.contains(|c: char| c.is_ascii_whitespace() || c == '\x0b') {
        return Err(fault("the keyring key has white space in it", "a space").with_kernel(reason::KEY));
    }
    let Some(kind) = KeyringType::ALL.into_iter().find(|known| known.name() == kind) else {
        let found = format!("a type of {} characters", kind.chars().count());
        return Err(fault("the keyring key's type is not known", &found).with_kernel(reason::KEY));
    };
    Ok(KeyringKey { size, kind, description: description.to_owned() })
}

/// Checks that the key is hex. The kernel leaves out the last one of an odd number of characters, whatever it is,
/// and so takes a key that somebody cut off or mistyped; we do not.
fn check_digits(text: &str, cipher: &CipherSpec) -> Result<(), Fault> {
    let whole = text.len() / 2 * 2;
    let bad = text.bytes().position(|byte| !byte.is_ascii_hexdigit());
    let (message, found) = if let Some(at) = bad {
        let place = text[..at].chars().count() + 1;
        (format!("character {place} of the key is not a hex digit"), "another character".to_owned())
    } else if whole < text.len() {
        let (digits, bytes) = (text.len(), whole / 2);
        let found = format!("{digits} hex digits ({bytes} bytes and a half)");
        ("the key has an odd number of hex digits".into(), found)
    } else {
        return Ok(());
    };
    let fault = Fault::new(TableErrorKind::Key, message, found, format!("give {}", sizes(cipher)));
    let taken = bad.is_none_or(|at| at >= whole) && whole > 0 && cipher.takes_key_size(whole / 2);
    Err(if taken { fault } else { fault.with_kernel(reason::KEY) })
}

/// Checks that `bytes`, the size of `what`, is one that the cipher takes.
fn check_size(bytes: usize, what: &str, cipher: &CipherSpec) -> Result<(), Fault> {
    let Err(error) = cipher.key_layout(bytes) else { return Ok(()) };
    let found = format!("{bytes} bytes ({} hex digits)", bytes.saturating_mul(2));
    let with = match cipher.iv.mode {
        mode @ (IvMode::Elephant | IvMode::Lmk | IvMode::Tcw) => format!(" with {}", mode.name()),
        _ => String::new(),
    };
    let message = format!("{what} has {found}, which {}{with} does not take", cipher.algorithm);
    let fault = Fault::new(TableErrorKind::Key, message, found, format!("give {}", sizes(cipher)));
    Err(key_reason(error).into_iter().fold(fault, Fault::with_kernel))
}

/// The fault of a `-` where the cipher needs a key.
fn no_key(cipher: &CipherSpec) -> Fault {
    let message = format!("the key is -, which is none, and {} needs one", cipher.algorithm);
    Fault::new(TableErrorKind::Key, message, "-", format!("give {}", sizes(cipher))).with_kernel(reason::KEY)
}

/// The key sizes that the cipher takes, for a hint; of very many, the first and the last.
fn sizes(cipher: &CipherSpec) -> String {
    let all = cipher.key_sizes();
    let words = |size: fn(usize) -> usize| {
        let mut words: Vec<_> = all.iter().map(|&bytes| size(bytes).to_string()).collect();
        if words.len() > SIZES_SHOWN {
            words.splice(3..words.len() - 1, ["...".to_owned()]);
        }
        either(&words)
    };
    match all[..] {
        [] => "a key to another cipher: none fits here".into(),
        [0] => "-, as it has no key".into(),
        _ => {
            format!("{} bytes ({} hex digits)", words(|bytes| bytes), words(|bytes| bytes.saturating_mul(2)))
        }
    }
}

/// The bytes of `text`, which is an even number of hex digits.
fn decode(text: &str) -> KeyBytes {
    // The buffer is as long as the key from the start, so that no copy stays behind in a shorter one.
    let mut bytes = Zeroizing::new(vec![0; text.len() / 2]);
    base16ct::mixed::decode(text, &mut bytes).expect("the digits were looked at");
    KeyBytes(bytes)
}
