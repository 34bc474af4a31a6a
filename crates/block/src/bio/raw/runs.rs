//! The runs of a bio's memory: its own, or those of the bio that it is a piece or a clone of.
#![allow(unsafe_code)]

use super::block::{Pad, PadBio};
use super::head::{Bio, BioChunk, INLINE_SPANS, Memory, NO_SPANS};
use crate::lent::Lent;
use crate::span::Span;

impl<P: Pad> PadBio<P> {
    /// Gives it the first `len` bytes of `chunk` for its data. It has memory of its own or a parent inside, not both.
    ///
    /// # Panics
    /// Where `chunk` is shorter.
    pub(crate) fn set_chunk(&mut self, chunk: Lent<BioChunk>, len: usize) {
        // SAFETY: the chunk does not move, and is kept in this bio until it is freed or gives it back.
        unsafe {
            self.bio_mut().set_spans(&[chunk.span().slice(0, len)]);
        }
        let own = self.bio_mut().own_mut();
        (own.memory, own.skip, own.len) = (Memory::Own(chunk), 0, len);
    }

    /// Takes what [`PadBio::set_chunk`] gave; its data is empty then.
    pub(crate) fn take_chunk(&mut self) -> Option<Lent<BioChunk>> {
        let own = self.bio_mut().own_mut();
        match std::mem::replace(&mut own.memory, Memory::Elsewhere) {
            Memory::Own(chunk) => {
                (own.spans, own.skip, own.len) = (NO_SPANS, 0, 0);
                Some(chunk)
            }
            other => {
                own.memory = other;
                None
            }
        }
    }

    /// Gives it the place for more runs than fit inside.
    pub(in crate::bio) fn set_table(&mut self, table: Lent<BioChunk>) {
        self.bio_mut().own_mut().table = Some(table);
    }

    /// Takes the place for its runs back. It has no data then.
    pub(in crate::bio) fn take_table(&mut self) -> Option<Lent<BioChunk>> {
        let own = self.bio_mut().own_mut();
        let table = own.table.take()?;
        (own.spans, own.skip, own.len) = (NO_SPANS, 0, 0);
        Some(table)
    }

    /// Gives it memory that somebody else keeps, such as a guest's. A parent that waits inside stays there.
    ///
    /// # Safety
    /// The memory of `spans` stays valid until the bio has ended. Where the bio is a read, it may be written, through the
    /// addresses that the spans have. Until then nothing else of this program writes it, or reads it where the bio is a read.
    pub unsafe fn set_foreign(&mut self, spans: &[Span<'_>]) {
        // SAFETY: by the caller's promise; a `PadBio` that has not been handed on has no pieces.
        unsafe { self.bio_mut().set_spans(spans) };
        let len = self.runs().iter().map(Span::len).sum();
        let own = self.bio_mut().own_mut();
        (own.skip, own.len) = (0, len);
    }
}

impl Bio {
    /// Takes `spans` for its runs.
    ///
    /// # Safety
    /// The memory stays valid until the bio ends. Pieces have not been split off yet.
    ///
    /// # Panics
    /// For more runs than there is room for: [`INLINE_SPANS`], or what its table has.
    pub(in crate::bio) unsafe fn set_spans(&mut self, spans: &[Span<'_>]) {
        let (place, room) = match &self.own().table {
            None => (self.head().spans.get().cast::<Span<'static>>(), INLINE_SPANS),
            Some(table) => (table.addr().as_ptr().cast(), table.len() / size_of::<Span<'_>>()),
        };
        assert!(spans.len() <= room, "{} runs in a bio, which has room for {room}", spans.len());
        // SAFETY: there is room, aligned for runs; nobody borrows the runs yet; their lifetime is the caller's promise.
        unsafe { std::ptr::copy_nonoverlapping(spans.as_ptr().cast(), place, spans.len()) };
        // Block and table do not move, and the runs are not written again.
        self.own_mut().spans = std::ptr::slice_from_raw_parts(place, spans.len());
    }

    /// Its runs, whole: `skip` and `len` say what of them it is about.
    pub(in crate::bio) fn runs(&self) -> &[Span<'_>] {
        // SAFETY: the runs are in this bio's block or table or in those of a parent, which lives until this bio has ended; none
        // is written while a bio refers to it, and their memory is kept in the same way (`Memory`, or a promise).
        unsafe { &*self.own().spans }
    }

    /// Makes this bio a piece of `parent`: its first `len` bytes, at the same place with the same operation.
    pub(in crate::bio) fn borrow_front(&mut self, parent: &Bio, len: usize) {
        let from = parent.own();
        let own = self.own_mut();
        (own.op, own.flags, own.sector) = (from.op, from.flags, from.sector);
        // The runs are the parent's, which lives until this piece has ended.
        (own.spans, own.skip, own.len) = (from.spans, from.skip, len);
    }
}
