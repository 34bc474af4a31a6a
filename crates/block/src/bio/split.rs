//! Pieces of a bio (the kernel's `bio_split` and `bio_chain`).

use super::raw::ChainRef;
use super::{Bio, BioSet, Pad, PadBio};
use crate::mempool::Alloc;
use crate::submit;
use crate::units::{Bytes, SECTOR_SIZE};

/// The pad of a piece: what it is a piece of.
pub struct Piece(Option<ChainRef>);

impl Pad for Piece {
    type Context = ();

    fn end_io(mut bio: PadBio<Self>) {
        let status = bio.status();
        let parent = bio.pad_mut().0.take().and_then(|parent| parent.end(status));
        // The piece is free before its parent goes on: the next one may need it.
        drop(bio);
        if let Some(parent) = parent {
            submit::ended(parent);
        }
    }
}

/// What [`Bio::split`] makes.
pub struct Split {
    /// The first bytes, a bio of their own.
    pub front: Bio,
    /// The bio itself, which has the rest now, and ends when the front has ended too.
    pub rest: Bio,
}

impl Bio {
    /// Splits the first `len` bytes off, as a bio of `set` at the same place. The rest ends when all of its pieces
    /// have, with the first error of any.
    ///
    /// # Errors
    /// Hands the bio back whole when the set has none.
    ///
    /// # Panics
    /// When `len` is not a whole number of sectors, at least one and less than the bio has.
    pub fn split(mut self, len: Bytes, set: &BioSet<Piece>, how: Alloc) -> Result<Split, Bio> {
        let bytes = len.0 as usize;
        let whole = bytes.is_multiple_of(SECTOR_SIZE) && bytes > 0 && len < self.len();
        assert!(whole, "{len} bytes cannot be split off {self:?}");
        let Ok(mut piece) = set.alloc(Piece(None), how) else { return Err(self) };
        piece.pad_mut().0 = Some(self.chain());
        piece.bio_mut().borrow_front(&self, bytes);
        if let Some(home) = self.home() {
            piece.set_home(home);
        }
        self.advance(bytes);
        Ok(Split { front: piece.into_bio(), rest: self })
    }
}
