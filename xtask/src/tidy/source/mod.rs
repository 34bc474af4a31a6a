//! A Rust file, read as far as the rules need it: what is code and what is not, words, functions, test code.
//!
//! This is no parser. It knows comments, strings and characters, so that a word in one of them is not taken for code,
//! and it matches braces. That is enough for the rules, and it never refuses a file.

mod mask;
#[cfg(test)]
mod tests;

use std::ops::Range;

use mask::mask;

/// One Rust file.
pub struct Source {
    pub path: String,
    /// The file as it stands, line by line.
    pub lines: Vec<String>,
    /// The same lines with blanks for comments, and for what strings and characters hold.
    pub code: Vec<String>,
    /// The words and signs of the code, in order.
    pub tokens: Vec<Token>,
    /// The lines that only tests are built from.
    test_lines: Vec<Range<usize>>,
}

/// A word, or a sign of one character.
#[derive(Debug, PartialEq, Eq)]
pub struct Token {
    pub text: String,
    /// Counted from 0.
    pub line: usize,
}

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    pub name: String,
    /// From the line with `fn` to that of the closing brace; counted from 0.
    pub lines: Range<usize>,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Self {
        let own = |text: &str| -> Vec<String> { text.lines().map(str::to_owned).collect() };
        let code = own(&mask(text));
        let tokens = tokens(&code);
        let test_lines = test_items(&tokens);
        Self { path: path.to_owned(), lines: own(text), code, tokens, test_lines }
    }

    /// Whether the whole file is test code: it is named so, or lies in a folder of tests.
    pub fn is_tests(&self) -> bool {
        let mut parts = self.path.rsplit('/');
        let name = parts.next().unwrap_or_default();
        name == "tests.rs" || name.ends_with("_tests.rs") || parts.any(|folder| folder == "tests")
    }

    /// Whether a line (counted from 0) is built only into tests.
    pub fn in_tests(&self, line: usize) -> bool {
        self.is_tests() || self.test_lines.iter().any(|lines| lines.contains(&line))
    }

    /// Whether a line (counted from 0) holds a comment and no code.
    pub fn is_comment(&self, line: usize) -> bool {
        self.code[line].trim().is_empty() && !self.lines[line].trim().is_empty()
    }

    /// The functions that have a body, in the order of their beginnings.
    pub fn functions(&self) -> Vec<Function> {
        let mut functions = Vec::new();
        for (at, pair) in self.tokens.windows(2).enumerate() {
            // `fn(` is a type.
            if pair[0].text == "fn"
                && pair[1].is_word()
                && let Some(close) = end_of_item(&self.tokens, at)
                && self.tokens[close].text == "}"
            {
                let lines = pair[0].line..self.tokens[close].line + 1;
                functions.push(Function { name: pair[1].text.clone(), lines });
            }
        }
        functions
    }
}

impl Token {
    /// Whether this is a word or a number, not a sign.
    pub fn is_word(&self) -> bool {
        self.text.starts_with(is_word)
    }
}

fn is_word(character: char) -> bool {
    character == '_' || character.is_alphanumeric()
}

fn tokens(code: &[String]) -> Vec<Token> {
    let mut tokens = Vec::new();
    for (line, text) in code.iter().enumerate() {
        let mut rest = text.trim_start();
        while let Some(first) = rest.chars().next() {
            let end = if is_word(first) {
                rest.find(|character| !is_word(character)).unwrap_or(rest.len())
            } else {
                first.len_utf8()
            };
            tokens.push(Token { text: rest[..end].to_owned(), line });
            rest = rest[end..].trim_start();
        }
    }
    tokens
}

/// The index of the token that ends the item which begins at `from`: its closing brace, or its semicolon.
pub fn end_of_item(tokens: &[Token], from: usize) -> Option<usize> {
    let mut brackets = 0;
    for (at, token) in tokens.iter().enumerate().skip(from) {
        match token.text.as_str() {
            "(" | "[" => brackets += 1,
            ")" | "]" => brackets -= 1,
            ";" if brackets == 0 => return Some(at),
            "{" if brackets == 0 => return closing_brace(tokens, at),
            _ => {}
        }
    }
    None
}

/// The index of the brace that closes the one at `open`.
fn closing_brace(tokens: &[Token], open: usize) -> Option<usize> {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.text.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

/// The lines of every item under a `#[cfg(test)]`, or a `#[cfg(all(test, ...))]`.
fn test_items(tokens: &[Token]) -> Vec<Range<usize>> {
    let mut items = Vec::new();
    for at in 0..tokens.len() {
        let Some(attribute) = attribute_at(tokens, at) else { continue };
        let words: Vec<&str> = tokens[attribute.clone()].iter().map(|token| token.text.as_str()).collect();
        let is_test = words.get(2) == Some(&"cfg") && words.contains(&"test") && !words.contains(&"not");
        if !is_test || words.contains(&"any") {
            continue;
        }
        let mut item = attribute.end;
        while let Some(next) = attribute_at(tokens, item) {
            item = next.end;
        }
        if let Some(end) = end_of_item(tokens, item) {
            items.push(tokens[at].line..tokens[end].line + 1);
        }
    }
    items
}

/// The tokens of the attribute (`#[...]`) that begins at `at`, if one does.
pub fn attribute_at(tokens: &[Token], at: usize) -> Option<Range<usize>> {
    if tokens.get(at)?.text != "#" || tokens.get(at + 1)?.text != "[" {
        return None;
    }
    let mut depth = 0;
    for (end, token) in tokens.iter().enumerate().skip(at + 1) {
        match token.text.as_str() {
            "[" => depth += 1,
            "]" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(at..end + 1);
        }
    }
    None
}
