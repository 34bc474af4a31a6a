//! A bio as all layers see it, and who may touch what of it.
#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ptr::NonNull;
use std::sync::Arc;

use crate::bio::pending::Pending;
use crate::channel_id::ChannelId;
use crate::lent::Lent;
use crate::list::{Linked, List};
use crate::mailbox::Mailbox;
use crate::memory::Chunk;
use crate::op::{Flags, Op};
use crate::pool::Element;
use crate::promise::Promise;
use crate::span::{Span, SpanMut};
use crate::status::Status;
use crate::sync::{AtomicU8, Ordering};
use crate::units::Sector;

/// How many runs of memory fit into a bio; more have a table.
pub const INLINE_SPANS: usize = 8;

/// One I/O: the right of its one holder, which is handed down the stack and back up. Whoever has it must hand it on
/// or complete it.
#[must_use = "a dropped bio never completes"]
#[repr(transparent)]
pub struct Bio(pub(super) NonNull<Head>);

// SAFETY: what the holder alone may touch is Send (pads are by the trait's bound, the rest by its types), the rest is
// atomic.
unsafe impl Send for Bio {}

/// A queue of bios through their own links.
pub type BioList = List<Bio>;

/// The mailbox of a queue.
pub(crate) type BioMailbox = Mailbox<Bio>;

/// A piece of memory of a pool on which bios may be parked: a buffer for data, or a table of runs.
pub(crate) struct BioChunk(Chunk);

/// A count on a bio that keeps it, and the memory of its data, until every piece of it has ended. What is reached through it
/// is the atomic part of the head alone.
pub(in crate::bio) struct ChainRef(ManuallyDrop<Bio>);

/// What all layers see of a bio.
pub(in crate::bio) struct Head {
    /// What its set does with it.
    pub(super) finish: unsafe fn(NonNull<Head>, Finish) -> Option<Bio>,
    /// Its set: see [`Bio::set_id`].
    pub(super) set: usize,
    pub(super) status: AtomicU8,
    pub(super) pending: Pending,
    /// Its own runs. Written before the bio is first handed on, and not again until it is free: pieces borrow them.
    pub(super) spans: UnsafeCell<[MaybeUninit<Span<'static>>; INLINE_SPANS]>,
    /// What the holder alone touches.
    pub(super) own: UnsafeCell<Own>,
}

/// What a set is asked to do with a bio of its own, by who does not know its pad.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Finish {
    /// End it where its last completion came, as its pad says ([`Ending::Anywhere`]): what ends with it.
    Anywhere,
    /// Free it: nobody is told.
    Free,
}

/// What the one holder of a bio may touch.
pub(in crate::bio) struct Own {
    pub(in crate::bio) op: Op,
    pub(in crate::bio) flags: Flags,
    pub(in crate::bio) marks: u8,
    pub(in crate::bio) sector: Sector,
    /// Bytes that the bio is about: for operations without data, of the device alone.
    pub(in crate::bio) len: usize,
    /// Bytes of the first run that are not part of it.
    pub(in crate::bio) skip: usize,
    /// Sector, length and skip as its owner handed it on: drivers below move it and split its front off.
    pub(in crate::bio) handed_on: (Sector, usize, usize),
    /// Its runs: its own, or those of the bio that it is a piece or a clone of.
    pub(in crate::bio) spans: *const [Span<'static>],
    /// The place of its own runs, where they do not fit inside.
    pub(in crate::bio) table: Option<Lent<BioChunk>>,
    pub(in crate::bio) memory: Memory,
    next: Option<Bio>,
    /// The channel that allocated it, which is told of its end.
    pub(in crate::bio) owner: ChannelId,
    /// The channel that it was submitted to last, on the queue that it is on.
    pub(in crate::bio) at: ChannelId,
    /// Its place among those who wait for a pool, while it is parked there.
    pub(in crate::bio) ticket: u64,
    /// The queue on which it was parked, where it goes on: a rescuer's may be another than its own.
    pub(in crate::bio) parked_on: Option<Arc<BioMailbox>>,
    /// What the pool that it was parked on has promised it.
    pub(in crate::bio) promise: Option<Promise>,
    /// The queue that it belongs to. It stays while the bio is free in a stock of this queue, so that making a bio counts
    /// no reference.
    pub(super) home: Option<Arc<BioMailbox>>,
}

/// What keeps the memory of its runs.
pub(in crate::bio) enum Memory {
    /// Somebody else, as a promise.
    Elsewhere,
    /// The bio itself.
    Own(Lent<BioChunk>),
    /// The bio that it is a clone of.
    Parent(Bio),
}

pub(in crate::bio) const NO_SPANS: *const [Span<'static>] =
    std::ptr::slice_from_raw_parts(NonNull::<Span<'static>>::dangling().as_ptr(), 0);

impl Head {
    /// That of a free bio.
    pub(super) fn new(finish: unsafe fn(NonNull<Self>, Finish) -> Option<Bio>) -> Self {
        Self {
            finish,
            set: 0,
            status: AtomicU8::new(Status::Ok as u8),
            pending: Pending::one(),
            spans: UnsafeCell::new([MaybeUninit::uninit(); INLINE_SPANS]),
            own: UnsafeCell::new(Own::free(None)),
        }
    }
}

impl Own {
    /// What a free bio has, whose home is still `home`.
    #[inline]
    pub(super) fn free(home: Option<Arc<BioMailbox>>) -> Self {
        Self {
            op: Op::Read,
            flags: Flags::NONE,
            marks: 0,
            sector: Sector(0),
            len: 0,
            skip: 0,
            handed_on: (Sector(0), 0, 0),
            spans: NO_SPANS,
            table: None,
            memory: Memory::Elsewhere,
            next: None,
            owner: ChannelId::USER,
            at: ChannelId::USER,
            ticket: 0,
            parked_on: None,
            promise: None,
            home,
        }
    }
}

/// The bio may not ask for optional memory again (see [`PadBio::mark_single_unit`](crate::PadBio::mark_single_unit)).
pub(in crate::bio) const MARK_SINGLE_UNIT: u8 = 1;
/// A pool that wakes the bio ends it, and does not submit it again (see [`PadBio::wait`](crate::PadBio::wait)).
pub(in crate::bio) const MARK_ENDS: u8 = 2;
/// It ends where its last completion comes (see [`Ending::Anywhere`](crate::bio::Ending::Anywhere)).
pub(in crate::bio) const MARK_ANYWHERE: u8 = 4;

impl Element for BioChunk {
    type Waiter = Bio;

    fn from_chunk(chunk: Chunk) -> Self {
        Self(chunk)
    }
}

impl BioChunk {
    /// Its bytes, to be read.
    pub(crate) fn span(&self) -> Span<'_> {
        // SAFETY: the chunk is valid memory of this length for as long as it is borrowed, and is reached through spans alone.
        // The one writer borrows it mutably.
        unsafe { Span::from_raw(self.0.addr(), self.0.len()) }
    }

    /// Its bytes, to be written.
    pub(crate) fn span_mut(&mut self) -> SpanMut<'_> {
        // SAFETY: as in `span`. It is the chunk's one holder that borrows it mutably, so there is no other span.
        unsafe { SpanMut::from_raw(self.0.addr(), self.0.len()) }
    }

    /// Where it begins, for a table.
    pub(super) fn addr(&self) -> NonNull<u8> {
        self.0.addr()
    }

    /// Its length in bytes.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Linked for Bio {
    fn next(&self) -> Option<&Self> {
        self.own().next.as_ref()
    }

    fn link(&mut self) -> &mut Option<Self> {
        &mut self.own_mut().next
    }
}

impl Bio {
    pub(super) fn head(&self) -> &Head {
        // SAFETY: the block lives as long as a handle to it; nobody makes a `&mut Head`.
        unsafe { self.0.as_ref() }
    }

    pub(in crate::bio) fn own(&self) -> &Own {
        // SAFETY: the holder alone touches the own part.
        unsafe { &*self.head().own.get() }
    }

    pub(in crate::bio) fn own_mut(&mut self) -> &mut Own {
        // SAFETY: as in `own`, and this borrow is exclusive.
        unsafe { &mut *self.head().own.get() }
    }

    /// The queue that it belongs to.
    #[inline]
    pub(crate) fn home(&self) -> Option<&Arc<BioMailbox>> {
        self.own().home.as_ref()
    }

    /// Whether it belongs to the queue with this mailbox.
    #[inline]
    pub(crate) fn is_of(&self, mailbox: &Arc<BioMailbox>) -> bool {
        self.home().is_some_and(|home| Arc::ptr_eq(home, mailbox))
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

    pub(in crate::bio) fn forget_status(&mut self) {
        self.head().status.store(Status::Ok as u8, Ordering::Relaxed);
    }

    /// One more completion must come before it ends.
    pub(in crate::bio) fn chain(&self) -> ChainRef {
        self.head().pending.add();
        ChainRef(ManuallyDrop::new(Self(self.0)))
    }

    /// One completion came: the bio itself when it was the last one, as its owner handed it on.
    #[inline]
    pub(crate) fn arrive(self) -> Option<Self> {
        ChainRef(ManuallyDrop::new(self)).arrive()
    }

    /// Ends it where it is, as its pad says: what ends with it.
    pub(in crate::bio) fn end_anywhere(self) -> Option<Self> {
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
        Self(self.0).lost();
    }
}

impl ChainRef {
    /// This piece ended with `status`: the parent, when that was its last completion.
    pub(in crate::bio) fn end(self, status: Status) -> Option<Bio> {
        self.0.record(status);
        self.arrive()
    }

    fn arrive(self) -> Option<Bio> {
        // The count that this reference stands for keeps the block, until it is given up here.
        if !self.0.head().pending.arrive() {
            return None;
        }
        let mut bio = ManuallyDrop::into_inner(self.0);
        let own = bio.own_mut();
        (own.sector, own.len, own.skip) = own.handed_on;
        Some(bio)
    }
}

const _: () = assert!(size_of::<Bio>() == size_of::<usize>() && Op::Read as u8 == 0);
