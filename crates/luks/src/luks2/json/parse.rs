//! Reading JSON without a loss: numbers and strings stay as they are written.
//!
//! It takes what RFC 8259 has, and beyond it what json-c, cryptsetup's library, takes and others may have had it write:
//! strings that are not UTF-8 or have control characters in them, `NaN` and infinities, zeros before a number, a point with
//! nothing behind it. No library here keeps both such strings and the text of numbers.

use std::collections::HashSet;

use super::text::{Quoted, code_unit};
use super::{Json, MAX_DEPTH, MAX_VALUES, Number};
use crate::error::shown;

/// Words that json-c takes for numbers, whatever the case of their letters.
const NO_NUMBERS: [&str; 3] = ["NaN", "Infinity", "-Infinity"];

/// Reads one value, and nothing behind it but white space.
pub(super) fn parse(text: &[u8]) -> Result<Json, String> {
    let mut reader = Reader { text, at: 0, values: 0 };
    let result = reader.value(MAX_DEPTH).and_then(|value| {
        reader.space();
        if reader.at < text.len() { Err("there is something behind the value".into()) } else { Ok(value) }
    });
    result.map_err(|why| {
        let before = &text[..reader.at.min(text.len())];
        let line = before.split(|byte| *byte == b'\n').count();
        let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
        format!("{why}, at line {line}, column {column}")
    })
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    /// How many values were read.
    values: u32,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Goes past `word` where it is next.
    fn take(&mut self, word: &str) -> bool {
        let next = self.text[self.at..].get(..word.len());
        let is_next = next.is_some_and(|next| next.eq_ignore_ascii_case(word.as_bytes()));
        if is_next {
            self.at += word.len();
        }
        is_next
    }

    fn expect(&mut self, word: &str) -> Result<(), String> {
        self.space();
        if self.take(word) { Ok(()) } else { Err(format!("{word} was expected")) }
    }

    /// Reads a value that may be `depth` deep.
    fn value(&mut self, depth: u32) -> Result<Json, String> {
        self.space();
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(format!("there are more than {MAX_VALUES} values"));
        }
        let down = || depth.checked_sub(1).ok_or(format!("values are more than {MAX_DEPTH} deep"));
        match self.peek() {
            Some(b'{') => self.object(down()?),
            Some(b'[') => self.array(down()?),
            Some(b'"') => Ok(Json::String(self.string()?)),
            _ if self.take("null") => Ok(Json::Null),
            _ if self.take("true") => Ok(Json::Bool(true)),
            _ if self.take("false") => Ok(Json::Bool(false)),
            _ => self.number(),
        }
    }

    fn object(&mut self, depth: u32) -> Result<Json, String> {
        self.at += 1;
        let (mut members, mut names) = (Vec::new(), HashSet::new());
        self.space();
        if self.take("}") {
            return Ok(Json::Object(members));
        }
        loop {
            self.space();
            if self.peek() != Some(b'"') {
                return Err("a key in quotation marks was expected".into());
            }
            let name = self.string()?;
            if !names.insert(name.bytes().into_owned()) {
                return Err(format!("the key {} is there twice", shown(&name.lossy())));
            }
            self.expect(":")?;
            members.push((name, self.value(depth)?));
            self.space();
            if self.take("}") {
                return Ok(Json::Object(members));
            }
            self.expect(",")?;
        }
    }

    fn array(&mut self, depth: u32) -> Result<Json, String> {
        self.at += 1;
        let mut items = Vec::new();
        self.space();
        if self.take("]") {
            return Ok(Json::Array(items));
        }
        loop {
            items.push(self.value(depth)?);
            self.space();
            if self.take("]") {
                return Ok(Json::Array(items));
            }
            self.expect(",")?;
        }
    }

    fn string(&mut self) -> Result<Quoted, String> {
        self.at += 1;
        let begin = self.at;
        loop {
            match self.peek() {
                None => return Err("a string does not end".into()),
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Quoted::from_raw(&self.text[begin..self.at - 1]));
                }
                Some(b'\\') => {
                    let behind = &self.text[self.at + 1..];
                    self.at += match behind {
                        [b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => 2,
                        [b'u', digits @ ..] if code_unit(digits).is_some() => 6,
                        _ => return Err("a string has an escape that JSON does not have".into()),
                    };
                }
                Some(_) => self.at += 1,
            }
        }
    }

    fn number(&mut self) -> Result<Json, String> {
        for word in NO_NUMBERS {
            let begin = self.at;
            if self.take(word) {
                return Ok(Json::Number(Number::from_raw(&self.text[begin..self.at])));
            }
        }
        let begin = self.at;
        let digits = |reader: &mut Self| {
            let begin = reader.at;
            while reader.peek().is_some_and(|byte| byte.is_ascii_digit()) {
                reader.at += 1;
            }
            reader.at > begin
        };
        let _ = self.take("-");
        if !digits(self) {
            return Err("a value was expected".into());
        }
        if self.take(".") {
            let _ = digits(self);
        }
        if self.take("e") {
            let _ = self.take("+") || self.take("-");
            if !digits(self) {
                return Err("a number has no digits behind its e".into());
            }
        }
        Ok(Json::Number(Number::from_raw(&self.text[begin..self.at])))
    }
}
