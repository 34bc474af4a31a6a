//! A value of the metadata with the path that leads to it, so that whatever is wrong with it can be named.

use std::borrow::Cow;
use std::num::NonZeroU32;

use base64ct::{Base64, Encoding};

use super::json::{Json, Quoted};
use crate::error::{Error, Finding, shown};
use udm_crypto::Hash;

/// The longest word of the metadata that is looked at: a name, a type, a cipher. In bytes.
const MAX_WORD: usize = 256;
/// The longest binary value in the metadata, in bytes: a digest or a salt.
const MAX_BINARY: usize = 1024;
/// What would do about metadata that are damaged.
const RESTORE: &str = "restore a backup of the header (udm luks header-restore)";

/// A value, and where it is.
#[derive(Clone, Debug)]
pub struct Field<'a> {
    path: String,
    value: &'a Json,
}

impl<'a> Field<'a> {
    /// The whole of the metadata.
    pub fn root(value: &'a Json) -> Self {
        Self { path: String::new(), value }
    }

    /// Where it is, such as `keyslots.0.kdf.memory`.
    pub fn path(&self) -> &str {
        if self.path.is_empty() { "JSON area" } else { &self.path }
    }

    /// The value itself.
    pub fn value(&self) -> &'a Json {
        self.value
    }

    /// The error of this value, which is wrong because of `why`.
    pub fn damaged(&self, why: impl Into<String>) -> Error {
        Error::Damaged(Finding::new(self.path(), self.found(), why, RESTORE))
    }

    /// The error of this value, which is right and more than can be done here.
    pub fn unsupported(&self, why: impl Into<String>, hint: &str) -> Error {
        Error::Unsupported(Finding::new(self.path(), self.found(), why, hint))
    }

    /// The value, for a message.
    fn found(&self) -> String {
        match self.value {
            Json::String(text) => shown(&text.lossy()),
            Json::Number(number) => number.as_str().chars().take(MAX_WORD).collect(),
            other => other.kind().to_owned(),
        }
    }

    fn child(&self, name: &str, value: &'a Json) -> Self {
        let name: String = name.chars().take(MAX_WORD).collect::<String>().escape_debug().collect();
        Self { path: if self.path.is_empty() { name } else { format!("{}.{name}", self.path) }, value }
    }

    /// The member of this name, where there is one.
    ///
    /// # Errors
    /// Where this is no object.
    pub fn get(&self, name: &str) -> Result<Option<Self>, Error> {
        self.object()?;
        Ok(self.value.get(name).map(|value| self.child(name, value)))
    }

    /// The member of this name.
    ///
    /// # Errors
    /// Where there is none.
    pub fn need(&self, name: &str) -> Result<Self, Error> {
        self.get(name)?.ok_or_else(|| {
            Error::Damaged(Finding::new(
                self.child(name, self.value).path,
                "missing",
                "it must be there",
                RESTORE,
            ))
        })
    }

    fn object(&self) -> Result<&'a [(Quoted, Json)], Error> {
        match self.value {
            Json::Object(members) => Ok(members),
            _ => Err(self.damaged("an object was expected")),
        }
    }

    /// The members.
    ///
    /// # Errors
    /// Where this is no object.
    pub fn members(&self) -> Result<impl Iterator<Item = (Cow<'a, str>, Self)>, Error> {
        let member = |(name, value): &'a (Quoted, Json)| {
            let name = name.lossy();
            let field = self.child(&name, value);
            (name, field)
        };
        Ok(self.object()?.iter().map(member))
    }

    /// The members, whose names are numbers below `limit`, in ascending order.
    ///
    /// # Errors
    /// Where a name is no such number.
    pub fn numbered(&self, limit: u32) -> Result<Vec<(u32, Self)>, Error> {
        let mut numbered = Vec::new();
        for (name, field) in self.members()? {
            let number = decimal(&name).and_then(|number| u32::try_from(number).ok());
            let Some(number) = number.filter(|number| *number < limit) else {
                let why = format!("the names here are the numbers 0 to {}", limit - 1);
                return Err(Error::Damaged(Finding::new(self.path(), shown(&name), why, RESTORE)));
            };
            numbered.push((number, field));
        }
        numbered.sort_by_key(|(number, _)| *number);
        Ok(numbered)
    }

    /// The items.
    ///
    /// # Errors
    /// Where this is no array.
    pub fn items(&self) -> Result<impl Iterator<Item = Self>, Error> {
        let Json::Array(items) = self.value else { return Err(self.damaged("an array was expected")) };
        Ok(items.iter().enumerate().map(|(index, value)| self.child(&index.to_string(), value)))
    }

    /// The items, which are numbers in strings that name members of something else, of which there are `known`. One that is
    /// there twice counts once, as with cryptsetup.
    ///
    /// # Errors
    /// Where an item names nothing.
    pub fn references(&self, known: &[u32], what: &str) -> Result<Vec<u32>, Error> {
        let mut found = Vec::new();
        for item in self.items()? {
            let number = decimal(&item.word()?).and_then(|number| u32::try_from(number).ok());
            let Some(number) = number.filter(|number| known.contains(number)) else {
                return Err(item.damaged(format!("there is no such {what}")));
            };
            if !found.contains(&number) {
                found.push(number);
            }
        }
        Ok(found)
    }

    /// A string that is no longer than a word.
    ///
    /// # Errors
    /// Where this is none.
    pub fn word(&self) -> Result<Cow<'a, str>, Error> {
        let text = self.text()?;
        if text.len() > MAX_WORD {
            return Err(self.damaged(format!("it has more than {MAX_WORD} bytes")));
        }
        Ok(text)
    }

    /// A string of any length, for what is shown and not used.
    ///
    /// # Errors
    /// Where this is none.
    pub fn text(&self) -> Result<Cow<'a, str>, Error> {
        self.value.as_str().ok_or_else(|| self.damaged("a string was expected"))
    }

    /// A number of 64 bits, which the metadata have as a string (LUKS2 specification, section 3.1: JSON has no integers
    /// of 64 bits that every reader keeps).
    ///
    /// # Errors
    /// Where this is none.
    pub fn long(&self) -> Result<u64, Error> {
        decimal(&self.word()?).ok_or_else(|| self.damaged("a number of 64 bits, as a string, was expected"))
    }

    /// A number that is a number, from `least` to `most`.
    ///
    /// # Errors
    /// Where this is none.
    pub fn number(&self, least: u32, most: u32) -> Result<u32, Error> {
        let number = match self.value {
            Json::Number(number) => number.as_u64().and_then(|number| u32::try_from(number).ok()),
            _ => None,
        };
        number
            .filter(|number| (least..=most).contains(number))
            .ok_or_else(|| self.damaged(format!("a number from {least} to {most} was expected")))
    }

    /// A number of at least 1.
    ///
    /// # Errors
    /// Where this is none.
    pub fn count(&self) -> Result<NonZeroU32, Error> {
        Ok(NonZeroU32::new(self.number(1, u32::MAX)?).unwrap_or(NonZeroU32::MIN))
    }

    /// The name of a hash.
    ///
    /// # Errors
    /// Where this is none that is known here.
    pub fn hash(&self) -> Result<Hash, Error> {
        Hash::from_luks_name(&self.word()?)
            .map_err(|error| Error::Unsupported(Finding::of_spec(self.path(), &error)))
    }

    /// Bytes, which the metadata have in base64.
    ///
    /// # Errors
    /// Where this is none, or they are not as many as `sizes` allow.
    pub fn bytes(&self, sizes: std::ops::RangeInclusive<usize>) -> Result<Vec<u8>, Error> {
        let text = self.text()?;
        if text.len() > MAX_BINARY.div_ceil(3) * 4 {
            return Err(self.damaged("it is too long"));
        }
        let bytes = Base64::decode_vec(&text).map_err(|_| self.damaged("it is not base64"))?;
        if sizes.contains(&bytes.len()) {
            return Ok(bytes);
        }
        let (found, least, most) = (bytes.len(), sizes.start(), sizes.end());
        let wants = if least == most { least.to_string() } else { format!("{least} to {most}") };
        Err(self.damaged(format!("it is of {found} bytes, and {wants} were expected")))
    }
}

/// A decimal number, digits alone, with no zeros before it.
fn decimal(text: &str) -> Option<u64> {
    let plain = text == "0" || !text.starts_with('0');
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if plain && digits { text.parse().ok() } else { None }
}
