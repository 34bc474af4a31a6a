//! A channel's own way to the bios of a set, with some that it keeps.

use std::sync::Arc;

use super::raw::{Bio, BioChunk, BioMemory, Ending, INLINE_SPANS, OwnBio, Pad, PadBio};
use super::set::BioSet;
use super::table;
use crate::alloc::Alloc;
use crate::channel_id::ChannelId;
use crate::classes::{ClassStocks, Classes};
use crate::dispatch::Dispatch;
use crate::lent::Lent;
use crate::promise::Promise;
use crate::stock::Stock;

/// The bios that one channel, or the user of a queue, allocates of a set. They end at that channel.
pub struct Bios<P: Pad> {
    owner: ChannelId,
    set: BioSet<P>,
    stock: Stock<BioMemory<P>>,
    tables: Option<ClassStocks>,
}

impl<P: Pad> Bios<P> {
    // not on the I/O path: once a channel
    pub(crate) fn new(set: &BioSet<P>, owner: ChannelId) -> Self {
        let stock = Stock::of(&set.0.pool);
        let tables = set.0.tables.as_ref().map(ClassStocks::of);
        Self { owner, set: set.clone(), stock, tables }
    }

    /// The set that they are of.
    pub fn set(&self) -> &BioSet<P> {
        &self.set
    }

    /// A bio with this pad, by the rule of [`crate::mempool`]; the pad comes back when there is none.
    ///
    /// # Errors
    /// When there is no bio, which [`Alloc::Wait`] never says.
    #[inline]
    pub fn alloc(&mut self, cx: &mut Dispatch, pad: P, how: Alloc) -> Result<PadBio<P>, P> {
        let kept = if how == Alloc::Wait && self.set.refuses_first() { None } else { self.stock.pop() };
        match kept.or_else(|| self.alloc_dear(cx, how)) {
            Some(memory) => Ok(self.make(cx, memory, pad)),
            None => Err(pad),
        }
    }

    #[inline]
    fn make(&self, cx: &Dispatch, memory: Lent<BioMemory<P>>, pad: P) -> PadBio<P> {
        let mut bio = PadBio::init(memory, pad, self.owner, cx.home().mailbox());
        if cx.may_sleep() && matches!(P::ENDING, Ending::Anywhere(_)) {
            bio.bio_mut().mark_anywhere();
        }
        bio
    }

    /// Memory for a bio where this channel keeps none.
    #[cold]
    fn alloc_dear(&mut self, cx: &mut Dispatch, how: Alloc) -> Option<Lent<BioMemory<P>>> {
        let Self { set, stock, .. } = self;
        alloc(set, cx, how, |promise, how| stock.pool().alloc(promise, how))
    }

    /// The same for a bio that will have `runs` runs of memory, with a table for them where they do not fit inside.
    ///
    /// # Errors
    /// When there is no bio or no table, which [`Alloc::Wait`] never says.
    ///
    /// # Panics
    /// For more runs than the set was made for.
    pub fn alloc_with(&mut self, cx: &mut Dispatch, pad: P, runs: usize, how: Alloc) -> Result<PadBio<P>, P> {
        if runs <= INLINE_SPANS {
            return self.alloc(cx, pad, how);
        }
        // The table first, always: who holds one may wait for a bio, and nobody with a bio waits for a table.
        let Some(table) = self.table(cx, runs, how) else { return Err(pad) };
        let mut bio = self.alloc(cx, pad, how)?;
        bio.set_table(table);
        Ok(bio)
    }

    /// A table for so many runs.
    fn table(&mut self, cx: &mut Dispatch, runs: usize, how: Alloc) -> Option<Lent<BioChunk>> {
        let len = table::bytes(runs);
        let longest = self.set.0.tables.as_ref().map_or(0, Classes::largest);
        let tables = self.tables.as_mut().filter(|_| len <= longest);
        let tables = tables.unwrap_or_else(|| panic!("{runs} runs in a bio of a set for fewer"));
        alloc(&self.set, cx, how, |promise, how| tables.alloc(len, promise, how))
    }

    /// Frees a bio, for the next allocation here. One that is dropped goes to the set.
    #[inline]
    pub fn free(&mut self, mut bio: PadBio<P>) {
        if let Some(tables) = &mut self.tables
            && let Some(table) = bio.take_table()
        {
            tables.free(table);
        }
        self.stock.free(bio.into_free());
    }

    /// Leaves `bio`, with which this channel was called and for which it found no bio or no table, to the next free: it
    /// comes to the channel again, first come, first served, and finds a bio then. When one has become free meanwhile
    /// that is at once.
    pub fn park(&self, cx: &Dispatch, mut bio: Bio) {
        bio.set_at(cx.called());
        bio.set_parked_on(Arc::clone(cx.home().mailbox()));
        self.set.park(bio);
    }

    /// The bio of this set that `bio` is.
    ///
    /// # Errors
    /// Hands it back when it is of another set.
    #[inline]
    pub fn claim(&self, bio: OwnBio) -> Result<PadBio<P>, OwnBio> {
        PadBio::claim(bio, self.stock.pool().id())
    }
}

/// Does `alloc` by `how`. Where it may sleep: first without, then what this sleep would block is punted, and only then it
/// sleeps.
fn alloc<P: Pad, T>(
    set: &BioSet<P>,
    cx: &mut Dispatch,
    how: Alloc,
    mut alloc: impl FnMut(&mut Option<Promise>, Alloc) -> Option<T>,
) -> Option<T> {
    if how != Alloc::Wait {
        return alloc(&mut cx.promise, how);
    }
    debug_assert!(cx.may_sleep(), "a queue that never sleeps is about to");
    if !set.refuses_first()
        && let Some(memory) = alloc(&mut cx.promise, Alloc::NoWait)
    {
        return Some(memory);
    }
    if let Some(rescuer) = set.rescuer() {
        rescuer.punt(cx, set.0.pool.id());
    }
    alloc(&mut cx.promise, Alloc::Wait)
}
