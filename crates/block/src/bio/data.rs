//! The memory of a bio, to be read and to be written.
#![allow(unsafe_code)]

use super::raw::{Bio, Memory, Pad, PadBio};
use crate::op::Op;
use crate::span::{SpanIter, SpanIterMut};

impl Bio {
    /// Its memory, in order; empty where the operation has none.
    pub fn data(&self) -> SpanIter<'_> {
        let own = self.own();
        if !own.op.has_data() {
            return SpanIter::new(&[]);
        }
        SpanIter::with_len(self.runs(), own.skip, own.len)
    }

    /// Its memory, in order, to be written: for who serves a read, and for who fills a write's own pages. Empty where the
    /// operation has none.
    ///
    /// # Panics
    /// For a write whose memory somebody else keeps, which may be memory that cannot be written.
    pub fn data_mut(&mut self) -> SpanIterMut<'_> {
        let own = self.own();
        let is_ours = own.op == Op::Read || matches!(own.memory, Memory::Own(_)) || !own.op.has_data();
        assert!(is_ours, "the data of a write is only read");
        self.writer()
    }

    /// The writing cursor over its data, which its caller has seen to be its own.
    fn writer(&mut self) -> SpanIterMut<'_> {
        // SAFETY: the memory of a read may be written, by the promise of who gave it (`set_foreign`), and pages of the bio's own
        // are. It is this bio's alone: pieces that were split off have other bytes, and a parent lends it. The bio is
        // borrowed, and it is one thread's.
        unsafe { SpanIterMut::from_iter(self.data()) }
    }
}

impl<P: Pad> PadBio<P> {
    /// The driver's own state for this bio, and its data to be written: for one that has in its pad what goes there.
    ///
    /// # Panics
    /// As [`Bio::data_mut`].
    pub fn pad_and_data_mut(&mut self) -> (&mut P, SpanIterMut<'_>) {
        let (pad, bio) = self.parts_mut();
        (pad, bio.data_mut())
    }

    /// Its memory, in order, to be written, as [`Bio::data_mut`] gives it.
    ///
    /// # Panics
    /// As that.
    pub fn data_mut(&mut self) -> SpanIterMut<'_> {
        self.bio_mut().data_mut()
    }

    /// The data of the bio that waits inside, to be written, as [`Bio::data_mut`] gives it.
    ///
    /// # Panics
    /// As that.
    pub fn parent_data_mut(&mut self) -> Option<SpanIterMut<'_>> {
        match &mut self.bio_mut().own_mut().memory {
            Memory::Parent(parent) => Some(parent.data_mut()),
            _ => None,
        }
    }
}
