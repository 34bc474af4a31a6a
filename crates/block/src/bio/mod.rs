//! One I/O: operation, flags, place, data, and who is told at the end (the kernel's `struct bio`).
//!
//! * `raw`: `Bio`, the handle; `PadBio`, the owner's view of it with the pad; where they live in memory.
//! * `set`: `BioSet`, the pool that bios come from.
//! * `split`: pieces of a bio, and how a bio ends when its last piece has.
//! * `table`: where its runs are when they are many.
//! * `pending`: how many completions must come before a bio ends.
//! * `list`: a queue of bios through their own links.

mod list;
mod pending;
mod raw;
mod set;
mod split;
mod table;

pub use list::BioList;
pub(crate) use list::LocalList;
pub use raw::{Bio, INLINE_SPANS, PadBio};
pub use set::{BioSet, BioSetOptions};
pub use split::{Piece, Split};
pub use table::MAX_SPANS;

use std::ptr::NonNull;

use crate::device::DeviceRef;
use crate::op::{Flags, Op};
use crate::pages::{PagePool, Pages};
use crate::promise::Promise;
use crate::queue::{self, Home};
use crate::span::{Span, SpanIter};
use crate::status::Status;
use crate::submit;
use crate::units::{Bytes, Sector, Sectors};
use table::Table;

/// A driver's own state for one bio (the kernel's front pad), and what is done when the bio ends.
pub trait Pad: Send + Sized + 'static {
    /// What all bios of a set share: the driver's part that `end_io` needs. It lives as long as a bio is out.
    type Context: Send + Sync + 'static;

    /// The bio has ended, with [`Bio::status`]. Called once, on any thread. It never sleeps, and what it submits or
    /// completes is done after it returns, so that no stack grows.
    fn end_io(bio: PadBio<Self>);
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
    home: Option<Home>,
    /// Its place among those who wait for a pool, while it is parked there.
    ticket: u64,
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
    fn new() -> Self {
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
            home: None,
            ticket: 0,
            promise: None,
        }
    }
}

/// The bio may not ask for optional memory again (see [`PadBio::mark_single_unit`]).
const MARK_SINGLE_UNIT: u8 = 1;
/// A pool that wakes the bio ends it, and does not submit it again (see [`PadBio::wait`]).
const MARK_ENDS: u8 = 2;
/// Its driver has been told of its end and has left it to its queue thread (see [`queue::deliver`]).
const MARK_DELIVERED: u8 = 4;

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

    /// Its memory, in order; empty where the operation has none.
    pub fn data(&self) -> SpanIter<'_> {
        let own = self.own();
        if !own.op.has_data() {
            return SpanIter::new(&[]);
        }
        SpanIter::with_len(self.runs(), own.skip, own.len)
    }

    /// Ends it with `status`; an error that was recorded before stays.
    pub fn complete(self, status: Status) {
        self.record(status);
        submit::ended(self);
    }

    /// The queue thread that it belongs to, if any.
    pub fn home(&self) -> Option<Home> {
        self.own().home
    }

    /// Gives it to a queue thread, which wakes it up and hears of its end.
    pub fn set_home(&mut self, home: Home) {
        self.own_mut().home = Some(home);
    }

    /// Its place among those who wait for the pool that it is parked on.
    pub(crate) fn ticket(&self) -> u64 {
        self.own().ticket
    }

    pub(crate) fn set_ticket(&mut self, ticket: u64) {
        self.own_mut().ticket = ticket;
    }

    /// A pool wakes it, and has an element for it.
    pub(crate) fn wake(mut self, promise: Promise) {
        let own = self.own_mut();
        own.promise = Some(promise);
        if own.marks & MARK_ENDS == 0 {
            return submit::resubmit(self);
        }
        own.marks &= !MARK_ENDS;
        queue::complete_at_home(self, Status::Ok);
    }

    #[inline]
    pub(crate) fn take_promise(&mut self) -> Option<Promise> {
        self.own_mut().promise.take()
    }

    /// From now on it waits for its owner to claim it, and has nobody left to be told of its end.
    pub(crate) fn mark_delivered(&mut self) {
        self.own_mut().marks |= MARK_DELIVERED;
    }

    fn mark_claimed(&mut self) {
        self.own_mut().marks &= !MARK_DELIVERED;
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

    /// A completion came: when it was the last one, its set is told, and this right to it ends.
    pub(crate) fn tell(self) {
        if let Some(mut bio) = self.arrive() {
            let own = bio.own_mut();
            (own.sector, own.len, own.skip) = own.handed_on;
            match own.promise.take() {
                None => bio.call_end_io(),
                Some(promise) => submit::with(promise, || bio.call_end_io()),
            }
        }
    }
}

impl<P: Pad> PadBio<P> {
    /// Sends it to another place.
    pub fn set_sector(&mut self, sector: Sector) {
        self.bio_mut().set_sector(sector);
    }

    /// Gives it to a queue thread: see [`Bio::set_home`].
    pub fn set_home(&mut self, home: Home) {
        self.bio_mut().set_home(home);
    }

    /// Says what it asks for. It has no data yet.
    pub fn prepare(&mut self, op: Op, flags: Flags, sector: Sector) {
        let own = self.bio_mut().own_mut();
        (own.op, own.flags, own.sector) = (op, flags, sector);
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
        self.bio_mut().own_mut().home = parent.own().home;
        self.bio_mut().own_mut().memory = Memory::Parent(parent);
    }

    /// Keeps `parent` inside without borrowing its memory. It has no data then.
    pub fn set_parent(&mut self, parent: Bio) {
        let own = self.bio_mut().own_mut();
        own.home = parent.own().home;
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
        let own = self.bio_mut().own_mut();
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

    /// Marks it for good: optional memory was refused once, so it goes on with what its pad holds and never asks
    /// again. The mark is the bio's and not the call's, so a retry cannot loop.
    pub fn mark_single_unit(&mut self) {
        self.bio_mut().own_mut().marks |= MARK_SINGLE_UNIT;
    }

    /// Whether [`PadBio::mark_single_unit`] was called.
    pub fn is_single_unit(&self) -> bool {
        self.own().marks & MARK_SINGLE_UNIT != 0
    }

    /// Leaves it to `pool`, where its driver found no buffer for it: it ends, on its queue thread and with the status
    /// that it has, when the reserve has a buffer for it, and its `end_io` finds that buffer there.
    pub fn wait(mut self, pool: &PagePool) {
        self.bio_mut().own_mut().marks |= MARK_ENDS;
        pool.wait(self.into_bio());
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

    /// Submits it to `dev`.
    pub fn submit(self, dev: &DeviceRef) {
        submit::submit(dev, self.into_bio());
    }
}

/// A bio was dropped without being completed, or was delivered and not claimed: its driver or its owner has a bug. The
/// client hears of an error, and a test of a panic.
#[cold]
fn lost(bio: Bio) {
    let loud = cfg!(debug_assertions) && !std::thread::panicking();
    if bio.own().marks & MARK_DELIVERED != 0 {
        tracing::error!(op = ?bio.op(), sector = %bio.sector(), "a queue thread left a bio that had ended");
        bio.free();
        assert!(!loud, "a queue thread left a bio that had ended");
        return;
    }
    tracing::error!(op = ?bio.op(), sector = %bio.sector(), "a driver lost a bio");
    bio.complete(Status::IoErr);
    assert!(!loud, "a driver lost a bio");
}

impl std::fmt::Debug for Bio {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let own = self.own();
        write!(f, "Bio({:?}, sector {}, {} bytes)", own.op, own.sector, own.len)
    }
}

#[cfg(test)]
mod tests;
