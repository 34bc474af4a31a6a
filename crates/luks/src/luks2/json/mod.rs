//! JSON as a header has it: of bounded size and depth, with no key twice, and with everything kept in its order and as it is
//! written, so that what is not known here is written back byte for byte. White space alone goes, as with cryptsetup.

mod parse;
pub mod text;

use std::borrow::Cow;

pub use text::{Quoted, Text};

/// How deep values may be in one another. cryptsetup reads no more than 32.
pub const MAX_DEPTH: u32 = 32;
/// How many values there may be. A header with all of its 32 key slots and 32 tokens has some 1,000.
pub const MAX_VALUES: u32 = 1 << 16;

/// A JSON value.
#[derive(Clone, PartialEq, Debug)]
pub enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number.
    Number(Number),
    /// A string.
    String(Quoted),
    /// An array.
    Array(Vec<Json>),
    /// An object, in the order in which it is written.
    Object(Vec<(Quoted, Json)>),
}

/// A number as it is written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Number(Box<str>);

impl Number {
    fn from_raw(text: &[u8]) -> Self {
        Self(String::from_utf8_lossy(text).into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether RFC 8259 has it: no zeros before it, and digits around a point.
    fn is_strict(&self) -> bool {
        let digits = self.0.strip_prefix('-').unwrap_or(&self.0).as_bytes();
        let is_digit = |at: usize| digits.get(at).is_some_and(u8::is_ascii_digit);
        let point = digits.iter().position(|byte| *byte == b'.');
        is_digit(0) && !(digits[0] == b'0' && is_digit(1)) && point.is_none_or(|point| is_digit(point + 1))
    }

    /// The number, where it is one of 64 bits without a sign, a point or an exponent.
    pub fn as_u64(&self) -> Option<u64> {
        if self.0.bytes().all(|byte| byte.is_ascii_digit()) { self.0.parse().ok() } else { None }
    }
}

impl Json {
    /// Reads one value, and nothing behind it.
    ///
    /// # Errors
    /// What is wrong, with line and column.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        parse::parse(text)
    }

    /// The value of `key`, where this is an object that has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => members.iter().find(|(name, _)| name.is(key)).map(|(_, value)| value),
            _ => None,
        }
    }

    /// An object of these members.
    pub fn object<const N: usize>(members: [(&str, Self); N]) -> Self {
        Self::Object(members.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }

    /// A number of 64 bits, as the metadata have it: a string.
    pub fn long(number: u64) -> Self {
        (&*number.to_string()).into()
    }

    /// Numbers that name members of something else, as the metadata have them: strings.
    pub fn references(numbers: &[u32]) -> Self {
        Self::Array(numbers.iter().map(|number| Self::long((*number).into())).collect())
    }

    /// The value of `key` of this object, to be changed.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Self> {
        match self {
            Self::Object(members) => {
                members.iter_mut().find(|(name, _)| name.is(key)).map(|(_, value)| value)
            }
            _ => None,
        }
    }

    /// Sets the value of `key`, at its place or behind the others. Nothing happens where this is no object.
    pub fn set(&mut self, key: &str, value: Self) {
        if let Some(old) = self.get_mut(key) {
            *old = value;
        } else if let Self::Object(members) = self {
            members.push((key.into(), value));
        }
    }

    /// Takes `key` and its value out.
    pub fn remove(&mut self, key: &str) -> Option<Self> {
        let Self::Object(members) = self else { return None };
        let at = members.iter().position(|(name, _)| name.is(key))?;
        Some(members.remove(at).1)
    }

    /// The text that this says, where it is a string; what is not UTF-8 in it is U+FFFD.
    pub fn as_str(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::String(text) => Some(text.lossy()),
            _ => None,
        }
    }

    /// Whether this is the string `text`.
    pub fn is(&self, text: &str) -> bool {
        matches!(self, Self::String(string) if string.is(text))
    }

    /// The bytes in one line, each name, string and number as it was read.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out, &|out, scalar| match scalar {
            Self::String(text) => quote(out, text.raw()),
            Self::Number(number) => out.extend_from_slice(number.as_str().as_bytes()),
            _ => {}
        });
        out
    }

    /// The same as JSON that every reader takes: what is not UTF-8 is U+FFFD, and numbers that JSON does not have are strings.
    pub fn to_strict(&self) -> String {
        let mut out = Vec::new();
        self.write(&mut out, &|out, scalar| match scalar {
            Self::String(text) => quote(out, Quoted::from(&*text.lossy()).raw()),
            Self::Number(number) => {
                let text = number.as_str().as_bytes();
                if number.is_strict() { out.extend_from_slice(text) } else { quote(out, text) }
            }
            _ => {}
        });
        String::from_utf8_lossy(&out).into_owned()
    }

    /// Writes strings and numbers by `scalar`, and all else as JSON has it.
    fn write(&self, out: &mut Vec<u8>, scalar: &dyn Fn(&mut Vec<u8>, &Self)) {
        match self {
            Self::Null => out.extend_from_slice(b"null"),
            Self::Bool(true) => out.extend_from_slice(b"true"),
            Self::Bool(false) => out.extend_from_slice(b"false"),
            Self::Number(_) | Self::String(_) => scalar(out, self),
            Self::Array(items) => {
                out.push(b'[');
                for (index, item) in items.iter().enumerate() {
                    out.extend_from_slice(if index == 0 { b"" } else { b"," });
                    item.write(out, scalar);
                }
                out.push(b']');
            }
            Self::Object(members) => {
                out.push(b'{');
                for (index, (name, value)) in members.iter().enumerate() {
                    out.extend_from_slice(if index == 0 { b"" } else { b"," });
                    scalar(out, &Self::String(name.clone()));
                    out.push(b':');
                    value.write(out, scalar);
                }
                out.push(b'}');
            }
        }
    }

    /// What kind of value it is, for a message.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::String(_) => "a string",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }
}

fn quote(out: &mut Vec<u8>, raw: &[u8]) {
    out.push(b'"');
    out.extend_from_slice(raw);
    out.push(b'"');
}

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Self::String(text.into())
    }
}

impl From<u32> for Json {
    fn from(number: u32) -> Self {
        Self::Number(Number(number.to_string().into()))
    }
}

#[cfg(test)]
mod tests;
