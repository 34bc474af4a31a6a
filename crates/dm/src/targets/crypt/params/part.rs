//! A piece of a word that knows where in the word it stands, so that an error can point at it.

use std::ops::Range;

/// `text`, which begins at byte `at` of its word.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    pub text: &'a str,
    pub at: usize,
}

impl<'a> Part<'a> {
    /// The whole of a word.
    pub fn whole(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Its bytes in the word.
    pub fn range(self) -> Range<usize> {
        self.at..self.at + self.text.len()
    }

    /// What is before and after byte `at`, without that byte, which is a separator.
    fn split_at(self, at: usize) -> (Self, Self) {
        let before = Self { text: &self.text[..at], at: self.at };
        (before, Self { text: &self.text[at + 1..], at: self.at + at + 1 })
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
        let text = inside.text.strip_suffix(')')?;
        Some((name, Self { text, ..inside }))
    }
}
