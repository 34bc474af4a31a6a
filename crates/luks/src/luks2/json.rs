//! JSON as a header has it: of bounded size and depth, with no key twice, and with everything kept in its order, so that
//! what is not known here can be written back.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Number;

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
    String(String),
    /// An array.
    Array(Vec<Json>),
    /// An object, in the order in which it is written.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Reads one value, and nothing behind it.
    ///
    /// # Errors
    /// What is wrong, with line and column.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let left = Cell::new(MAX_VALUES);
        let mut reader = serde_json::Deserializer::from_slice(text);
        let value = Seed { depth: MAX_DEPTH, left: &left }.deserialize(&mut reader);
        let value = value.and_then(|value| reader.end().map(|()| value));
        value.map_err(|error| error.to_string())
    }

    /// The value of `key`, where this is an object that has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => members.iter().find(|(name, _)| name == key).map(|(_, value)| value),
            _ => None,
        }
    }

    /// An object of these members.
    pub fn object<const N: usize>(members: [(&str, Self); N]) -> Self {
        Self::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// A number of 64 bits, as the metadata have it: a string.
    pub fn long(number: u64) -> Self {
        Self::String(number.to_string())
    }

    /// Numbers that name members of something else, as the metadata have them: strings.
    pub fn references(numbers: &[u32]) -> Self {
        Self::Array(numbers.iter().map(|number| Self::String(number.to_string())).collect())
    }

    /// The value of `key` of this object, to be changed.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Self> {
        match self {
            Self::Object(members) => members.iter_mut().find(|(name, _)| name == key).map(|(_, value)| value),
            _ => None,
        }
    }

    /// Sets the value of `key`, at its place or behind the others. Nothing happens where this is no object.
    pub fn set(&mut self, key: &str, value: Self) {
        if let Some(old) = self.get_mut(key) {
            *old = value;
        } else if let Self::Object(members) = self {
            members.push((key.to_owned(), value));
        }
    }

    /// Takes `key` and its value out.
    pub fn remove(&mut self, key: &str) -> Option<Self> {
        let Self::Object(members) = self else { return None };
        let at = members.iter().position(|(name, _)| name == key)?;
        Some(members.remove(at).1)
    }

    /// The text, in one line.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("names are strings, and memory does not fail to be written")
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

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<u32> for Json {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Number(number) => number.serialize(serializer),
            Self::String(text) => serializer.serialize_str(text),
            Self::Array(items) => serializer.collect_seq(items),
            Self::Object(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                members.iter().try_for_each(|(name, value)| map.serialize_entry(name, value))?;
                map.end()
            }
        }
    }
}

/// Reads a value that may be `depth` deep, while there are any `left`.
#[derive(Clone, Copy)]
struct Seed<'a> {
    depth: u32,
    left: &'a Cell<u32>,
}

impl Seed<'_> {
    /// The same one level down.
    fn down<E: serde::de::Error>(self) -> Result<Self, E> {
        let depth = self.depth.checked_sub(1);
        let depth = depth.ok_or_else(|| E::custom(format!("values are more than {MAX_DEPTH} deep")))?;
        Ok(Self { depth, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        let left = self.left.get().checked_sub(1);
        let too_many = || D::Error::custom(format!("there are more than {MAX_VALUES} values"));
        self.left.set(left.ok_or_else(too_many)?);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Json, E> {
        Number::from_f64(value).map(Json::Number).ok_or_else(|| E::custom("a number is too large"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let (seed, mut array) = (self.down()?, Vec::new());
        while let Some(item) = items.next_element_seed(seed)? {
            array.push(item);
        }
        Ok(Json::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
        let (seed, mut object) = (self.down()?, Vec::new());
        let mut names = std::collections::HashSet::new();
        while let Some(name) = members.next_key::<String>()? {
            if !names.insert(name.clone()) {
                return Err(A::Error::custom(format!(
                    "the key {} is there twice",
                    crate::error::shown(&name)
                )));
            }
            let value = members.next_value_seed(seed)?;
            object.push((name, value));
        }
        Ok(Json::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_written_back_as_it_was() {
        let text = r#"{"z":[1,-2,1.5,"a\nb",null,true,{}],"a":{"k":"v","b":18446744073709551615}}"#;
        let json = Json::parse(text.as_bytes()).unwrap();
        assert_eq!(serde_json::to_string(&json).unwrap(), text);
        assert_eq!(json.get("a").unwrap().get("k"), Some(&Json::String("v".into())));
    }

    #[test]
    fn what_is_changed_keeps_its_place_and_all_else() {
        let mut json = Json::parse(br#"{"z":1,"a":{"x":[]},"b":"c"}"#).unwrap();
        json.set("a", Json::references(&[0, 7]));
        json.set("new", Json::object([("n", 3.into()), ("long", Json::long(u64::MAX))]));
        assert_eq!(json.remove("z"), Some(Json::Number(1.into())));
        assert_eq!(json.remove("z"), None);
        let want = r#"{"a":["0","7"],"b":"c","new":{"n":3,"long":"18446744073709551615"}}"#;
        assert_eq!(serde_json::to_string(&json).unwrap(), want);
    }

    #[test]
    fn size_depth_and_doubles_are_bounded() {
        let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert!(Json::parse(deep(32).as_bytes()).is_ok());
        assert!(Json::parse(deep(33).as_bytes()).unwrap_err().contains("32 deep"));
        // Without our own bound, the stack would end this one.
        assert!(Json::parse(deep(1 << 20).as_bytes()).is_err());
        let many = format!("[{}0]", "0,".repeat(MAX_VALUES as usize));
        assert!(Json::parse(many.as_bytes()).unwrap_err().contains("more than 65536 values"));
        assert!(Json::parse(br#"{"a":{"b":1,"b":1}}"#).unwrap_err().contains("\"b\" is there twice"));
        for wrong in ["", "{", "{}x", "{\"a\":}", "nul", "1e999", "{\"a\":1,}"] {
            assert!(Json::parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
