//! A source of memory that is closed when everything has been taken: for programs that memory itself depends on.
//!
//! Who serves the device that the machine swaps to must not ask for memory while it serves: the system may have none
//! until the very I/O that asks has been done. So the pools of such a program stand over a [`Sealed`] source. Until
//! [`Sealed::seal`] it passes on what it is asked for; from then on it gives out only what it has in stock and what
//! came back to it, and refuses the rest, so that the pools go on with their reserves. Nothing goes back to the system
//! while pools stand over it: what came back could not be had again.

use std::alloc::Layout;
use std::sync::{Arc, PoisonError};

use crate::memory::{MemorySource, PAGE_SIZE, Piece, Returned, Source};
use crate::sync::{AtomicBool, AtomicU64, AtomicUsize, Mutex, MutexGuard, Ordering};

/// A source that gives nothing new once it is sealed.
pub struct Sealed {
    inner: Source,
    closed: AtomicBool,
    refused: AtomicU64,
    bytes: AtomicUsize,
    shelves: Mutex<Vec<Shelf>>,
}

/// What there is of one layout.
struct Shelf {
    layout: Layout,
    /// How many pieces came from `inner`, wherever they are. `free` has room for all of them, so it never grows later.
    pieces: usize,
    free: Vec<Returned>,
}

/// There was no memory for what was to be in stock.
#[derive(Debug, thiserror::Error)]
#[error("no memory to keep {count} pieces of {bytes} bytes in stock")]
pub struct NoStock {
    /// How many pieces were to be taken.
    pub count: usize,
    /// The size of one in bytes.
    pub bytes: usize,
}

impl Sealed {
    /// A source over `inner` that is open still.
    pub fn new(inner: Source) -> Arc<Self> {
        Arc::new(Self {
            inner,
            closed: AtomicBool::new(false),
            refused: AtomicU64::new(0),
            bytes: AtomicUsize::new(0),
            shelves: Mutex::new(Vec::new()),
        })
    }

    /// Takes `count` pieces of `layout` now, for later.
    ///
    /// # Errors
    /// When there is no memory for all of them. What was taken stays in stock.
    pub fn stock(&self, layout: Layout, count: usize) -> Result<(), NoStock> {
        for _ in 0..count {
            let piece = self.take(layout).ok_or(NoStock { count, bytes: layout.size() })?;
            Self::shelf(&mut self.lock(), layout).free.push(piece.into_returned());
        }
        Ok(())
    }

    /// Takes once more as many pieces of each layout that is smaller than a page as pools have taken for their
    /// reserves. A pool goes to its reserve, which has a lock, only when these are out.
    ///
    /// # Errors
    /// Those of [`Sealed::stock`].
    pub fn stock_as_reserved(&self) -> Result<(), NoStock> {
        let out = |shelf: &Shelf| (shelf.layout, shelf.pieces - shelf.free.len());
        let small: Vec<_> =
            self.lock().iter().map(out).filter(|(layout, _)| layout.size() < PAGE_SIZE).collect();
        small.into_iter().try_for_each(|(layout, count)| self.stock(layout, count))
    }

    /// From now on nothing new is given out.
    pub fn seal(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    /// How often it was asked since the seal for what it did not have: each time a pool went to its reserve, or its
    /// bio waited.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// How much it has taken, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// A new piece, every page of which is there.
    fn take(&self, layout: Layout) -> Option<Piece> {
        let mut all = self.lock();
        let place = Self::shelf(&mut all, layout);
        place.free.reserve(place.pieces + 1 - place.free.len());
        let piece = self.inner.allocate(layout)?;
        place.pieces += 1;
        drop(all);
        self.bytes.fetch_add(layout.size(), Ordering::Relaxed);
        // It is zeros already: this is so that the system gives it pages now.
        Some(piece.into_returned().zeroed())
    }

    /// The shelf for a layout, made when it is first asked for.
    fn shelf(shelves: &mut Vec<Shelf>, layout: Layout) -> &mut Shelf {
        let index = shelves.iter().position(|shelf| shelf.layout == layout).unwrap_or_else(|| {
            shelves.push(Shelf { layout, pieces: 0, free: Vec::new() });
            shelves.len() - 1
        });
        &mut shelves[index]
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Shelf>> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MemorySource for Sealed {
    fn allocate(&self, layout: Layout) -> Option<Piece> {
        let free = |shelf: &mut Shelf| if shelf.layout == layout { shelf.free.pop() } else { None };
        let free = self.lock().iter_mut().find_map(free);
        let Some(piece) = free else {
            if !self.closed.load(Ordering::Relaxed) {
                return self.take(layout);
            }
            self.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        Some(piece.zeroed())
    }

    fn free(&self, piece: Returned) {
        // The shelf is there, and has room: `take` has seen to both.
        Self::shelf(&mut self.lock(), piece.layout()).free.push(piece);
    }

    fn is_one_stock(&self) -> bool {
        !self.closed.load(Ordering::Relaxed)
    }
}

impl Drop for Sealed {
    fn drop(&mut self) {
        let shelves = std::mem::take(&mut *self.lock());
        for shelf in shelves {
            debug_assert_eq!(shelf.pieces, shelf.free.len(), "every piece came back");
            shelf.free.into_iter().for_each(|piece| self.inner.free(piece));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bio::BioChunk;
    use crate::memory::{Chunk, Heap, Starving};
    use crate::pool::Element;

    const PAGE: Layout = Layout::new::<[u64; 512]>();
    const SMALL: Layout = Layout::new::<[u64; 16]>();

    /// A sealed source over one that counts, and the pieces that `count` asks of it come to.
    fn sealed() -> (Arc<Starving>, Arc<Sealed>, Source) {
        let counting = Starving::new(Arc::new(Heap));
        let sealed = Sealed::new(Arc::clone(&counting) as Source);
        let source: Source = Arc::clone(&sealed) as Source;
        (counting, sealed, source)
    }

    #[test]
    fn after_the_seal_the_system_is_never_asked() {
        let (counting, sealed, source) = sealed();
        let before = Chunk::new(&source, PAGE);
        sealed.stock(PAGE, 2).unwrap();
        sealed.seal();
        let asked = counting.counts().0;
        let (one, two) = (Chunk::new(&source, PAGE), Chunk::new(&source, PAGE));
        assert!(one.is_some() && two.is_some(), "what is in stock is given out");
        assert!(Chunk::new(&source, PAGE).is_none() && Chunk::new(&source, SMALL).is_none());
        assert_eq!(sealed.refused(), 2);
        drop(one);
        assert!(Chunk::new(&source, PAGE).is_some(), "what came back is given out again");
        drop(before);
        let again = [Chunk::new(&source, PAGE), Chunk::new(&source, PAGE)];
        assert!(again.iter().all(Option::is_some), "what was given out before the seal stays too");
        assert_eq!(counting.counts().0, asked, "the system was asked");
        assert_eq!(sealed.bytes(), 3 * PAGE.size());
    }

    /// The bad twin: while it is open, each ask goes on.
    #[test]
    fn before_the_seal_the_system_is_asked() {
        let (counting, _sealed, source) = sealed();
        let _both = [Chunk::new(&source, PAGE), Chunk::new(&source, PAGE)];
        assert_eq!(counting.counts().0, 2);
    }

    #[test]
    fn what_is_given_out_again_is_zeros() {
        let (_, sealed, source) = sealed();
        let mut chunk = BioChunk::from_chunk(Chunk::new(&source, SMALL).unwrap());
        chunk.span_mut().fill(0xa5);
        let first = chunk.span().as_ptr();
        drop(chunk);
        sealed.seal();
        let chunk = BioChunk::from_chunk(Chunk::new(&source, SMALL).unwrap());
        assert_eq!(chunk.span().as_ptr(), first, "the same memory");
        assert!(chunk.span().is_zero());
    }

    #[test]
    fn small_reserves_are_stocked_once_more() {
        let (_, sealed, source) = sealed();
        let reserve: Vec<_> = (0..5).map(|_| Chunk::new(&source, SMALL).unwrap()).collect();
        let large = Chunk::new(&source, PAGE).unwrap();
        sealed.stock_as_reserved().unwrap();
        sealed.seal();
        let more: Vec<_> = std::iter::from_fn(|| Chunk::new(&source, SMALL)).collect();
        assert_eq!(more.len(), reserve.len());
        assert!(Chunk::new(&source, PAGE).is_none());
        drop(large);
    }

    #[test]
    fn what_there_is_no_memory_for_is_said() {
        let (counting, sealed, _) = sealed();
        counting.refuse(crate::memory::Refuse::From(1));
        let error = sealed.stock(PAGE, 3).unwrap_err().to_string();
        assert_eq!(error, "no memory to keep 3 pieces of 4096 bytes in stock");
    }
}
