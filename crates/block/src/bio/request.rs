//! What a bio asks for: operation, wishes, place and length; and how its owner sets that before the bio is handed on.

use super::raw::{Bio, MARK_SINGLE_UNIT, Memory, NO_SPANS, Pad, PadBio};
use crate::channel_id::ChannelId;
use crate::op::{Flags, Op};
use crate::promise::Promise;
use crate::span::Span;
use crate::units::{Bytes, Sector, Sectors};

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

    #[inline]
    pub(crate) fn take_promise(&mut self) -> Option<Promise> {
        self.own_mut().promise.take()
    }

    /// Moves its beginning by `len` bytes: they are somebody else's now.
    pub(super) fn advance(&mut self, len: usize) {
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
        if !matches!(own.memory, Memory::Own(_)) {
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

    /// Marks it for good: optional memory was refused once, so it goes on with what its pad holds and never asks
    /// again. The mark is the bio's and not the call's, so a retry cannot loop.
    pub fn mark_single_unit(&mut self) {
        self.bio_mut().own_mut().marks |= MARK_SINGLE_UNIT;
    }

    /// Whether [`PadBio::mark_single_unit`] was called.
    pub fn is_single_unit(&self) -> bool {
        self.own().marks & MARK_SINGLE_UNIT != 0
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

impl std::fmt::Debug for Bio {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let own = self.own();
        write!(f, "Bio({:?}, sector {}, {} bytes)", own.op, own.sector, own.len)
    }
}
