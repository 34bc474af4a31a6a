//! Runs of memory, and cursors over several of them.
//!
//! The memory behind a run may belong to a client or a guest that changes it while we look: so nothing here ever
//! makes a `&[u8]` of it. Bytes go in and out by copies of which the compiler may assume nothing (`copy`), and ciphers take
//! the address. This is the stance of `vm-memory`'s `VolatileSlice`, for the same reason.
//!
//! * Here: `Span`, to be read from, and `SpanMut`, to be written.
//! * `cursor`: `SpanIter` and `SpanIterMut`, over several of them.
//! * `copy`: the copies.
#![allow(unsafe_code)]

mod copy;
mod cursor;
#[cfg(test)]
mod tests;

pub use cursor::{SpanIter, SpanIterMut};

use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::ptr::NonNull;

/// A run of memory to be read from, of any length: an address, a length in bytes, and for how long it stays valid (the
/// kernel's `bio_vec`, for a folio and not a page).
///
/// A span stays on the thread that made it: on that thread it may be read while something else writes the same bytes (a
/// cipher in place), and on another that would be a race. What carries memory to another thread owns it: a bio, its
/// pages, a cipher's job. There the spans are made anew.
///
/// ```compile_fail,E0277
/// # use udm_block::Span;
/// let bytes = [0; 512];
/// let span = Span::new(&bytes);
/// std::thread::scope(|scope| scope.spawn(move || span.is_zero()));
/// ```
///
/// It is not written through:
///
/// ```compile_fail,E0599
/// # use udm_block::Span;
/// let mut bytes = [0; 512];
/// Span::new(&mut bytes).fill(1);
/// ```
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Span<'a> {
    addr: NonNull<u8>,
    len: usize,
    life: PhantomData<&'a [UnsafeCell<u8>]>,
}

/// A run of memory that can be written, of any length. Of the same bytes there is one.
///
/// ```
/// # use udm_block::SpanMut;
/// let mut bytes = [0; 512];
/// let mut span = SpanMut::new(&mut bytes);
/// span.slice(2, 3).fill(7);
/// span.slice(4, 2).write(&[8, 9]);
/// assert_eq!(bytes[..7], [0, 0, 7, 7, 8, 9, 0]);
/// ```
///
/// It cannot be copied:
///
/// ```compile_fail,E0382
/// # use udm_block::SpanMut;
/// let mut bytes = [0; 512];
/// let span = SpanMut::new(&mut bytes);
/// let mut writers = [span, span];
/// ```
///
/// nor made twice of one buffer:
///
/// ```compile_fail,E0499
/// # use udm_block::SpanMut;
/// let mut bytes = [0; 512];
/// let (mut one, mut other) = (SpanMut::new(&mut bytes), SpanMut::new(&mut bytes));
/// one.fill(1);
/// other.fill(2);
/// ```
///
/// nor be in two halves that overlap:
///
/// ```compile_fail,E0499
/// # use udm_block::SpanMut;
/// let mut bytes = [0; 512];
/// let mut span = SpanMut::new(&mut bytes);
/// let (mut one, mut other) = (span.slice(0, 300), span.slice(200, 300));
/// one.fill(1);
/// other.fill(2);
/// ```
///
/// nor sent to another thread:
///
/// ```compile_fail,E0277
/// # use udm_block::SpanMut;
/// let mut bytes = [0; 512];
/// let mut span = SpanMut::new(&mut bytes);
/// std::thread::scope(|scope| scope.spawn(move || span.fill(1)));
/// ```
#[repr(transparent)]
pub struct SpanMut<'a> {
    /// The same run, whose address may be written to.
    span: Span<'a>,
    life: PhantomData<&'a mut [u8]>,
}

impl<'a> Span<'a> {
    /// A run that holds no byte.
    pub const EMPTY: Self = Self { addr: NonNull::dangling(), len: 0, life: PhantomData };

    /// The run of memory that `bytes` borrows.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { len: bytes.len(), addr: NonNull::from_ref(bytes).cast(), life: PhantomData }
    }

    /// The run of `len` bytes at `addr`.
    ///
    /// # Safety
    /// For all of `'a` the memory must stay mapped, and be read and written through spans alone or by somebody
    /// outside this program (a client, a guest, the kernel). No other thread of this program writes it.
    pub const unsafe fn from_raw(addr: NonNull<u8>, len: usize) -> Self {
        Self { addr, len, life: PhantomData }
    }

    /// Where the run begins. To be read for `len` bytes only, and only while `'a` lasts.
    pub const fn as_ptr(&self) -> *const u8 {
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
    #[inline]
    pub fn read(&self, to: &mut [u8]) {
        assert_eq!(self.len, to.len(), "a run and the buffer it is copied into differ in length");
        self.copy_to(&mut SpanMut::new(to));
    }

    /// Copies the run into another. Where the two overlap, the result is any bytes.
    ///
    /// # Panics
    /// Where the lengths differ.
    #[inline]
    pub fn copy_to(&self, to: &mut SpanMut<'_>) {
        assert_eq!(self.len, to.len(), "a run and the one it is copied into differ in length");
        // SAFETY: both are valid for `len` bytes, by the types' promises.
        unsafe { copy::copy(self.as_ptr(), to.as_mut_ptr(), self.len) }
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
}

impl<'a> From<&'a [u8]> for Span<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::new(bytes)
    }
}

impl<'a> SpanMut<'a> {
    /// A run that holds no byte.
    pub const EMPTY: Self = Self { span: Span::EMPTY, life: PhantomData };

    /// The run of memory that `bytes` borrows.
    pub const fn new(bytes: &'a mut [u8]) -> Self {
        let len = bytes.len();
        let span = Span { len, addr: NonNull::from_mut(bytes).cast(), life: PhantomData };
        Self { span, life: PhantomData }
    }

    /// The run of `len` bytes at `addr`.
    ///
    /// # Safety
    /// For all of `'a` the memory must stay mapped and may be written. It is read and written through spans alone, on this
    /// thread alone, and written through no other; or else by somebody outside this program (a client, a guest, the
    /// kernel).
    pub const unsafe fn from_raw(addr: NonNull<u8>, len: usize) -> Self {
        Self { span: Span { addr, len, life: PhantomData }, life: PhantomData }
    }

    /// The run of `span`, to be written.
    ///
    /// # Safety
    /// As for [`from_raw`](Self::from_raw).
    const unsafe fn from_span(span: Span<'a>) -> Self {
        Self { span, life: PhantomData }
    }

    /// These runs, to be read.
    const fn as_spans<'s>(runs: &'s [Self]) -> &'s [Span<'a>] {
        // SAFETY: a run is a span and nothing else (`repr(transparent)`).
        unsafe { std::slice::from_raw_parts(runs.as_ptr().cast(), runs.len()) }
    }

    /// Where the run begins. To be read and written for `len` bytes only, and only while this is borrowed.
    pub const fn as_mut_ptr(&mut self) -> *mut u8 {
        self.span.addr.as_ptr()
    }

    /// How many bytes the run has.
    pub const fn len(&self) -> usize {
        self.span.len
    }

    /// Whether the run has no bytes.
    pub const fn is_empty(&self) -> bool {
        self.span.is_empty()
    }

    /// The same run, lent on.
    pub const fn reborrow(&mut self) -> SpanMut<'_> {
        SpanMut { span: self.span, life: PhantomData }
    }

    /// The same run, to be read.
    pub const fn as_span(&self) -> Span<'_> {
        self.span
    }

    /// The run, to be read and written at once: see [`SpanIterMut::in_place`].
    pub const fn in_place(&mut self) -> (Span<'_>, SpanMut<'_>) {
        (self.span, SpanMut { span: self.span, life: PhantomData })
    }

    /// The `len` bytes of the run that begin at byte `at`.
    ///
    /// # Panics
    /// Where that leaves the run.
    pub fn slice(&mut self, at: usize, len: usize) -> SpanMut<'_> {
        SpanMut { span: self.span.slice(at, len), life: PhantomData }
    }

    /// The `len` bytes of the run that begin at byte `at`, for as long as the run lasts.
    ///
    /// # Panics
    /// Where that leaves the run.
    #[must_use]
    pub fn into_slice(self, at: usize, len: usize) -> Self {
        Self { span: self.span.slice(at, len), life: PhantomData }
    }

    /// The bytes before byte `at`, and those from there on.
    ///
    /// # Panics
    /// Where that leaves the run.
    #[must_use]
    pub fn split_at(self, at: usize) -> (Self, Self) {
        let (front, rest) = (self.span.slice(0, at), self.span.slice(at, self.len() - at));
        (Self { span: front, life: PhantomData }, Self { span: rest, life: PhantomData })
    }

    /// Copies `from` into the run.
    ///
    /// # Panics
    /// Where the lengths differ.
    #[inline]
    pub fn write(&mut self, from: &[u8]) {
        assert_eq!(self.len(), from.len(), "a run and the buffer it is copied from differ in length");
        Span::new(from).copy_to(self);
    }

    /// Sets every byte of the run to `byte`.
    pub fn fill(&mut self, byte: u8) {
        // SAFETY: the run is valid for `len` bytes.
        unsafe { copy::fill(self.as_mut_ptr(), byte, self.len()) }
    }
}

impl<'a> From<&'a mut [u8]> for SpanMut<'a> {
    fn from(bytes: &'a mut [u8]) -> Self {
        Self::new(bytes)
    }
}

impl std::fmt::Debug for Span<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Span({} bytes)", self.len)
    }
}

impl std::fmt::Debug for SpanMut<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SpanMut({} bytes)", self.len())
    }
}
