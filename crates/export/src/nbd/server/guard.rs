//! Keeps writes of parts of blocks apart from other writes to the same blocks.
//!
//! A device writes whole blocks. A write of a part of one reads the block, changes the part, and writes the block back
//! (read-modify-write). Another write to the block in between would be lost with the old bytes, so a partial write waits
//! for the writes to its blocks that came before it, and those that come later wait for it.
//!
//! Writes of whole blocks need no order among themselves, and take no lock. Each counts itself in the word of its region,
//! by one atomic addition, and sees in the same word whether a partial write is there. Only then it joins the list of
//! writes that may have to wait. A partial write joins the list first, marks its regions, and then waits until
//! the count is 0: the writes that did not see the mark are those that it waits for.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use udm_block::queue::Home;

/// The bytes of a device that one word is about.
const REGION: u64 = 4 << 20;
/// How many words there are: regions that are so many apart share one.
const WORDS: usize = 1024;
/// What a partial write adds to a word. Writes of whole blocks add 1.
const PARTIAL: u64 = 1 << 32;

/// The writes to one device.
pub(super) struct Guard {
    words: Box<[AtomicU64]>,
    list: Mutex<List>,
}

/// Writes in the order in which they came. Each of them ends without waiting for a later one.
#[derive(Default)]
struct List {
    writes: Vec<Listed>,
    next: u64,
}

struct Listed {
    ticket: u64,
    blocks: Range<u64>,
    is_partial: bool,
    /// It has not begun: its connection asks again when it is woken.
    waits: bool,
    home: Home,
}

/// A write's place among the others, which it gives back by [`Guard::leave`].
pub(super) enum Place {
    /// It needs none.
    None,
    /// It is counted.
    Counted(Range<u64>),
    /// It is in the list, with this ticket.
    Listed(u64),
}

impl Guard {
    pub(super) fn new() -> Self {
        Self { words: (0..WORDS).map(|_| AtomicU64::new(0)).collect(), list: Mutex::default() }
    }

    /// Makes room for so many writes at once, so that the list takes no memory later.
    pub(super) fn reserve(&self, writes: usize) {
        let mut list = self.lock();
        let more = writes.saturating_sub(list.writes.len());
        list.writes.reserve(more);
    }

    /// A place for a write to `blocks`, which are bytes from one block border to another. It may begin when
    /// [`Guard::may_begin`] says so; until then `home` is woken when that may have changed.
    pub(super) fn enter(&self, blocks: &Range<u64>, is_partial: bool, home: Home) -> Place {
        if !is_partial && self.count(blocks) {
            return Place::Counted(blocks.clone());
        }
        let mut list = self.lock();
        let ticket = list.next;
        list.next += 1;
        list.writes.push(Listed { ticket, blocks: blocks.clone(), is_partial, waits: true, home });
        if is_partial {
            // Under the lock: a write that sees the mark finds the entry.
            for word in self.words(blocks) {
                word.fetch_add(PARTIAL, Ordering::SeqCst);
            }
        }
        Place::Listed(ticket)
    }

    /// Whether the write may begin. Once it may, it always may.
    pub(super) fn may_begin(&self, place: &Place) -> bool {
        let Place::Listed(ticket) = place else { return true };
        let mut list = self.lock();
        let Some(at) = list.position(*ticket) else { return true };
        let may = self.is_clear(&list, at);
        list.writes[at].waits &= !may;
        may
    }

    /// The write has ended, or will not happen.
    pub(super) fn leave(&self, place: Place) {
        match place {
            Place::None => {}
            Place::Counted(blocks) => self.uncount(self.words(&blocks)),
            Place::Listed(ticket) => {
                let mut list = self.lock();
                let Some(at) = list.position(ticket) else { return };
                let left = list.writes.remove(at);
                if left.is_partial {
                    for word in self.words(&left.blocks) {
                        word.fetch_sub(PARTIAL, Ordering::SeqCst);
                    }
                }
                self.wake(&list);
            }
        }
    }

    /// Counts a write of whole blocks, unless partial ones are in its regions.
    fn count(&self, blocks: &Range<u64>) -> bool {
        for (counted, word) in self.words(blocks).enumerate() {
            if word.fetch_add(1, Ordering::SeqCst) >= PARTIAL {
                self.uncount(self.words(blocks).take(counted + 1));
                return false;
            }
        }
        true
    }

    /// Takes a count back, and wakes the partial writes that may have waited for it.
    fn uncount<'a>(&self, words: impl Iterator<Item = &'a AtomicU64>) {
        let mut is_waited_for = false;
        for word in words {
            is_waited_for |= word.fetch_sub(1, Ordering::SeqCst) > PARTIAL;
        }
        if is_waited_for {
            self.wake(&self.lock());
        }
    }

    /// The words of the regions of `blocks`, each once.
    fn words(&self, blocks: &Range<u64>) -> impl Iterator<Item = &AtomicU64> {
        let first = blocks.start / REGION;
        let regions = (blocks.end.div_ceil(REGION) - first).min(WORDS as u64);
        (first..first + regions).map(move |region| &self.words[region as usize % WORDS])
    }

    /// Whether nothing that came before it is in the way of the write at `at`.
    fn is_clear(&self, list: &List, at: usize) -> bool {
        let Listed { blocks, is_partial, .. } = &list.writes[at];
        let is_in_the_way = |other: &Listed| {
            (*is_partial || other.is_partial)
                && other.blocks.start < blocks.end
                && blocks.start < other.blocks.end
        };
        let no_counted = !*is_partial
            || self.words(blocks).all(|word| word.load(Ordering::SeqCst).is_multiple_of(PARTIAL));
        no_counted && !list.writes[..at].iter().any(is_in_the_way)
    }

    /// Wakes the connections of those that may begin now. The caller's own looks by itself.
    fn wake(&self, list: &List) {
        let waiting =
            list.writes.iter().enumerate().filter(|(_, write)| write.waits && !write.home.is_here());
        for (at, write) in waiting {
            if self.is_clear(list, at) {
                write.home.wake();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl List {
    fn position(&self, ticket: u64) -> Option<usize> {
        self.writes.iter().position(|write| write.ticket == ticket)
    }
}
