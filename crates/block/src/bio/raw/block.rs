//! A bio in memory: one block with the pad of its set, which the set's channels alone see (the kernel's front pad).
#![allow(unsafe_code)]

use std::alloc::Layout;
use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, MaybeUninit};
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

/// The memory of one bio of a set whose pad is `P`. The head is at its beginning, so the address of one is that of the other.
/// While the bio is free, `pad` and `lent` hold nothing.
#[repr(C)]
struct Block<P: Pad> {
    head: Head,
    pad: UnsafeCell<MaybeUninit<P>>,
    lent: UnsafeCell<MaybeUninit<Lent<BioMemory<P>>>>,
    /// The memory that the block is in.
    chunk: Chunk,
}

/// A free bio: its block.
pub(in crate::bio) struct BioMemory<P: Pad>(NonNull<Block<P>>);

// SAFETY: it is the only right to a block of which only memory and a home are left, and these are Send.
unsafe impl<P: Pad> Send for BioMemory<P> {}

impl<P: Pad> Element for BioMemory<P> {
    type Waiter = Bio;

    fn from_chunk(chunk: Chunk) -> Self {
        let block: NonNull<Block<P>> = chunk.addr().cast();
        let (pad, lent) = (MaybeUninit::uninit().into(), MaybeUninit::uninit().into());
        // SAFETY: the chunk has the layout of a `Block<P>` and is ours.
        unsafe { block.write(Block { head: Head::new(finish::<P>), pad, lent, chunk }) };
        Self(block)
    }

    fn leave_queue(&mut self) {
        // SAFETY: the block was written by `from_chunk`, and this is the only right to it.
        unsafe { self.0.as_mut() }.head.own.get_mut().home = None;
    }
}

impl<P: Pad> Drop for BioMemory<P> {
    fn drop(&mut self) {
        // SAFETY: as in `leave_queue`. The block is read out of its chunk, which goes with it.
        drop(unsafe { self.0.read() });
    }
}

/// The layout of a bio with a pad of type `P`.
pub(in crate::bio) fn layout<P: Pad>() -> Layout {
    // On cache lines of its own: two threads never share one.
    Layout::new::<Block<P>>().align_to(64).expect("a small alignment").pad_to_align()
}

/// A bio as its owner's driver has it, before it is handed on and after it ended: with its pad. Dropping it frees it.
pub struct PadBio<P: Pad>(ManuallyDrop<Bio>, PhantomData<P>);

/// A bio that has ended, on the queue that it belongs to: [`crate::Bios::claim`] says which of a driver's bios it is.
/// Dropping it frees it, and is loud.
#[must_use = "its owner has to claim it"]
pub struct OwnBio(ManuallyDrop<Bio>);

/// Ends the bio where it is, or frees it.
///
/// # Safety
/// The head is of a set with pad `P`, and the only right to it is given up.
unsafe fn finish<P: Pad>(head: NonNull<Head>, how: Finish) -> Option<Bio> {
    let bio = PadBio::<P>::of(head);
    match (how, P::ENDING) {
        (Finish::Anywhere, Ending::Anywhere(end)) => end(bio),
        _ => None,
    }
}

impl<P: Pad> PadBio<P> {
    /// The bio with this head, whose set has pads `P`. The right to it goes into the handle.
    fn of(head: NonNull<Head>) -> Self {
        Self(ManuallyDrop::new(Bio(head)), PhantomData)
    }

    /// Makes the bio in the memory that its pool has lent.
    #[inline]
    pub(in crate::bio) fn init(
        lent: Lent<BioMemory<P>>,
        pad: P,
        owner: ChannelId,
        home: &Arc<BioMailbox>,
    ) -> Self {
        let mut at = lent.0;
        // SAFETY: the block was written by `from_chunk`, and is nobody else's while it is lent.
        let block = unsafe { at.as_mut() };
        block.head.set = lent.pool_id();
        block.head.status = AtomicU8::new(Status::Ok as u8);
        block.head.pending = Pending::one();
        let own = block.head.own.get_mut();
        (own.owner, own.at) = (owner, owner);
        if !own.home.as_ref().is_some_and(|last| Arc::ptr_eq(last, home)) {
            own.home = Some(Arc::clone(home));
        }
        block.pad.get_mut().write(pad);
        block.lent.get_mut().write(lent);
        Self::of(at.cast())
    }

    /// Its block.
    #[inline]
    fn block(&self) -> &Block<P> {
        // SAFETY: the bio is of a set with pad `P`, so its head is the beginning of such a block, and was made from a pointer to
        // the whole of it. The block lives as long as this handle, and nobody makes a `&mut Block` meanwhile.
        unsafe { self.0.0.cast().as_ref() }
    }

    /// The driver's own state for this bio.
    pub fn pad(&self) -> &P {
        // SAFETY: this handle is the only right to the pad, and the pad lives until the bio is freed.
        unsafe { (*self.block().pad.get()).assume_init_ref() }
    }

    /// The driver's own state for this bio, to be changed.
    pub fn pad_mut(&mut self) -> &mut P {
        self.parts_mut().0
    }

    /// The driver's own state for this bio, and the bio without it.
    pub(in crate::bio) fn parts_mut(&mut self) -> (&mut P, &mut Bio) {
        // SAFETY: as in `pad`, and the handle is borrowed for both. Nobody reaches the pad through a `Bio`.
        let pad = unsafe { (*self.block().pad.get()).assume_init_mut() };
        (pad, &mut self.0)
    }

    /// The bio without its pad. For this module alone: whoever else had it could put another bio in its place.
    pub(in crate::bio) fn bio_mut(&mut self) -> &mut Bio {
        &mut self.0
    }

    /// Gives up the right to the bio for a pointer, which [`PadBio::from_raw`] takes: for what carries a bio behind one.
    pub fn into_raw(self) -> NonNull<()> {
        ManuallyDrop::new(self).0.0.cast()
    }

    /// The bio of which `raw` was made.
    ///
    /// # Safety
    /// `raw` came from [`PadBio::into_raw`] of a bio with the same pad. Of the values that are made of it, one at a time
    /// is used, and at most one is dropped or moved from.
    pub unsafe fn from_raw(raw: NonNull<()>) -> Self {
        Self::of(raw.cast())
    }

    /// Gives up the right to the pad until the bio has ended.
    pub(in crate::bio) fn hand_on(self) -> Bio {
        Bio(ManuallyDrop::new(self).0.0)
    }

    /// The bio of the pool `pool` that `bio` is; handed back when it is of another one.
    pub(in crate::bio) fn claim(bio: OwnBio, pool: usize) -> Result<Self, OwnBio> {
        // A pool lives as long as a bio of it is out, so no two have one number, and the bios of this one have its pad.
        // (Addresses of functions would not do: one function may have several.)
        if bio.set_id() != pool {
            return Err(bio);
        }
        Ok(Self::of(bio.into_bio().0))
    }

    /// Frees it: its memory, for the stock of its queue.
    pub(in crate::bio) fn into_free(self) -> Lent<BioMemory<P>> {
        let mut at: NonNull<Block<P>> = ManuallyDrop::new(self).0.0.cast();
        // SAFETY: as in `block`. This handle was the only right to the bio, and is gone.
        let block = unsafe { at.as_mut() };
        let own = block.head.own.get_mut();
        *own = Own::free(own.home.take());
        // SAFETY: `init` made the two. They are taken out, and not touched again before they are made anew.
        let (pad, lent) =
            unsafe { (block.pad.get_mut().assume_init_read(), block.lent.get_mut().assume_init_read()) };
        drop(pad);
        lent
    }
}

impl<P: Pad> std::ops::Deref for PadBio<P> {
    type Target = Bio;
    fn deref(&self) -> &Bio {
        &self.0
    }
}

impl<P: Pad> Drop for PadBio<P> {
    fn drop(&mut self) {
        // The handle goes on in a new one, which frees the bio.
        drop(Self::of(self.0.0).into_free());
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
