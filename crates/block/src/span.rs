//! Runs of memory, and a cursor over several of them.
//!
//! The memory behind a run may belong to a client or a guest that changes it while we look: so nothing here ever
//! makes a `&[u8]` of it. Bytes go in and out by copies, and ciphers take the address. This is the stance of
//! `vm-memory`'s `VolatileSlice`, for the same reason.
#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};

/// A run of memory of any length: an address, a length in bytes, and for how long it stays valid (the kernel's
/// `bio_vec`, for a folio and not a page).
///
/// A span can be copied and written through, so it stays on the thread that made it: two threads with copies of one would
/// race. What carries memory to another thread owns it: a bio, its pages, a cipher's job. There the spans are made anew.
///
/// ```compile_fail,E0277
/// # use udm_block::Span;
/// let mut bytes = [0; 512];
/// let span = Span::new(&mut bytes);
/// std::thread::scope(|scope| scope.spawn(move || span.fill(1)));
/// ```
#[derive(Clone, Copy)]
pub struct Span<'a> {
    addr: NonNull<u8>,
    len: usize,
    life: PhantomData<&'a [UnsafeCell<u8>]>,
}

impl<'a> Span<'a> {
    /// A run that holds no byte.
    pub const EMPTY: Self = Self { addr: NonNull::dangling(), len: 0, life: PhantomData };

    /// The run of memory that `bytes` borrows.
    pub fn new(bytes: &'a mut [u8]) -> Self {
        Self { len: bytes.len(), addr: NonNull::from(bytes).cast(), life: PhantomData }
    }

    /// The run of `len` bytes at `addr`.
    ///
    /// # Safety
    /// For all of `'a` the memory must stay mapped, and be read and written through spans alone or by somebody
    /// outside this program (a client, a guest, the kernel). If it may only be read, nobody may write through this. While one
    /// thread writes through a span of this memory, no other thread of this program has one.
    pub const unsafe fn from_raw(addr: NonNull<u8>, len: usize) -> Self {
        Self { addr, len, life: PhantomData }
    }

    /// Where the run begins. To be dereferenced for `len` bytes only, and only while `'a` lasts.
    pub const fn as_ptr(&self) -> *mut u8 {
        self.addr.as_ptr()
    }

    /// How many bytes the run has.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether the run has no bytes.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The `len` bytes of the run that begin at byte `at`.
    ///
    /// # Panics
    /// Where that leaves the run.
    #[must_use]
    pub fn slice(&self, at: usize, len: usize) -> Self {
        assert!(at <= self.len && len <= self.len - at, "{len} bytes at {at} leave a run of {}", self.len);
        // SAFETY: `at` is at most the run's length, so the address stays in it or one past its end.
        Self { addr: unsafe { self.addr.add(at) }, len, life: PhantomData }
    }

    /// Copies the run into `to`.
    ///
    /// # Panics
    /// Where the lengths differ.
    pub fn read(&self, to: &mut [u8]) {
        assert_eq!(self.len, to.len(), "a run and the buffer it is copied into differ in length");
        // SAFETY: both are valid for `len` bytes, by this type's promise and as a slice. `ptr::copy` allows overlap.
        unsafe { ptr::copy(self.addr.as_ptr(), to.as_mut_ptr(), self.len) }
    }

    /// Copies `from` into the run.
    ///
    /// # Panics
    /// Where the lengths differ.
    pub fn write(&self, from: &[u8]) {
        assert_eq!(self.len, from.len(), "a run and the buffer it is copied from differ in length");
        // SAFETY: as in `read`; writing is the right of the bio's one holder.
        unsafe { ptr::copy(from.as_ptr(), self.addr.as_ptr(), self.len) }
    }

    /// Whether every byte of the run is zero. Where somebody changes it meanwhile, the answer is of some moment.
    pub fn is_zero(&self) -> bool {
        const PIECE: usize = 256;
        let zeros = [0u8; PIECE];
        (0..self.len).step_by(PIECE).all(|at| {
            let (mut piece, len) = ([0u8; PIECE], PIECE.min(self.len - at));
            self.slice(at, len).read(&mut piece[..len]);
            piece == zeros
        })
    }

    /// Sets every byte of the run to `byte`.
    pub fn fill(&self, byte: u8) {
        // SAFETY: the run is valid for `len` bytes.
        unsafe { ptr::write_bytes(self.addr.as_ptr(), byte, self.len) }
    }
}

impl std::fmt::Debug for Span<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Span({} bytes)", self.len)
    }
}

/// A cursor over runs of memory (the kernel's `bvec_iter`): what is left of them, in order. Cheap to copy.
#[derive(Clone, Copy, Debug)]
pub struct SpanIter<'a> {
    spans: &'a [Span<'a>],
    /// Bytes of the first run that are behind the cursor.
    skip: usize,
    /// Bytes that are left in all.
    left: usize,
}

impl<'a> SpanIter<'a> {
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
            self.take(now.len()).read(now);
            to = later;
        }
    }

    /// Copies `from` in and moves past it.
    ///
    /// # Panics
    /// Where fewer bytes are left.
    pub fn write(&mut self, mut from: &[u8]) {
        while !from.is_empty() {
            let (now, later) = from.split_at(self.peek().len().min(from.len()));
            self.take(now.len()).write(now);
            from = later;
        }
    }

    /// The next `len` bytes, which must be in one run, moving past them.
    fn take(&mut self, len: usize) -> Span<'a> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_walks_runs_of_any_length() {
        let (mut a, mut b, mut c) = ([1u8, 2, 3], [0u8; 0], [4u8, 5]);
        let spans = [Span::new(&mut a), Span::new(&mut b), Span::new(&mut c)];
        let mut iter = SpanIter::new(&spans);
        assert_eq!(iter.len(), 5);
        iter.advance(2);
        assert_eq!(iter.peek().len(), 1);
        let mut got = [0; 3];
        iter.read(&mut got);
        assert_eq!((got, iter.len(), iter.peek().len()), ([3, 4, 5], 0, 0));
        let mut iter = SpanIter::new(&spans).first(4).after(1);
        iter.write(&[7, 8, 9]);
        assert_eq!(iter.next().map(|s| s.len()), None);
        assert_eq!((a, c), ([1, 7, 8], [9, 5]));
    }

    #[test]
    fn one_byte_anywhere_makes_a_run_no_zeros() {
        let mut bytes = [0u8; 700];
        assert!(Span::new(&mut bytes).is_zero() && Span::EMPTY.is_zero());
        for at in 0..bytes.len() {
            bytes[at] = 1;
            assert!(!Span::new(&mut bytes).is_zero(), "byte {at}");
            bytes[at] = 0;
        }
    }

    #[test]
    #[should_panic(expected = "leave a run of 4")]
    fn a_slice_past_the_end_panics() {
        let _ = Span::new(&mut [0; 4]).slice(2, 3);
    }
}
