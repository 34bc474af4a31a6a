//! A table's text as lines and words, cut as dmsetup and the kernel cut them.

use std::ops::{Deref, Range};
use std::sync::Arc;

use zeroize::Zeroizing;

use super::error::{Fault, KernelReason, TableError, TableErrorKind};
use super::names::TARGETS;
use super::place::{Line, TextPlace, shown};
use crate::targets::{TargetType, TargetTypes};

/// The words of a row that dmsetup reads itself: start, length and target.
pub(super) const HEAD_WORDS: usize = 3;

/// A shorter word than this in the key's place is none, where it is not known that a key belongs there.
const KEY_LENGTH_MIN: usize = 16;

/// One word of a row, and where it stands.
#[derive(Clone)]
pub struct Word<'a> {
    text: WordText<'a>,
    line: Arc<Line>,
    chars: Range<usize>,
}

/// A word's text; one that had backslashes in it is a copy, and wiped, as it may be a key.
#[derive(Clone)]
enum WordText<'a> {
    AsWritten(&'a str),
    Unescaped(Zeroizing<String>),
}

/// The bytes of one word in its line, with the backslashes still in it.
struct Cut {
    bytes: Range<usize>,
    escaped: bool,
}

impl Word<'_> {
    /// The word's place.
    pub fn place(&self) -> TextPlace {
        TextPlace::new(&self.line, self.chars.clone())
    }

    /// The place of `bytes` of the word. Where backslashes were taken out, it is the whole word.
    fn part(&self, bytes: Range<usize>) -> TextPlace {
        let (WordText::AsWritten(text), true) = (&self.text, bytes.start < bytes.end) else {
            return self.place();
        };
        let (Some(before), Some(part)) = (text.get(..bytes.start), text.get(bytes)) else {
            return self.place();
        };
        let start = self.chars.start + before.chars().count();
        TextPlace::new(&self.line, start..start + part.chars().count())
    }

    /// The error that `fault` is at this word.
    pub fn fault(&self, fault: Fault) -> TableError {
        let place = match fault.bytes() {
            Some(bytes) => self.part(bytes),
            None => self.place(),
        };
        TableError::new(place, fault)
    }

    /// The word as a number, which `what` names: decimal digits only, below 2^64. The kernel says `kernel` to what is
    /// not a number.
    ///
    /// # Errors
    /// Where it is not a number, or too large.
    pub fn number(&self, what: &str, kernel: Option<KernelReason>) -> Result<u64, TableError> {
        number(self, what, kernel).map_err(|fault| self.fault(fault))
    }
}

impl Deref for Word<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match &self.text {
            WordText::AsWritten(text) => text,
            WordText::Unescaped(text) => text,
        }
    }
}

/// Reads `text`, which `what` names, as a number: decimal digits only, no sign, below 2^64. The kernel says `kernel`
/// to what is no number; a larger one it takes modulo 2^64.
///
/// # Errors
/// Where it is not a number, or too large.
pub fn number(text: &str, what: &str, kernel: Option<KernelReason>) -> Result<u64, Fault> {
    let fault = |wrong: &str, hint: &str| {
        Fault::new(TableErrorKind::Number, format!("{what} {} {wrong}", shown(text)), shown(text), hint)
    };
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        let fault = fault("is not a number", "give a decimal number, digits only");
        return Err(kernel.into_iter().fold(fault, Fault::with_kernel));
    }
    text.parse().map_err(|_| fault("is too large", "give a number below 2^64 (18446744073709551616)"))
}

/// The rows of a table's text, each as its words; blank lines and comments are left out.
///
/// dmsetup takes a `#` as a comment's begin at a line's start and anywhere after the target's name, also
/// within a word; the kernel takes a backslash there as "the next character as it is". Here `\#` is a `#` too,
/// so that every path can be written.
///
/// `types` say which words are secret.
pub(super) fn rows<'t>(types: &TargetTypes, text: &'t str) -> Vec<Vec<Word<'t>>> {
    let secrets = |target: Option<&str>| Secrets::of(types, target);
    let lines = text.split('\n').enumerate();
    lines.map(|(index, line)| words(secrets, index + 1, line)).filter(|words| !words.is_empty()).collect()
}

/// The words of a row of `target` that was printed. A device's name with a line feed prints as two lines: those of the
/// first one.
pub(super) fn printed<'t>(target: &dyn TargetType, text: &'t str) -> Vec<Word<'t>> {
    let first = text.split('\n').next().unwrap_or_default();
    words(|_| Secrets::all(target.secret_args()), 1, first)
}

/// The words of line `number`; none where it is blank or a comment. `secrets` are those of its target.
fn words(secrets: impl Fn(Option<&str>) -> Secrets, number: usize, text: &str) -> Vec<Word<'_>> {
    let cuts = cut(text);
    let target = cuts.get(HEAD_WORDS - 1).map(|cut| &text[cut.bytes.clone()]);
    let Secrets { args, length_min } = secrets(target);
    let keys: Vec<_> = args
        .into_iter()
        .filter_map(|arg| Some(cuts.get(HEAD_WORDS + arg)?.bytes.clone()))
        .filter(|key| &text[key.clone()] != "-" && key.len() >= length_min)
        .collect();
    let line = Arc::new(Line::new(number, text, &keys));
    let word = |cut: &Cut| {
        let written = &text[cut.bytes.clone()];
        let start = text[..cut.bytes.start].chars().count();
        let text =
            if cut.escaped { WordText::Unescaped(unescape(written)) } else { WordText::AsWritten(written) };
        Word { text, line: Arc::clone(&line), chars: start..start + written.chars().count() }
    };
    cuts.iter().map(word).collect()
}

/// Which arguments are masked in messages, from which length on.
struct Secrets {
    args: Vec<usize>,
    length_min: usize,
}

impl Secrets {
    fn all(args: &[usize]) -> Self {
        Self { args: args.to_vec(), length_min: 0 }
    }

    /// Those of `target`. A misspelt target may be meant as any that is known, so that a long word in the place of a
    /// key of one of them is masked too; the other targets that the kernel has have no secrets.
    fn of(types: &TargetTypes, target: Option<&str>) -> Self {
        match target.map(|name| (types.find(name), TARGETS.contains(&name))) {
            Some((Some(known), _)) => Self::all(known.secret_args()),
            Some((None, true)) => Self::all(&[]),
            _ => {
                let known = types.iter().chain(TargetTypes::builtin().iter());
                let args = known.flat_map(|known| known.secret_args().iter().copied()).collect();
                Self { args, length_min: KEY_LENGTH_MIN }
            }
        }
    }
}

/// Cuts a line into words. White space is ASCII's, as a byte of a UTF-8 character must never split a path.
fn cut(text: &str) -> Vec<Cut> {
    let bytes = text.as_bytes();
    let space = |byte: u8| byte.is_ascii_whitespace() || byte == 0x0b;
    let mut cuts: Vec<Cut> = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        if space(bytes[at]) {
            at += 1;
            continue;
        }
        let in_head = cuts.len() < HEAD_WORDS;
        if bytes[at] == b'#' && (cuts.is_empty() || !in_head) {
            break;
        }
        let (start, mut escaped) = (at, false);
        while at < bytes.len() && !space(bytes[at]) && (in_head || bytes[at] != b'#') {
            let quoted = !in_head && bytes[at] == b'\\' && at + 1 < bytes.len();
            escaped |= quoted;
            at += if quoted { 1 + text[at + 1..].chars().next().map_or(0, char::len_utf8) } else { 1 };
        }
        cuts.push(Cut { bytes: start..at, escaped });
    }
    cuts
}

/// `text` with each backslash taken out and the character after it taken as it is.
fn unescape(text: &str) -> Zeroizing<String> {
    // The capacity is enough from the start, so that no copy of a key stays behind in a smaller buffer.
    let mut plain = Zeroizing::new(String::with_capacity(text.len()));
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let next = if c == '\\' { chars.next() } else { None };
        plain.push(next.unwrap_or(c));
    }
    plain
}
