//! Buffers for data, from a pool with a reserve.
//!
//! A buffer is one run, as long as a bio of the pool's user can be, so that a bio takes all of its memory at once:
//! two half-filled bios cannot wait for each other (the kernel takes page after page, and needs a lock and a second
//! pass for that), and a cipher or a ring sees one run.
#![allow(unsafe_code)]

use std::alloc::Layout;
use std::sync::Arc;

use crate::bio::Bio;
use crate::memory::{Chunk, Limited, PAGE_SIZE, Source};
use crate::mempool::{Alloc, Element, Lent, Mempool, NoReserve, PoolOptions};
use crate::span::Span;
use crate::units::Bytes;

/// How a page pool is to be. All sizes are in bytes.
#[derive(Clone, Copy, Debug)]
pub struct PagePoolOptions {
    /// Whose buffers they are, for messages.
    pub name: &'static str,
    /// The longest buffer, a power of two of at least a page.
    pub largest: usize,
    /// How many buffers of the largest size are always there.
    pub reserve: usize,
    /// How much it may take from normal memory beyond the reserve.
    pub limit: usize,
    /// How much a thread may keep for itself in free buffers of one size: all of the limit where one thread uses the
    /// pool, and then it never gives memory back that it will want again.
    pub magazine: usize,
}

/// A pool of buffers of several sizes, each four times the one before.
pub struct PagePool {
    classes: Vec<Mempool<Chunk>>,
    options: PagePoolOptions,
    normal: Arc<Limited>,
}

/// A buffer that goes home to its pool when it is dropped. It begins at a page border.
pub struct Pages(Lent<Chunk>);

impl Element for Chunk {
    type Context = ();

    fn from_chunk(chunk: Chunk) -> Self {
        chunk
    }
}

impl PagePool {
    /// A pool that takes its memory from `source`.
    ///
    /// # Errors
    /// When there is no memory for the reserve.
    ///
    /// # Panics
    /// When the largest size is not a power of two of at least a page.
    pub fn new(options: PagePoolOptions, source: &Source) -> Result<Self, NoReserve> {
        let largest = options.largest;
        assert!(largest.is_power_of_two() && largest >= PAGE_SIZE, "buffers of {largest} bytes");
        let normal = Limited::new(Arc::clone(source), options.limit);
        let smaller =
            std::iter::successors(Some(PAGE_SIZE), |size| Some(size * 4)).take_while(|size| *size < largest);
        let classes = smaller.chain([largest]).map(|size| {
            let pool = PoolOptions {
                name: options.name,
                layout: Layout::from_size_align(size, PAGE_SIZE).expect("a power of two of pages"),
                reserve: if size == largest { options.reserve } else { 0 },
                magazine: (options.magazine / size).clamp(1, 1024),
            };
            Mempool::new(pool, source, Arc::clone(&normal) as Source, ())
        });
        Ok(Self { classes: classes.collect::<Result<_, _>>()?, options, normal })
    }

    /// The longest buffer that it gives.
    pub fn largest(&self) -> Bytes {
        Bytes(self.options.largest as u64)
    }

    /// The memory beyond the reserve that is taken, in bytes: in use, or kept by a thread for its next buffer.
    pub fn taken(&self) -> Bytes {
        Bytes(self.normal.taken() as u64)
    }

    /// A buffer of at least `len` bytes; `None` only where `how` allows it.
    ///
    /// # Panics
    /// When `len` exceeds [`PagePool::largest`].
    pub fn alloc(&self, len: Bytes, how: Alloc) -> Option<Pages> {
        assert!(len <= self.largest(), "a buffer of {len} bytes from a pool of at most {}", self.largest());
        let fits = self.classes.iter().position(|class| class.element_size() as u64 >= len.0)?;
        let (smaller, (fits, larger)) = (&self.classes[..fits], self.classes[fits..].split_first()?);
        let normal = fits
            .alloc(Alloc::NoRetry)
            // A larger buffer that this thread keeps costs nothing.
            .or_else(|| larger.iter().find_map(Mempool::alloc_kept));
        match normal {
            Some(pages) => {
                // Bios are parked on the largest class. Who was woken there and got another buffer leaves that one's
                // reserve to the next.
                self.largest_class().pass_on();
                Some(pages)
            }
            None if how == Alloc::NoRetry => None,
            None => self
                .largest_class()
                .alloc_reserve(Alloc::NoWait)
                .or_else(|| Self::evict(smaller, fits))
                .or_else(|| if how == Alloc::Wait { self.largest_class().alloc_reserve(how) } else { None }),
        }
        .map(Pages)
    }

    /// Gives up what this thread keeps in smaller buffers, one by one, until the limit has room for one that fits.
    #[cold]
    fn evict(smaller: &[Mempool<Chunk>], fits: &Mempool<Chunk>) -> Option<Lent<Chunk>> {
        smaller.iter().find_map(|class| {
            while class.evict() {
                if let Some(pages) = fits.alloc(Alloc::NoRetry) {
                    return Some(pages);
                }
            }
            None
        })
    }

    /// Leaves `bio`, which found no buffer here, to the next free: see [`Mempool::park`].
    pub fn park(&self, bio: Bio) {
        self.largest_class().park(bio);
    }

    fn largest_class(&self) -> &Mempool<Chunk> {
        self.classes.last().expect("a pool has at least one size")
    }
}

impl Pages {
    /// How many bytes it holds.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Never: a buffer has at least a page.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Its first `len` bytes.
    ///
    /// # Panics
    /// Where it is shorter.
    pub fn span(&self, len: Bytes) -> Span<'_> {
        // SAFETY: the chunk is valid memory of this length for as long as the buffer is borrowed, and is reached
        // through spans alone.
        unsafe { Span::from_raw(self.0.addr(), self.len()) }.slice(0, len.0 as usize)
    }
}
