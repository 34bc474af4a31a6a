//! A piece of a cipher string that knows where in the string it stands, so that an error can point at it.

use std::ops::Range;

/// `text`, and the bytes of its string that say so.
#[derive(Clone, Copy)]
pub(super) struct Piece<'a> {
    pub text: &'a str,
    at: usize,
    len: usize,
}

impl<'a> Piece<'a> {
    /// `text`, which begins at byte `at` of its string.
    pub fn new(text: &'a str, at: usize) -> Self {
        Self { text, at, len: text.len() }
    }

    /// The whole of a string.
    pub fn whole(text: &'a str) -> Self {
        Self::new(text, 0)
    }

    /// What this piece means without saying it: `cbc`, by the `plain` of `aes-plain`.
    pub fn meaning(self, text: &'a str) -> Self {
        Self { text, ..self }
    }

    /// Its bytes in the string.
    pub fn range(self) -> Range<usize> {
        self.at..self.at + self.len
    }

    /// What is before and after byte `at`, without that byte, which is a separator.
    fn split_at(self, at: usize) -> (Self, Self) {
        let before = Self::new(&self.text[..at], self.at);
        (before, Self::new(&self.text[at + 1..], self.at + at + 1))
    }

    /// What is before and after the first `separator`; all of it and `None` where there is none.
    pub fn cut(self, separator: char) -> (Self, Option<Self>) {
        self.text.find(separator).map_or((self, None), |at| {
            let (before, after) = self.split_at(at);
            (before, Some(after))
        })
    }

    /// The same at the last `separator`.
    pub fn cut_last(self, separator: char) -> (Self, Option<Self>) {
        self.text.rfind(separator).map_or((self, None), |at| {
            let (before, after) = self.split_at(at);
            (before, Some(after))
        })
    }

    /// The name and the inside of `name(inside)`; `None` where it is not of this form.
    pub fn call(self) -> Option<(Self, Self)> {
        let open = self.text.find('(')?;
        let (name, inside) = self.split_at(open);
        Some((name, Self::new(inside.text.strip_suffix(')')?, inside.at)))
    }
}
