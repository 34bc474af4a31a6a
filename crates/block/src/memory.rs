//! Where normal memory comes from: one trait that can be told to fail.
//!
//! Every pool of the block layer gets its elements through a [`MemorySource`], so that a test can starve the whole
//! stack, and a limit can be put on any part of it.
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::cell::Cell;
use std::fmt;
use std::ptr::NonNull;
use std::sync::Arc;

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

use crate::sync::{AtomicU64, AtomicUsize, Mutex, Ordering};

/// The size of a page in bytes; every buffer for data begins at a multiple of it.
pub const PAGE_SIZE: usize = 4096;

/// A source of memory that is shared by many pools.
pub type Source = Arc<dyn MemorySource>;

/// Gives memory, or says that there is none. It never sleeps.
pub trait MemorySource: Send + Sync {
    /// Zeroed memory of this layout, or `None`.
    fn allocate(&self, layout: Layout) -> Option<Piece>;

    /// Takes memory back that it gave.
    fn free(&self, piece: Returned);

    /// Whether memory that is given back can come out again in another layout. Where it cannot, giving a piece back makes
    /// no room for a piece of another size.
    fn is_one_stock(&self) -> bool {
        true
    }
}

/// Zeroed memory that nobody uses. [`Heap`] alone makes some, and other sources hand it on, so whoever has a piece may use it.
/// A piece that is dropped is lost to the process.
#[must_use = "its memory is lost when it is dropped"]
#[derive(Debug)]
pub struct Piece {
    addr: NonNull<u8>,
    layout: Layout,
}

/// A piece that was used: nobody has its address any more, and it holds any bytes.
#[must_use = "its memory is lost when it is dropped"]
#[derive(Debug)]
pub struct Returned(Piece);

// SAFETY: the memory of a piece is nobody's but its holder's, whichever thread that is.
unsafe impl Send for Piece {}

impl Piece {
    /// What it is for.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Gives it up unused.
    pub fn into_returned(self) -> Returned {
        Returned(self)
    }
}

impl Returned {
    /// What it is for.
    pub fn layout(&self) -> Layout {
        self.0.layout
    }

    /// The piece, of zeros again. Each of its pages is there after that.
    pub fn zeroed(self) -> Piece {
        // SAFETY: a piece is valid for its layout, and nobody uses this one.
        unsafe { self.0.addr.write_bytes(0, self.0.layout.size()) }
        self.0
    }
}

thread_local! {
    static CAN_BE_REFUSED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work`, in which this thread asks the global allocator for memory that it can do without.
///
/// A global allocator is not told whether its caller can bear a refusal. One that ends the process where the system has no
/// memory asks [`can_be_refused`], and hands on the refusal in `work`.
pub fn refusable<T>(work: impl FnOnce() -> T) -> T {
    let before = CAN_BE_REFUSED.replace(true);
    let result = work();
    CAN_BE_REFUSED.set(before);
    result
}

/// Whether this thread is in [`refusable`]. It allocates nothing.
pub fn can_be_refused() -> bool {
    CAN_BE_REFUSED.get()
}

/// The process's own memory: small pieces from the heap, large ones mapped, so that what is freed goes back to the
/// system at once, and a reserve that is never used takes no memory.
pub struct Heap;

/// From which size on memory is mapped, in bytes.
const MAPPED: usize = 64 << 10;

/// Whether memory of this layout is mapped. A checker that knows no system calls gets it from the heap.
fn is_mapped(layout: Layout) -> bool {
    layout.size() >= MAPPED && layout.align() <= PAGE_SIZE && !cfg!(miri)
}

impl MemorySource for Heap {
    fn allocate(&self, layout: Layout) -> Option<Piece> {
        assert!(layout.size() > 0, "memory of no bytes");
        let addr = if is_mapped(layout) {
            let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
            // SAFETY: a new mapping at no address in particular touches nothing that is there. It begins at a page border.
            let mapped = unsafe { mmap_anonymous(std::ptr::null_mut(), layout.size(), access, flags) };
            mapped.ok()?.cast()
        } else {
            // SAFETY: the layout's size is not zero.
            refusable(|| unsafe { alloc_zeroed(layout) })
        };
        NonNull::new(addr).map(|addr| Piece { addr, layout })
    }

    fn free(&self, piece: Returned) {
        let Returned(Piece { addr, layout }) = piece;
        if is_mapped(layout) {
            // SAFETY: `allocate` above has made every piece: this one is a whole mapping, and nobody uses it.
            let unmapped = unsafe { munmap(addr.as_ptr().cast(), layout.size()) };
            debug_assert!(unmapped.is_ok(), "a mapping of ours cannot be unmapped");
            return;
        }
        // SAFETY: as above; this one came from the global allocator with this layout.
        unsafe { dealloc(addr.as_ptr(), layout) }
    }
}

/// A source that gives at most so many bytes at once.
pub struct Limited {
    inner: Source,
    limit: usize,
    taken: AtomicUsize,
}

impl Limited {
    /// At most `limit` bytes of `inner`.
    pub fn new(inner: Source, limit: usize) -> Arc<Self> {
        Arc::new(Self { inner, limit, taken: AtomicUsize::new(0) })
    }

    /// How many bytes are out.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Whether it refuses `bytes` more, and would not once some came back.
    pub(crate) fn is_full_for(&self, bytes: usize) -> bool {
        let fits = self.taken().checked_add(bytes).is_some_and(|sum| sum <= self.limit);
        !fits && bytes <= self.limit && self.is_one_stock()
    }
}

impl MemorySource for Limited {
    fn allocate(&self, layout: Layout) -> Option<Piece> {
        let size = layout.size();
        self.taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
                taken.checked_add(size).filter(|sum| *sum <= self.limit)
            })
            .ok()?;
        let piece = self.inner.allocate(layout);
        if piece.is_none() {
            self.taken.fetch_sub(size, Ordering::Relaxed);
        }
        piece
    }

    fn free(&self, piece: Returned) {
        let size = piece.layout().size();
        self.inner.free(piece);
        self.taken.fetch_sub(size, Ordering::Relaxed);
    }

    fn is_one_stock(&self) -> bool {
        self.inner.is_one_stock()
    }
}

/// When a [`Starving`] source refuses.
#[derive(Clone, Copy, Debug)]
pub enum Refuse {
    /// Never.
    Never,
    /// Always.
    Always,
    /// The `n`-th request and all that follow it, counted from 0 at the time this was said.
    From(u64),
    /// Only the `n`-th request from now, counted from 0.
    Nth(u64),
    /// Every `n`-th request from now, counted from 1.
    Every(u64),
    /// Each request with a chance of `per_mille` in a thousand, from this seed.
    Chance {
        /// The seed of the dice.
        seed: u64,
        /// Refusals in a thousand.
        per_mille: u64,
    },
}

/// A source for tests, that refuses as it is told, and counts.
pub struct Starving {
    inner: Source,
    plan: Mutex<(Refuse, u64)>,
    asked: AtomicU64,
    refused: AtomicU64,
}

impl Starving {
    /// A source over `inner` that refuses nothing yet.
    pub fn new(inner: Source) -> Arc<Self> {
        Arc::new(Self {
            inner,
            plan: Mutex::new((Refuse::Never, 0)),
            asked: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        })
    }

    /// From now on refuses as `plan` says.
    pub fn refuse(&self, plan: Refuse) {
        *self.plan.lock().unwrap() = (plan, 0);
    }

    /// How often it was asked, and how often it refused.
    pub fn counts(&self) -> (u64, u64) {
        (self.asked.load(Ordering::Relaxed), self.refused.load(Ordering::Relaxed))
    }

    fn refuses(&self) -> bool {
        let mut plan = self.plan.lock().unwrap();
        let now = plan.1;
        plan.1 += 1;
        match &mut plan.0 {
            Refuse::Never => false,
            Refuse::Always => true,
            Refuse::From(n) => now >= *n,
            Refuse::Nth(n) => now == *n,
            Refuse::Every(n) => (now + 1).is_multiple_of(*n),
            Refuse::Chance { seed, per_mille } => splitmix64(seed) % 1000 < *per_mille,
        }
    }
}

impl MemorySource for Starving {
    fn allocate(&self, layout: Layout) -> Option<Piece> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if self.refuses() {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        self.inner.allocate(layout)
    }

    fn free(&self, piece: Returned) {
        self.inner.free(piece);
    }

    fn is_one_stock(&self) -> bool {
        self.inner.is_one_stock()
    }
}

/// The next word of the splitmix64 generator, whose state is `seed`.
pub fn splitmix64(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (*seed ^ (*seed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A piece of memory with the source that it goes back to.
pub struct Chunk {
    addr: NonNull<u8>,
    layout: Layout,
    source: Source,
}

// SAFETY: a chunk is memory that nobody else refers to, and its source is Send + Sync.
unsafe impl Send for Chunk {}
// SAFETY: a shared chunk gives out nothing but its address.
unsafe impl Sync for Chunk {}

impl Chunk {
    /// Zeroed memory of this layout from `source`, or `None`.
    ///
    /// # Panics
    /// Where the layout's size is zero.
    pub fn new(source: &Source, layout: Layout) -> Option<Self> {
        let piece = source.allocate(layout)?;
        assert_eq!(piece.layout, layout, "a source gave memory of another layout");
        Some(Self { addr: piece.addr, layout, source: Arc::clone(source) })
    }

    /// Where it begins.
    pub fn addr(&self) -> NonNull<u8> {
        self.addr
    }

    /// Its length in bytes.
    pub fn len(&self) -> usize {
        self.layout.size()
    }

    /// Never: a chunk has at least one byte.
    pub fn is_empty(&self) -> bool {
        false
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        // The piece that `new` took: the chunk was its only holder, and is gone.
        self.source.free(Returned(Piece { addr: self.addr, layout: self.layout }));
    }
}

impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chunk({} bytes)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> Layout {
        Layout::from_size_align(PAGE_SIZE, PAGE_SIZE).unwrap()
    }

    #[test]
    fn a_limit_holds_and_comes_back() {
        let limited = Limited::new(Arc::new(Heap), 2 * PAGE_SIZE);
        let source: Source = Arc::clone(&limited) as Source;
        let one = Chunk::new(&source, page()).unwrap();
        let two = Chunk::new(&source, page()).unwrap();
        assert!(Chunk::new(&source, page()).is_none());
        drop(one);
        assert!(Chunk::new(&source, page()).is_some());
        drop(two);
        assert_eq!(limited.taken(), 0);
    }

    #[test]
    fn a_starving_source_refuses_as_it_is_told() {
        let starving = Starving::new(Arc::new(Heap));
        let source: Source = Arc::clone(&starving) as Source;
        let pattern = |plan, n| {
            starving.refuse(plan);
            (0..n).map(|_| Chunk::new(&source, page()).is_some()).collect::<Vec<_>>()
        };
        assert_eq!(pattern(Refuse::Never, 2), [true, true]);
        assert_eq!(pattern(Refuse::Always, 2), [false, false]);
        assert_eq!(pattern(Refuse::From(1), 3), [true, false, false]);
        assert_eq!(pattern(Refuse::Nth(1), 3), [true, false, true]);
        assert_eq!(pattern(Refuse::Every(2), 4), [true, false, true, false]);
        let half = pattern(Refuse::Chance { seed: 1, per_mille: 500 }, 1000);
        let given = half.iter().filter(|given| **given).count();
        assert!((400..600).contains(&given), "{given} of 1000");
    }
}
