//! A bio in memory: one block with the pad of its set, which the set's channels alone see (the kernel's front pad).
#![allow(unsafe_code)]

use std::alloc::Layout;
use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, offset_of};
use std::ptr::NonNull;
use std::sync::Arc;

use super::head::{Bio, BioMailbox, Finish, Head, Own};
use crate::bio::pending::Pending;
use crate::channel_id::ChannelId;
use crate::lent::Lent;
use crate::memory::Chunk;
use crate::pool::Element;
use crate::status::Status;
use crate::sync::AtomicU8;

/// A driver's own state for one bio (the kernel's front pad).
pub trait Pad: Send + Sized + 'static {
    /// Where the bio ends.
    const ENDING: Ending<Self> = Ending::AtOwner;
}

/// Where a bio ends, when its last completion comes on another thread than its queue's.
pub enum Ending<P: Pad> {
    /// On its queue, where [`Channel::end_io`](crate::Channel::end_io) is told.
    AtOwner,
    /// Where it is, by this function, if its queue may sleep ([`crate::Queue::sleeping`]): the queue might be waiting for
    /// the very memory that this end brings home. The function frees the bio, and says which other bio has ended with it.
    /// A queue that never sleeps is told as with `AtOwner`.
    Anywhere(fn(PadBio<P>) -> Option<Bio>),
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
pub(in crate::bio) struct BioMemory<P: Pad>(NonNull<Block<P>>);

// SAFETY: it is the only right to a block of which only memory and a home are left, and these are Send.
unsafe impl<P: Pad> Send for BioMemory<P> {}

impl<P: Pad> Element for BioMemory<P> {
    type Waiter = Bio;

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
pub(in crate::bio) fn layout<P: Pad>() -> Layout {
    // On cache lines of its own: two threads never share one.
    Layout::new::<Block<P>>().align_to(64).expect("a small alignment").pad_to_align()
}

/// A bio as its owner's driver has it, before it is handed on and after it ended: with its pad. Dropping it frees it.
pub struct PadBio<P: Pad>(NonNull<Head>, PhantomData<P>);

// SAFETY: as for `Bio`.
unsafe impl<P: Pad> Send for PadBio<P> {}

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
    pub(in crate::bio) fn init(
        lent: Lent<BioMemory<P>>,
        pad: P,
        owner: ChannelId,
        home: &Arc<BioMailbox>,
    ) -> Self {
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
            if !(*last).as_ref().is_some_and(|last| Arc::ptr_eq(last, home)) {
                *last = Some(Arc::clone(home));
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
    pub(in crate::bio) fn pad_addr(&self) -> *mut P {
        // SAFETY: as in `pad`; nothing is borrowed but the cell.
        unsafe { block::<P>(self.0).as_ref().pad.get().cast() }
    }

    /// The bio without its pad. For this module alone: whoever else had it could put another bio in its place.
    pub(in crate::bio) fn bio_mut(&mut self) -> &mut Bio {
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
    pub(in crate::bio) fn hand_on(self) -> Bio {
        Bio(ManuallyDrop::new(self).0)
    }

    /// The bio of the pool `pool` that `bio` is; handed back when it is of another one.
    pub(in crate::bio) fn claim(bio: OwnBio, pool: usize) -> Result<Self, OwnBio> {
        // A pool lives as long as a bio of it is out, so no two have one number, and the bios of this one have its pad.
        // (Addresses of functions would not do: one function may have several.)
        if bio.set_id() != pool {
            return Err(bio);
        }
        Ok(Self(bio.into_bio().0, PhantomData))
    }

    /// Frees it: its memory, for the stock of its queue.
    pub(in crate::bio) fn into_free(self) -> Lent<BioMemory<P>> {
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
        Bio(self.0.0).unclaimed();
    }
}
