//! Where in a table's text a word stands, and how its line is quoted without showing a key.

use std::fmt;
use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;

/// What stands for a key in a quoted line.
const KEY_MASK: &str = "<key>";
/// The most characters of a line that a message quotes.
const QUOTE_CHARS: usize = 100;
/// The characters that a quoted line shows before the place, where it is cut.
const QUOTE_BEFORE: usize = 40;
/// The most characters of a word that a message repeats.
const WORD_CHARS: usize = 60;
/// A run of hex digits from this length on may be a key, or a piece of one.
const KEY_RUN: usize = 16;
/// The same within an absolute path, as the names of disks have up to 32 such digits (a WWN, a UUID).
const KEY_RUN_IN_PATH: usize = 40;
/// A run of decimal digits up to this length is taken for a number that somebody mistyped.
const NUMBER_RUN: usize = 24;

/// The place of a word in a table: its line, its column, and enough of the line's text to quote it.
///
/// The text is kept with its keys masked, so a place can be logged.
#[derive(Clone)]
pub struct TextPlace {
    line: Arc<Line>,
    chars: Range<usize>,
}

/// One line of a table, as messages quote it.
pub(super) struct Line {
    /// 1-based.
    number: usize,
    /// The text with each of `masks` replaced, and with nothing in it that a terminal would obey.
    quote: String,
    /// The characters of the original text that were replaced, in order and apart.
    masks: Vec<Range<usize>>,
}

impl Line {
    /// Line `number` (1-based) with the text `text`; `keys` are the bytes of it that are known to be keys.
    pub(super) fn new(number: usize, text: &str, keys: &[Range<usize>]) -> Self {
        let mut hidden = key_runs(text);
        hidden.extend(keys.iter().cloned());
        hidden.sort_by_key(|range| range.start);
        let mut bytes: Vec<Range<usize>> = Vec::new();
        for range in hidden {
            match bytes.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => bytes.push(range),
            }
        }
        let mut line = Self { number, quote: String::new(), masks: Vec::new() };
        let mut end = 0;
        for range in bytes {
            line.quote.extend(text[end..range.start].chars().map(printable));
            line.quote.push_str(KEY_MASK);
            let before = text[..range.start].chars().count();
            line.masks.push(before..before + text[range.clone()].chars().count());
            end = range.end;
        }
        line.quote.extend(text[end..].chars().map(printable));
        line
    }

    /// Where character `at` of the original stands in the quote. Inside a mask, that is the mask's first
    /// character, or for the `end` of a range its last.
    fn in_quote(&self, at: usize, end: bool) -> usize {
        let mask = KEY_MASK.len();
        let mut shifted = at;
        for range in &self.masks {
            if at >= range.end {
                shifted = shifted + mask - range.len();
            } else if at > range.start {
                return shifted - (at - range.start) + if end { mask } else { 0 };
            }
        }
        shifted
    }
}

impl TextPlace {
    /// The characters `chars` of `line`.
    pub(super) fn new(line: &Arc<Line>, chars: Range<usize>) -> Self {
        Self { line: Arc::clone(line), chars }
    }

    /// The place where `text` begins, which has no word in it.
    pub(super) fn begin_of(text: &str) -> Self {
        let first = text.split('\n').next().unwrap_or("");
        Self { line: Arc::new(Line::new(1, first, &[])), chars: 0..0 }
    }

    /// The number of the line, from 1.
    pub fn line(&self) -> usize {
        self.line.number
    }

    /// The column at which it begins, in characters, from 1.
    pub fn column(&self) -> usize {
        self.chars.start + 1
    }

    /// Its width in characters.
    pub fn width(&self) -> usize {
        self.chars.len()
    }

    /// The line's text with every key masked and control characters replaced.
    pub fn quote(&self) -> &str {
        &self.line.quote
    }

    /// Writes the line, indented by two, and below it a run of carets under the place and then `hint`.
    pub(super) fn write_quote(&self, f: &mut fmt::Formatter<'_>, hint: &str) -> fmt::Result {
        let total = self.line.quote.chars().count();
        let start = self.line.in_quote(self.chars.start, false).min(total);
        let end = self.line.in_quote(self.chars.end, true).clamp(start, total);
        let (from, to) = if total <= QUOTE_CHARS {
            (0, total)
        } else {
            let from = start.saturating_sub(QUOTE_BEFORE).min(total - QUOTE_CHARS);
            (from, from + QUOTE_CHARS)
        };
        let (head, tail) = (if from > 0 { "..." } else { "" }, if to < total { "..." } else { "" });
        let shown: String = self.line.quote.chars().skip(from).take(to - from).collect();
        writeln!(f, "  {head}{shown}{tail}")?;
        let carets = end.min(to).saturating_sub(start).max(1);
        write!(f, "  {:indent$}{:^<carets$} {hint}", "", "", indent = head.len() + start - from)
    }
}

impl fmt::Debug for TextPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line(), self.column())
    }
}

/// `word` in quotes as a message shows it: key-like digits masked, control characters escaped, cut when long.
pub fn shown(word: &str) -> String {
    let mut text = String::from("\"");
    let mut end = 0;
    for run in key_runs(word) {
        text.push_str(&word[end..run.start]);
        text.push_str(KEY_MASK);
        end = run.end;
    }
    text.push_str(&word[end..]);
    let mut quoted = String::new();
    for (count, c) in text.chars().enumerate() {
        if count > WORD_CHARS {
            quoted.push_str("...");
            break;
        }
        if printable(c) == c {
            quoted.push(c);
        } else {
            let _ = write!(quoted, "{}", c.escape_unicode());
        }
    }
    quoted.push('"');
    quoted
}

/// The bytes of `text` that look like a key, wherever they stand: a key can be in the wrong place on a line.
fn key_runs(text: &str) -> Vec<Range<usize>> {
    let mut runs = Vec::new();
    let (mut start, mut word) = (0, 0);
    for (at, byte) in text.bytes().chain([b' ']).enumerate() {
        if byte.is_ascii_hexdigit() {
            continue;
        }
        let run = &text.as_bytes()[start..at];
        let number = run.len() <= NUMBER_RUN && run.iter().all(u8::is_ascii_digit);
        let least = if text[word..].starts_with('/') { KEY_RUN_IN_PATH } else { KEY_RUN };
        if run.len() >= least && !number {
            runs.push(start..at);
        }
        start = at + 1;
        if byte.is_ascii_whitespace() {
            word = start.min(text.len());
        }
    }
    runs
}

/// `c`, or a stand-in of the same width where a terminal would act on it.
fn printable(c: char) -> char {
    match c {
        '\t' => ' ',
        // Bidirectional controls and the line separators reorder or break what is shown without being control characters.
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' => {
            '\u{fffd}'
        }
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}
