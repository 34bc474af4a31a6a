//! One I/O: operation, flags, place, data, and who is told at the end (the kernel's `struct bio`).
//!
//! * `raw`: `Bio`, the handle; `PadBio`, the owner's view of it with the pad; where they live in memory.
//! * `set`: `BioSet`, the pool that bios come from; `bios`: one channel's way to it, with some that it keeps.
//! * `data`: its memory, to be read and to be written.
//! * `split`: pieces of a bio, and how a bio ends when its last piece has.
//! * `table`: where its runs are when they are many.
//! * `pending`: how many completions must come before a bio ends.
//! * `list`: a queue of bios through their own links.

mod bios;
mod data;
mod list;
mod pending;
mod raw;
mod set;
mod split;
mod table;

pub use bios::Bios;
pub use list::BioList;
pub use raw::{Bio, INLINE_SPANS, OwnBio, PadBio};
pub use set::{BioSet, BioSetOptions};
pub use split::{Piece, Split};
pub use table::MAX_SPANS;

use std::ptr::NonNull;

use crate::channel::ChannelId;
use crate::mailbox::Home;
use crate::op::{Flags, Op};
use crate::pages::{Buffers, Pages};
use crate::promise::Promise;
use crate::span::Span;
use crate::status::Status;
use crate::units::{Bytes, Sector, Sectors};
use table::Table;

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

/// What the one holder of a bio may touch.
struct Own {
    op: Op,
    flags: Flags,
    marks: u8,
    sector: Sector,
    /// Bytes that the bio is about: for operations without data, of the device alone.
    len: usize,
    /// Bytes of the first run that are not part of it.
    skip: usize,
    /// Sector, length and skip as its owner handed it on: drivers below move it and split its front off.
    handed_on: (Sector, usize, usize),
    /// Its runs: its own, or those of the bio that it is a piece or a clone of.
    spans: *const [Span<'static>],
    /// The place of its own runs, where they do not fit inside.
    table: Option<Table>,
    memory: Memory,
    next: Option<Bio>,
    /// The channel that allocated it, which is told of its end.
    owner: ChannelId,
    /// The channel that it was submitted to last, on the queue that it is on.
    at: ChannelId,
    /// Its place among those who wait for a pool, while it is parked there.
    ticket: u64,
    /// The queue on which it was parked, where it goes on: a rescuer's may be another than its own.
    parked_on: Option<Home>,
    /// What the pool that it was parked on has promised it.
    promise: Option<Promise>,
}

/// What keeps the memory of its runs.
enum Memory {
    /// Somebody else, as a promise.
    Elsewhere,
    /// Pages of its own.
    Pages(Pages),
    /// The bio that it is a clone of.
    Parent(Bio),
}

const NO_SPANS: *const [Span<'static>] =
    std::ptr::slice_from_raw_parts(NonNull::<Span<'static>>::dangling().as_ptr(), 0);

impl Own {
    fn new(owner: ChannelId) -> Self {
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
            owner,
            at: owner,
            ticket: 0,
            parked_on: None,
            promise: None,
        }
    }
}

/// The bio may not ask for optional memory again (see [`PadBio::mark_single_unit`]).
const MARK_SINGLE_UNIT: u8 = 1;
/// A pool that wakes the bio ends it, and does not submit it again (see [`PadBio::wait`]).
const MARK_ENDS: u8 = 2;
/// It ends where its last completion comes (see [`Ending::Anywhere`]).
const MARK_ANYWHERE: u8 = 4;

impl Bio {
    /// What it asks for.
    pub fn op(&self) -> Op {
        self.own().op
    }

    /// Its wishes beside the operation.
    pub fn flags(&self) -> Flags {
        self.own().flags
    }

    /// Changes its wishes.
    pub fn set_flags(&mut self, flags: Flags) {
        self.own_mut().flags = flags;
    }

    /// Where on the device it begins.
    pub fn sector(&self) -> Sector {
        self.own().sector
    }

    /// Sends it to another place, as a remapping driver does.
    pub fn set_sector(&mut self, sector: Sector) {
        self.own_mut().sector = sector;
    }

    /// How many bytes it is about.
    pub fn len(&self) -> Bytes {
        Bytes(self.own().len as u64)
    }

    /// Whether it is about no byte, as a flush.
    pub fn is_empty(&self) -> bool {
        self.own().len == 0
    }

    /// How many sectors it is about.
    pub fn sectors(&self) -> Sectors {
        self.len().sectors()
    }

    /// The sector behind its last one; `None` past 2^64.
    pub fn end(&self) -> Option<Sector> {
        self.sector().checked_add(self.sectors())
    }

    /// Ends it with `status`, on any thread: for back ends whose own threads do the work. Its owner hears of it on its own
    /// queue, so what that frees and decrypts on the way up stays with the thread that took it on the way down. In a driver
    /// call, [`Dispatch::complete`](crate::Dispatch::complete) does it.
    pub fn complete_elsewhere(self, status: Status) {
        self.record(status);
        Self::all_go_home(self.arrive());
    }

    /// A bio that ends anywhere may be the last piece of another: a loop, so that no stack grows.
    fn all_go_home(mut ended: Option<Self>) {
        while let Some(bio) = ended {
            ended = bio.go_home();
        }
    }

    /// Has a bio of which every completion has come end: where it is, when it may, or else at its queue. What ends with it.
    pub(crate) fn go_home(mut self) -> Option<Self> {
        // It was for the driver that parked it here. On the way home others would wait for it, as long as nobody drives that
        // queue.
        drop(self.take_promise());
        if self.own().marks & MARK_ANYWHERE != 0 {
            return self.end_anywhere();
        }
        let home = self.home().cloned()?;
        if let Err(bio) = home.mail_ended(self) {
            return bio.abandon();
        }
        None
    }

    /// Ends a bio whose queue has ended, and its channels with it: nobody is left to be told. What it is a piece or a clone
    /// of may be another queue's, or wait for more pieces: it goes on, with an error where nobody knows how this one ended.
    pub(crate) fn abandon(mut self) -> Option<Self> {
        if let Some(parent) = self.take_parent() {
            parent.complete_elsewhere(Status::Offline);
        }
        self.end_anywhere()
    }

    /// The channel that allocated it.
    #[inline]
    pub(crate) fn owner(&self) -> ChannelId {
        self.own().owner
    }

    /// The channel that it was submitted to last.
    #[inline]
    pub(crate) fn at(&self) -> ChannelId {
        self.own().at
    }

    #[inline]
    pub(crate) fn set_at(&mut self, at: ChannelId) {
        self.own_mut().at = at;
    }

    fn mark_anywhere(&mut self) {
        self.own_mut().marks |= MARK_ANYWHERE;
    }

    /// Its place among those who wait for the pool that it is parked on.
    pub(crate) fn ticket(&self) -> u64 {
        self.own().ticket
    }

    pub(crate) fn set_ticket(&mut self, ticket: u64) {
        self.own_mut().ticket = ticket;
    }

    /// It waits for a pool, to be dispatched again on the queue `home`.
    pub(crate) fn set_parked_on(&mut self, home: Home) {
        self.own_mut().parked_on = Some(home);
    }

    /// A pool wakes it, and has an element for it: it goes on where it was parked. Where that queue has ended, it ends too,
    /// and the promise comes back.
    pub(crate) fn wake(mut self, promise: Promise) -> Result<(), Promise> {
        let own = self.own_mut();
        own.promise = Some(promise);
        let ends = own.marks & MARK_ENDS != 0;
        own.marks &= !MARK_ENDS;
        let parked_on = own.parked_on.take();
        let home = parked_on.or_else(|| self.home().cloned()).expect("a bio that is parked has a queue");
        let mailed = if ends { home.mail_ended(self) } else { home.mail_to_submit(self) };
        mailed.map_err(|mut bio| {
            let promise = bio.take_promise().expect("given above");
            if ends {
                Self::all_go_home(bio.abandon());
            } else {
                bio.complete_elsewhere(Status::Offline);
            }
            promise
        })
    }

    /// Takes the bio out that waits inside; it has no data then.
    fn take_parent(&mut self) -> Option<Self> {
        let own = self.own_mut();
        match std::mem::replace(&mut own.memory, Memory::Elsewhere) {
            Memory::Parent(parent) => {
                (own.spans, own.skip, own.len) = (NO_SPANS, 0, 0);
                Some(parent)
            }
            other => {
                own.memory = other;
                None
            }
        }
    }

    #[inline]
    pub(crate) fn take_promise(&mut self) -> Option<Promise> {
        self.own_mut().promise.take()
    }

    /// Moves its beginning by `len` bytes: they are somebody else's now.
    fn advance(&mut self, len: usize) {
        let own = self.own_mut();
        own.len -= len;
        own.sector += Sectors::in_bytes(len as u64);
        if own.op.has_data() {
            own.skip += len;
        }
    }
}

impl<P: Pad> PadBio<P> {
    /// Sends it to another place.
    pub fn set_sector(&mut self, sector: Sector) {
        self.bio_mut().set_sector(sector);
    }

    /// Says what it asks for. Pages of its own stay. Other memory it has no more: what was lent for a write may not be read
    /// into.
    pub fn prepare(&mut self, op: Op, flags: Flags, sector: Sector) {
        let own = self.bio_mut().own_mut();
        (own.op, own.flags, own.sector) = (op, flags, sector);
        if !matches!(own.memory, Memory::Pages(_)) {
            (own.spans, own.skip) = (NO_SPANS, 0);
        }
    }

    /// Sets a range of `len` bytes without memory: for a discard, or zeros.
    pub fn set_range(&mut self, len: Bytes) {
        self.bio_mut().own_mut().len = len.0 as usize;
    }

    /// Makes it about `len` bytes of its memory, from byte `at` on: for a driver that does several I/Os, one after another,
    /// with parts of one buffer. It is not under way.
    ///
    /// # Panics
    /// Where it has less memory.
    pub fn set_window(&mut self, at: usize, len: usize) {
        let all: usize = self.runs().iter().map(Span::len).sum();
        assert!(at <= all && len <= all - at, "{len} bytes at {at} leave the {all} bytes of a bio");
        let own = self.bio_mut().own_mut();
        (own.skip, own.len) = (at, len);
    }

    /// Takes its pages back; its data is empty then.
    pub fn take_pages(&mut self) -> Option<Pages> {
        let own = self.bio_mut().own_mut();
        match std::mem::replace(&mut own.memory, Memory::Elsewhere) {
            Memory::Pages(pages) => {
                (own.spans, own.skip, own.len) = (NO_SPANS, 0, 0);
                Some(pages)
            }
            other => {
                own.memory = other;
                None
            }
        }
    }

    /// Makes it a clone of `parent` (the kernel's `bio_alloc_clone`): the same operation, flags, range and memory.
    /// The parent waits inside until [`PadBio::take_parent`].
    pub fn clone_of(&mut self, parent: Bio) {
        self.bio_mut().borrow_front(&parent, parent.own().len);
        self.bio_mut().own_mut().memory = Memory::Parent(parent);
    }

    /// Keeps `parent` inside without borrowing its memory. It has no data then, and pages of its own go back to their pool.
    /// [`PadBio::set_pages`] would drop the parent: a bio that has both keeps the other bio in its pad.
    pub fn set_parent(&mut self, parent: Bio) {
        let own = self.bio_mut().own_mut();
        (own.spans, own.skip, own.len) = (NO_SPANS, 0, 0);
        own.memory = Memory::Parent(parent);
    }

    /// The bio that waits inside.
    pub fn parent(&self) -> Option<&Bio> {
        match &self.own().memory {
            Memory::Parent(parent) => Some(parent),
            _ => None,
        }
    }

    /// Takes the bio out that waits inside; the clone has no data then.
    pub fn take_parent(&mut self) -> Option<Bio> {
        self.bio_mut().take_parent()
    }

    /// Marks it for good: optional memory was refused once, so it goes on with what its pad holds and never asks
    /// again. The mark is the bio's and not the call's, so a retry cannot loop.
    pub fn mark_single_unit(&mut self) {
        self.bio_mut().own_mut().marks |= MARK_SINGLE_UNIT;
    }

    /// Whether [`PadBio::mark_single_unit`] was called.
    pub fn is_single_unit(&self) -> bool {
        self.own().marks & MARK_SINGLE_UNIT != 0
    }

    /// Leaves it to `buffers`, where its channel found none for it: it ends, on its queue and with the status that it has,
    /// when the reserve has a buffer for it. Its channel's `end_io` claims it, finds that buffer by the same
    /// [`Buffers::alloc`] and goes on: so the pad says for what the bio was under way. Not for a bio of a queue's user.
    pub fn wait(mut self, buffers: &Buffers) {
        debug_assert_ne!(self.owner(), ChannelId::USER, "a bio of a queue's user cannot wait for a buffer");
        self.bio_mut().own_mut().marks |= MARK_ENDS;
        buffers.wait(self.into_bio());
    }

    /// Tells the channel that has allocated it, from any thread, that something has changed for it while the bio is under way:
    /// its [`Channel::message`](crate::Channel::message) is called with a [`Notice`](crate::Notice). Several notices to one
    /// channel may come as one. It takes no memory.
    pub fn notify_owner(&self) {
        if let Some(home) = self.home() {
            home.notify(self.owner());
        }
    }

    /// Makes a bio that ended ready to be handed on again.
    pub fn rearm(&mut self) {
        self.bio_mut().forget_status();
    }

    /// The bio without its pad, to be handed on. When it ends, place and data are again what they are now, whatever
    /// drivers below did to it.
    pub fn into_bio(mut self) -> Bio {
        let own = self.bio_mut().own_mut();
        own.handed_on = (own.sector, own.len, own.skip);
        self.hand_on()
    }
}

/// A bio was dropped without being completed: its driver has a bug. The client hears of an error, and a test of a panic.
#[cold]
fn lost(bio: Bio) {
    let loud = cfg!(debug_assertions) && !std::thread::panicking();
    let (op, sector) = (bio.op(), bio.sector());
    tracing::error!(?op, %sector, "a driver lost a bio");
    bio.complete_elsewhere(Status::IoErr);
    assert!(
        !loud,
        "a driver lost a bio: {op:?} at sector {sector} was dropped, and neither submitted nor completed"
    );
}

/// A bio that had ended was dropped and not claimed: its owner has a bug.
#[cold]
fn unclaimed(bio: Bio) {
    let loud = cfg!(debug_assertions) && !std::thread::panicking();
    tracing::error!(op = ?bio.op(), sector = %bio.sector(), "a bio that had ended was not claimed");
    bio.free();
    assert!(!loud, "a bio that had ended was not claimed");
}

impl std::fmt::Debug for Bio {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let own = self.own();
        write!(f, "Bio({:?}, sector {}, {} bytes)", own.op, own.sector, own.len)
    }
}

#[cfg(test)]
mod tests;
