//! Pieces of a bio (the kernel's `bio_split` and `bio_chain`).

use super::bios::Bios;
use super::raw::{Bio, ChainRef, Ending, Pad, PadBio};
use crate::alloc::Alloc;
use crate::dispatch::Dispatch;
use crate::units::{Bytes, SECTOR_SIZE};

/// The pad of a piece: what it is a piece of.
pub struct Piece(Option<ChainRef>);

impl Pad for Piece {
    const ENDING: Ending<Self> = Ending::Anywhere(|piece| {
        let (parent, piece) = take_parent(piece);
        drop(piece);
        parent
    });
}

/// Notes the end of a piece: the bio that it is of, where that has ended too.
fn take_parent(mut piece: PadBio<Piece>) -> (Option<Bio>, PadBio<Piece>) {
    let status = piece.status();
    let parent = piece.pad_mut().0.take().and_then(|parent| parent.end(status));
    (parent, piece)
}

impl Bios<Piece> {
    /// Takes a piece that has ended: for [`Channel::end_io`](crate::Channel::end_io). The piece is free before the bio that
    /// it is of goes on: the next one may need it.
    pub fn end_piece(&mut self, cx: &mut Dispatch, piece: PadBio<Piece>) {
        let (parent, piece) = take_parent(piece);
        self.free(piece);
        if let Some(parent) = parent {
            cx.end(parent);
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
    /// Splits the first `len` bytes off, as a bio of `pieces` at the same place. The rest ends when all of its pieces
    /// have, with the first error of any.
    ///
    /// # Errors
    /// Hands the bio back whole when there is none.
    ///
    /// # Panics
    /// When `len` is not a whole number of sectors, at least one and less than the bio has.
    pub fn split(
        mut self,
        cx: &mut Dispatch,
        len: Bytes,
        pieces: &mut Bios<Piece>,
        how: Alloc,
    ) -> Result<Split, Bio> {
        let bytes = len.0 as usize;
        let whole = bytes.is_multiple_of(SECTOR_SIZE) && bytes > 0 && len < self.len();
        assert!(whole, "{len} bytes cannot be split off {self:?}");
        let Ok(mut piece) = pieces.alloc(cx, Piece(None), how) else { return Err(self) };
        piece.pad_mut().0 = Some(self.chain());
        piece.bio_mut().borrow_front(&self, bytes);
        self.advance(bytes);
        Ok(Split { front: piece.into_bio(), rest: self })
    }
}
