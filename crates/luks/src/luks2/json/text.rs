//! Text of a header: its bytes are kept as they are, also where they are not UTF-8, and shown lossily.

use std::borrow::Cow;
use std::fmt;
use std::fmt::Write as _;

/// Bytes that should be text: a label, a UUID.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Text(Vec<u8>);

impl Text {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text; what is not UTF-8 in it is U+FFFD.
    pub fn lossy(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<&[u8]> for Text {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.lossy())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.lossy())
    }
}

/// A string of JSON as it is written, without its quotation marks.
#[derive(Clone)]
pub struct Quoted(Box<[u8]>);

impl Quoted {
    /// What was found between quotation marks, in which every escape is right.
    pub(super) fn from_raw(raw: &[u8]) -> Self {
        Self(raw.into())
    }

    /// What stands between the quotation marks.
    pub(super) fn raw(&self) -> &[u8] {
        &self.0
    }

    /// The bytes that it says. They are UTF-8 where those of the header are.
    pub fn bytes(&self) -> Cow<'_, [u8]> {
        if self.0.contains(&b'\\') { Cow::Owned(unescaped(&self.0)) } else { Cow::Borrowed(&self.0) }
    }

    /// The text that it says; what is not UTF-8 in it is U+FFFD.
    pub fn lossy(&self) -> Cow<'_, str> {
        match self.bytes() {
            Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
            Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
        }
    }

    /// Whether it says `text`.
    pub fn is(&self, text: &str) -> bool {
        *self.bytes() == *text.as_bytes()
    }
}

/// By what they say, however that is written.
impl PartialEq for Quoted {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for Quoted {}

impl fmt::Debug for Quoted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.lossy())
    }
}

impl From<&str> for Quoted {
    fn from(text: &str) -> Self {
        let mut raw = String::with_capacity(text.len());
        for letter in text.chars() {
            // Writing to a string does not fail.
            let _ = match letter {
                '"' | '\\' => write!(raw, "\\{letter}"),
                '\n' => raw.write_str("\\n"),
                '\t' => raw.write_str("\\t"),
                control if control < ' ' => write!(raw, "\\u{:04x}", u32::from(control)),
                other => raw.write_char(other),
            };
        }
        Self(raw.into_bytes().into())
    }
}

/// What `raw` says, whose escapes the parser has seen. Half of a surrogate pair alone is U+FFFD.
fn unescaped(raw: &[u8]) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::with_capacity(raw.len()), raw);
    while let [first, tail @ ..] = rest {
        rest = tail;
        let [escape, tail @ ..] = tail else {
            out.push(*first);
            break;
        };
        if *first != b'\\' {
            out.push(*first);
            continue;
        }
        rest = tail;
        match escape {
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'u' => {
                let mut unit = || {
                    let (unit, tail) = code_unit(rest)?;
                    rest = tail;
                    Some(unit)
                };
                let first = unit().unwrap_or(0xFFFD);
                let is_high = (0xD800..0xDC00).contains(&first);
                let low = rest.strip_prefix(b"\\u").and_then(code_unit);
                let low = low.filter(|(unit, _)| is_high && (0xDC00..0xE000).contains(unit));
                let letter = match low {
                    Some((low, tail)) => {
                        rest = tail;
                        char::from_u32(0x10000 + ((first - 0xD800) << 10) + (low - 0xDC00))
                    }
                    None => char::from_u32(first),
                };
                let letter = letter.unwrap_or(char::REPLACEMENT_CHARACTER);
                out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
            }
            other => out.push(*other),
        }
    }
    out
}

/// The four hexadecimal digits that `text` begins with, and what follows them.
pub(super) fn code_unit(text: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, rest) = text.split_at_checked(4)?;
    let value = |digit: &u8| char::from(*digit).to_digit(16);
    Some((digits.iter().try_fold(0, |unit, digit| Some(unit << 4 | value(digit)?))?, rest))
}
