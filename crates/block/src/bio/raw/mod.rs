//! Where a bio lives in memory, and who may touch what of it; `runs`: where its data is. All of the bio's `unsafe` is here.
//!
//! A bio is one block: the driver's pad, the head that all layers see, and the way home to its pool. `Bio` is the
//! right of its one holder to the head's own part. What several may touch at once (the status and the count of
//! pieces) is atomic. A piece that was split off keeps its parent's block through a count (`ChainRef`).
#![allow(unsafe_code)]

mod runs;

use std::alloc::Layout;
use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, MaybeUninit, offset_of};
use std::ptr::NonNull;

use super::pending::Pending;
use super::{Ending, Op, Own, Pad, Status};
use crate::channel::ChannelId;
use crate::lent::Lent;
use crate::mailbox::Home;
use crate::memory::Chunk;
use crate::mempool::Element;
use crate::span::Span;
use crate::sync::{AtomicU8, Ordering};

/// How many runs of memory fit into a bio; more have a table.
pub const INLINE_SPANS: usize = 8;

/// What all layers see of a bio.
pub(super) struct Head {
    /// What its set does with it.
    finish: unsafe fn(NonNull<Head>, Finish) -> Option<Bio>,
    /// Its set: see [`Bio::set_id`].
    set: usize,
    status: AtomicU8,
    pending: Pending,
    /// Its own runs. Written before the bio is first handed on, and not again until it is free: pieces borrow them.
    spans: UnsafeCell<[MaybeUninit<Span<'static>>; INLINE_SPANS]>,
    /// What the holder alone touches.
    own: UnsafeCell<Own>,
    /// The queue that it belongs to: the holder's too. It stays while the bio is free in a stock of this queue, so that
    /// making a bio counts no reference.
    home: UnsafeCell<Option<Home>>,
}

/// What a set is asked to do with a bio of its own, by who does not know its pad.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Finish {
    /// End it where its last completion came, as its pad says ([`Ending::Anywhere`]): what ends with it.
    Anywhere,
    /// Free it: nobody is told.
    Free,
}

/// The memory of one bio of a set whose pad is `P`. While the bio is free, `chunk` and the head's `home` are all that it
/// holds.
#[repr(C)]
struct Block<P: Pad> {
    pad: UnsafeCell<ManuallyDrop<P>>,
    head: Head,
    lent: UnsafeCell<ManuallyDrop<Lent<BioMemory<P>>>>,
    /// The memory that the block is in.
    chunk: ManuallyDrop<Chunk>,
}

/// A free bio: its block.
pub(super) struct BioMemory<P: Pad>(NonNull<Block<P>>);

// SAFETY: it is the only right to a block of which only memory and a home are left, and these are Send.
unsafe impl<P: Pad> Send for BioMemory<P> {}

impl<P: Pad> Element for BioMemory<P> {
    fn from_chunk(chunk: Chunk) -> Self {
        let block: NonNull<Block<P>> = chunk.addr().cast();
        // SAFETY: the chunk has the layout of a `Block<P>` and is ours.
        unsafe {
            (&raw mut (*block.as_ptr()).head.home).write(UnsafeCell::new(None));
            (&raw mut (*block.as_ptr()).chunk).write(ManuallyDrop::new(chunk));
        }
        Self(block)
    }

    fn leave_queue(&mut self) {
        // SAFETY: the home was written by `from_chunk` or by `init`, and this is the only right to it.
        unsafe { *(*self.0.as_ptr()).head.home.get() = None }
    }
}

impl<P: Pad> Drop for BioMemory<P> {
    fn drop(&mut self) {
        let block = self.0.as_ptr();
        // SAFETY: the two were written by `from_chunk`, and this is the only right to them; the chunk is read out of the
        // memory that goes with it.
        unsafe {
            std::ptr::drop_in_place(&raw mut (*block).head.home);
            drop(ManuallyDrop::into_inner((&raw const (*block).chunk).read()));
        }
    }
}

/// The layout of a bio with a pad of type `P`.
pub(super) fn layout<P: Pad>() -> Layout {
    // On cache lines of its own: two threads never share one.
    Layout::new::<Block<P>>().align_to(64).expect("a small alignment").pad_to_align()
}

/// One I/O: the right of its one holder, which is handed down the stack and back up. Whoever has it must hand it on
/// or complete it.
#[must_use = "a dropped bio never completes"]
#[repr(transparent)]
pub struct Bio(NonNull<Head>);

// SAFETY: what the holder alone may touch is Send (pads are by the trait's bound, the rest by its types), the rest is
// atomic.
unsafe impl Send for Bio {}

/// A bio as its owner's driver has it, before it is handed on and after it ended: with its pad. Dropping it frees it.
pub struct PadBio<P: Pad>(NonNull<Head>, PhantomData<P>);

// SAFETY: as for `Bio`.
unsafe impl<P: Pad> Send for PadBio<P> {}

/// A count on a bio that keeps it, and the memory of its data, until every piece of it has ended.
pub(super) struct ChainRef(NonNull<Head>);

// SAFETY: it touches the atomic part of the head alone.
unsafe impl Send for ChainRef {}

/// A bio that has ended, on the queue that it belongs to: [`crate::Bios::claim`] says which of a driver's bios it is.
/// Dropping it frees it, and is loud.
#[must_use = "its owner has to claim it"]
pub struct OwnBio(ManuallyDrop<Bio>);

/// Ends the bio where it is, or frees it.
///
/// # Safety
/// The head is of a set with pad `P`, and the only right to it is given up.
unsafe fn finish<P: Pad>(head: NonNull<Head>, how: Finish) -> Option<Bio> {
    let bio = PadBio::<P>(head, PhantomData);
    match (how, P::ENDING) {
        (Finish::Anywhere, Ending::Anywhere(end)) => end(bio),
        _ => None,
    }
}

/// The block around a head of a set with pad `P`.
fn block<P: Pad>(head: NonNull<Head>) -> NonNull<Block<P>> {
    // SAFETY: the head of a `PadBio<P>`, or one whose `finish` is that of `P`, is that of a `Block<P>`, and was made from a pointer
    // to the whole of it.
    unsafe { head.byte_sub(offset_of!(Block<P>, head)).cast() }
}

/// Drops what the bio holds: its block, which is free.
///
/// # Safety
/// As for `finish`.
unsafe fn free<P: Pad>(head: NonNull<Head>) -> Lent<BioMemory<P>> {
    let block = block::<P>(head);
    // SAFETY: the caller gives up the only right to the bio; pad, own part and way home are live until here and are
    // not touched again before they are made anew.
    unsafe {
        ManuallyDrop::drop(&mut *block.as_ref().pad.get());
        std::ptr::drop_in_place(block.as_ref().head.own.get());
        ManuallyDrop::take(&mut *block.as_ref().lent.get())
    }
}

impl<P: Pad> PadBio<P> {
    /// Makes the bio in the memory that its pool has lent.
    #[inline]
    pub(super) fn init(lent: Lent<BioMemory<P>>, pad: P, owner: ChannelId, home: &Home) -> Self {
        let block = lent.0.as_ptr();
        // SAFETY: the block is valid for writes, and nobody else's while it is lent. All that `free` leaves is made anew,
        // in place.
        unsafe {
            let head = &raw mut (*block).head;
            (&raw mut (*head).finish).write(finish::<P>);
            (&raw mut (*head).set).write(lent.pool_id());
            (&raw mut (*head).status).write(AtomicU8::new(Status::Ok as u8));
            (&raw mut (*head).pending).write(Pending::one());
            (&raw mut (*head).own).write(UnsafeCell::new(Own::new(owner)));
            let last = (*head).home.get();
            if (*last).as_ref() != Some(home) {
                *last = Some(home.clone());
            }
            (&raw mut (*block).pad).write(UnsafeCell::new(ManuallyDrop::new(pad)));
            (&raw mut (*block).lent).write(UnsafeCell::new(ManuallyDrop::new(lent)));
            Self(NonNull::new_unchecked(head), PhantomData)
        }
    }

    /// The driver's own state for this bio.
    pub fn pad(&self) -> &P {
        // SAFETY: this handle is the only right to the pad, and the pad lives until the bio is freed.
        unsafe { &*block::<P>(self.0).as_ref().pad.get() }
    }

    /// The driver's own state for this bio, to be changed.
    pub fn pad_mut(&mut self) -> &mut P {
        // SAFETY: as in `pad`.
        unsafe { &mut *block::<P>(self.0).as_ref().pad.get() }
    }

    /// Where its pad is.
    pub(super) fn pad_addr(&self) -> *mut P {
        // SAFETY: as in `pad`; nothing is borrowed but the cell.
        unsafe { block::<P>(self.0).as_ref().pad.get().cast() }
    }

    /// The bio without its pad. For this module alone: whoever else had it could put another bio in its place.
    pub(super) fn bio_mut(&mut self) -> &mut Bio {
        // SAFETY: `Bio` has the layout of the pointer in `self` (it is transparent over it), and borrowing it keeps the
        // handle where it is.
        unsafe { &mut *(&raw mut self.0).cast::<Bio>() }
    }

    /// Gives up the right to the bio for a pointer, which [`PadBio::from_raw`] takes: for what carries a bio behind one.
    pub fn into_raw(self) -> NonNull<()> {
        ManuallyDrop::new(self).0.cast()
    }

    /// The bio of which `raw` was made.
    ///
    /// # Safety
    /// `raw` came from [`PadBio::into_raw`] of a bio with the same pad. Of the values that are made of it, one at a time
    /// is used, and at most one is dropped or moved from.
    pub unsafe fn from_raw(raw: NonNull<()>) -> Self {
        Self(raw.cast(), PhantomData)
    }

    /// Gives up the right to the pad until the bio has ended.
    pub(super) fn hand_on(self) -> Bio {
        Bio(ManuallyDrop::new(self).0)
    }

    /// The bio of the pool `pool` that `bio` is; handed back when it is of another one.
    pub(super) fn claim(bio: OwnBio, pool: usize) -> Result<Self, OwnBio> {
        // A pool lives as long as a bio of it is out, so no two have one number, and the bios of this one have its pad.
        // (Addresses of functions would not do: one function may have several.)
        if bio.set_id() != pool {
            return Err(bio);
        }
        Ok(Self(bio.into_bio().0, PhantomData))
    }

    /// Frees it: its memory, for the stock of its queue.
    pub(super) fn into_free(self) -> Lent<BioMemory<P>> {
        let head = ManuallyDrop::new(self).0;
        // SAFETY: this was the only right to the bio.
        unsafe { free::<P>(head) }
    }
}

impl<P: Pad> std::ops::Deref for PadBio<P> {
    type Target = Bio;
    fn deref(&self) -> &Bio {
        // SAFETY: as in `bio_mut`.
        unsafe { &*(&raw const self.0).cast::<Bio>() }
    }
}

impl<P: Pad> Drop for PadBio<P> {
    fn drop(&mut self) {
        // SAFETY: this was the only right to the bio.
        drop(unsafe { free::<P>(self.0) });
    }
}

impl OwnBio {
    /// A bio of which every completion has come.
    pub(crate) fn new(bio: Bio) -> Self {
        Self(ManuallyDrop::new(bio))
    }

    /// Gives up the right to the bio for a pointer to it.
    fn into_bio(self) -> ManuallyDrop<Bio> {
        ManuallyDrop::new(Bio(ManuallyDrop::new(self).0.0))
    }
}

impl std::ops::Deref for OwnBio {
    type Target = Bio;
    fn deref(&self) -> &Bio {
        &self.0
    }
}

impl Drop for OwnBio {
    fn drop(&mut self) {
        super::unclaimed(Bio(self.0.0));
    }
}

impl Bio {
    fn head(&self) -> &Head {
        // SAFETY: the block lives as long as a handle to it; nobody makes a `&mut Head`.
        unsafe { self.0.as_ref() }
    }

    pub(super) fn own(&self) -> &Own {
        // SAFETY: the holder alone touches the own part.
        unsafe { &*self.head().own.get() }
    }

    pub(super) fn own_mut(&mut self) -> &mut Own {
        // SAFETY: as in `own`, and this borrow is exclusive.
        unsafe { &mut *self.head().own.get() }
    }

    /// The queue that it belongs to.
    #[inline]
    pub(crate) fn home(&self) -> Option<&Home> {
        // SAFETY: the holder alone touches it.
        unsafe { (*self.head().home.get()).as_ref() }
    }

    /// Notes what went wrong; the first error stays.
    pub fn record(&self, status: Status) {
        if !status.is_ok() {
            // The first error sticks, and success never overwrites one.
            let _ = self.head().status.compare_exchange(
                Status::Ok as u8,
                status as u8,
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
        }
    }

    /// Tells the bios of one set from those of others.
    pub(crate) fn set_id(&self) -> usize {
        self.head().set
    }

    /// How it ended, or what has gone wrong so far.
    pub fn status(&self) -> Status {
        Status::from_byte(self.head().status.load(Ordering::Relaxed))
    }

    pub(super) fn forget_status(&mut self) {
        self.head().status.store(Status::Ok as u8, Ordering::Relaxed);
    }

    /// One more completion must come before it ends.
    pub(super) fn chain(&self) -> ChainRef {
        self.head().pending.add();
        ChainRef(self.0)
    }

    /// One completion came: the bio itself when it was the last one, as its owner handed it on.
    #[inline]
    pub(crate) fn arrive(self) -> Option<Self> {
        let head = ManuallyDrop::new(self).0;
        ChainRef(head).arrive()
    }

    /// Ends it where it is, as its pad says: what ends with it.
    pub(super) fn end_anywhere(self) -> Option<Self> {
        self.finish(Finish::Anywhere)
    }

    /// Frees a bio of which nobody is told any more.
    pub(crate) fn free(self) {
        drop(self.finish(Finish::Free));
    }

    fn finish(self, how: Finish) -> Option<Self> {
        let head = ManuallyDrop::new(self).0;
        // SAFETY: the head is live, and the right to it goes to the function, which was made for its block.
        unsafe { (head.as_ref().finish)(head, how) }
    }

    /// Whether it is the same bio.
    pub fn is(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Drop for Bio {
    fn drop(&mut self) {
        // The right goes on in a new handle: this one must not be dropped twice.
        super::lost(Self(self.0));
    }
}

impl ChainRef {
    /// This piece ended with `status`: the parent, when that was its last completion.
    pub(super) fn end(self, status: Status) -> Option<Bio> {
        let parent = ManuallyDrop::new(Bio(self.0));
        parent.record(status);
        self.arrive()
    }

    fn arrive(self) -> Option<Bio> {
        // SAFETY: the count that this reference stands for keeps the block.
        let pending = unsafe { &self.0.as_ref().pending };
        if !pending.arrive() {
            return None;
        }
        let mut bio = Bio(self.0);
        let own = bio.own_mut();
        (own.sector, own.len, own.skip) = own.handed_on;
        Some(bio)
    }
}

const _: () = assert!(size_of::<Bio>() == size_of::<usize>() && Op::Read as u8 == 0);
