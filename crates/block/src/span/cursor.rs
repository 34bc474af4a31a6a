//! Cursors over several runs of memory (the kernel's `bvec_iter`).
#![allow(unsafe_code)]

use std::marker::PhantomData;

use super::{Span, SpanMut};

/// A cursor over runs of memory to be read from: what is left of them, in order. Cheap to copy.
#[derive(Clone, Copy, Debug)]
pub struct SpanIter<'a> {
    spans: &'a [Span<'a>],
    /// Bytes of the first run that are behind the cursor.
    skip: usize,
    /// Bytes that are left in all.
    left: usize,
}

/// A cursor over runs of memory that can be written. Of the same bytes there is one, so it is not copied but lent on, by
/// [`reborrow`](Self::reborrow), or cut, by [`take_first`](Self::take_first).
#[derive(Debug)]
pub struct SpanIterMut<'a> {
    /// The same runs, whose addresses may be written to.
    iter: SpanIter<'a>,
    life: PhantomData<&'a mut [u8]>,
}

impl<'a> SpanIter<'a> {
    /// A cursor over nothing.
    pub const EMPTY: Self = Self { spans: &[], skip: 0, left: 0 };

    /// A cursor at the beginning of `spans`, over all of them.
    pub fn new(spans: &'a [Span<'a>]) -> Self {
        Self { left: spans.iter().map(Span::len).sum(), spans, skip: 0 }
    }

    /// A cursor over the first `len` bytes of `spans` from byte `skip` of the first run on.
    ///
    /// # Panics
    /// In debug builds, where `spans` hold fewer bytes.
    pub fn with_len(spans: &'a [Span<'a>], skip: usize, len: usize) -> Self {
        let iter = Self { spans, skip, left: len };
        debug_assert!(spans.iter().map(Span::len).sum::<usize>() >= skip + len, "a cursor leaves its runs");
        iter
    }

    /// How many bytes are left.
    pub const fn len(&self) -> usize {
        self.left
    }

    /// Whether no byte is left.
    pub const fn is_empty(&self) -> bool {
        self.left == 0
    }

    /// What is left of the run at the cursor; empty where nothing is left. It does not move the cursor.
    pub fn peek(&self) -> Span<'a> {
        let mut skip = self.skip;
        for span in self.spans {
            if skip < span.len() && self.left > 0 {
                return span.slice(skip, self.left.min(span.len() - skip));
            }
            skip = skip.saturating_sub(span.len());
        }
        Span::EMPTY
    }

    /// Moves the cursor by `by` bytes.
    ///
    /// # Panics
    /// Where fewer are left.
    pub fn advance(&mut self, by: usize) {
        assert!(by <= self.left, "a cursor with {} bytes left cannot advance by {by}", self.left);
        self.left -= by;
        self.skip += by;
        while let [first, rest @ ..] = self.spans {
            if self.skip < first.len() {
                break;
            }
            self.skip -= first.len();
            self.spans = rest;
        }
    }

    /// A cursor over the first `len` bytes of what is left.
    ///
    /// # Panics
    /// Where fewer are left.
    #[must_use]
    pub fn first(&self, len: usize) -> Self {
        assert!(len <= self.left, "a cursor with {} bytes left has no first {len}", self.left);
        Self { left: len, ..*self }
    }

    /// A cursor over what is left behind the next `by` bytes.
    ///
    /// # Panics
    /// Where fewer are left.
    #[must_use]
    pub fn after(&self, by: usize) -> Self {
        let mut iter = *self;
        iter.advance(by);
        iter
    }

    /// Copies the next `to.len()` bytes out and moves past them.
    ///
    /// # Panics
    /// Where fewer are left.
    pub fn read(&mut self, mut to: &mut [u8]) {
        while !to.is_empty() {
            let (now, later) = to.split_at_mut(self.peek().len().min(to.len()));
            self.cut(now.len()).read(now);
            to = later;
        }
    }

    /// The next `len` bytes, which must be in one run, moving past them.
    fn cut(&mut self, len: usize) -> Span<'a> {
        assert!(len > 0, "a cursor has run out of bytes");
        let span = self.peek().slice(0, len);
        self.advance(len);
        span
    }
}

/// The runs that are left, each as long as it goes.
#[expect(clippy::copy_iterator, reason = "a cursor is copied on purpose: to look ahead, or to walk twice")]
impl<'a> Iterator for SpanIter<'a> {
    type Item = Span<'a>;

    fn next(&mut self) -> Option<Span<'a>> {
        let span = self.peek();
        if span.is_empty() {
            return None;
        }
        self.advance(span.len());
        Some(span)
    }
}

impl<'a> SpanIterMut<'a> {
    /// A cursor over nothing.
    pub const EMPTY: Self = Self { iter: SpanIter::EMPTY, life: PhantomData };

    /// A cursor at the beginning of `spans`, over all of them.
    pub fn new(spans: &'a mut [SpanMut<'_>]) -> Self {
        // SAFETY: they are lent for 'a, so this is the one cursor over them.
        unsafe { Self::from_iter(SpanIter::new(SpanMut::as_spans(spans))) }
    }

    /// The writing cursor over what `iter` reads.
    ///
    /// # Safety
    /// For `'a` the memory may be written through the addresses that `iter` has, and nothing else of this program writes it
    /// or, on another thread, reads it.
    pub const unsafe fn from_iter(iter: SpanIter<'a>) -> Self {
        Self { iter, life: PhantomData }
    }

    /// How many bytes are left.
    pub const fn len(&self) -> usize {
        self.iter.len()
    }

    /// Whether no byte is left.
    pub const fn is_empty(&self) -> bool {
        self.iter.is_empty()
    }

    /// The same cursor, lent on: this one stays where it is.
    pub const fn reborrow(&mut self) -> SpanIterMut<'_> {
        SpanIterMut { iter: self.iter, life: PhantomData }
    }

    /// What is left, to be read.
    pub const fn as_iter(&self) -> SpanIter<'_> {
        self.iter
    }

    /// What is left, to be read and written at once: for a cipher that works in place.
    ///
    /// The two are of the same bytes. That is sound, and not only where the cipher reads each byte before it writes it:
    /// cursors and their runs are raw addresses of which nobody makes a reference, and they cannot leave this thread, so
    /// a read and a write never race. While they live, this cursor is lent, so there is no second writer.
    pub const fn in_place(&mut self) -> (SpanIter<'_>, SpanIterMut<'_>) {
        (self.iter, SpanIterMut { iter: self.iter, life: PhantomData })
    }

    /// The same for as long as the cursor lasts.
    #[must_use]
    pub const fn into_in_place(self) -> (SpanIter<'a>, Self) {
        (self.iter, self)
    }

    /// What is left of the run at the cursor; empty where nothing is left. It does not move the cursor.
    pub fn peek(&mut self) -> SpanMut<'_> {
        self.reborrow().take_run(usize::MAX)
    }

    /// The next bytes that are in one run, at most `most`, moving past them; empty where nothing is left.
    fn take_run(&mut self, most: usize) -> SpanMut<'a> {
        let run = self.iter.peek();
        let run = run.slice(0, run.len().min(most));
        self.iter.advance(run.len());
        // SAFETY: the run is this cursor's to write, which has moved past it.
        unsafe { SpanMut::from_span(run) }
    }

    /// Moves the cursor by `by` bytes.
    ///
    /// # Panics
    /// Where fewer are left.
    pub fn advance(&mut self, by: usize) {
        self.iter.advance(by);
    }

    /// A cursor over the first `len` bytes of what is left.
    ///
    /// # Panics
    /// Where fewer are left.
    pub fn first(&mut self, len: usize) -> SpanIterMut<'_> {
        SpanIterMut { iter: self.iter.first(len), life: PhantomData }
    }

    /// A cursor over what is left behind the next `by` bytes.
    ///
    /// # Panics
    /// Where fewer are left.
    pub fn after(&mut self, by: usize) -> SpanIterMut<'_> {
        SpanIterMut { iter: self.iter.after(by), life: PhantomData }
    }

    /// Cuts the first `len` bytes off, as a cursor of their own, and moves past them.
    ///
    /// # Panics
    /// Where fewer are left.
    #[must_use]
    pub fn take_first(&mut self, len: usize) -> Self {
        let iter = self.iter.first(len);
        self.iter.advance(len);
        Self { iter, life: PhantomData }
    }

    /// Copies `from` in and moves past it.
    ///
    /// # Panics
    /// Where fewer bytes are left.
    pub fn write(&mut self, mut from: &[u8]) {
        while !from.is_empty() {
            let mut run = self.take_run(from.len());
            assert!(!run.is_empty(), "a cursor has run out of bytes");
            let (now, later) = from.split_at(run.len());
            run.write(now);
            from = later;
        }
    }

    /// Sets every byte that is left to `byte`.
    pub fn fill(self, byte: u8) {
        self.for_each(|mut run| run.fill(byte));
    }
}

/// The runs that are left, each as long as it goes. No two have a byte in common.
impl<'a> Iterator for SpanIterMut<'a> {
    type Item = SpanMut<'a>;

    fn next(&mut self) -> Option<SpanMut<'a>> {
        Some(self.take_run(usize::MAX)).filter(|run| !run.is_empty())
    }
}
