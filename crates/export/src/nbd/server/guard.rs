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

use udm_block::Home;

use crate::serving::DEPTH;

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
    /// How many connections there are.
    connections: usize,
}

/// A connection whose writes the guard has room for.
pub(super) struct Member<'a>(&'a Guard);

struct Listed {
    ticket: u64,
    blocks: Range<u64>,
    is_partial: bool,
    /// It has not begun: its connection asks again when it is woken.
    waits: bool,
    home: Home,
}

/// A write's place among the others, which it gives back by [`Guard::leave`].
pub(super) enum Turn {
    /// It needs none.
    None,
    /// It is counted.
    Counted(Range<u64>),
    /// It is in the list, with this ticket.
    Listed(u64),
}

impl Guard {
    // not on the I/O path: once, when it is made
    pub(super) fn new() -> Self {
        Self { words: (0..WORDS).map(|_| AtomicU64::new(0)).collect(), list: Mutex::default() }
    }

    /// Makes room for the writes of one connection more, [`DEPTH`] of them, so that the list takes no memory later.
    // not on the I/O path: once a connection
    pub(super) fn join(&self) -> Member<'_> {
        let mut list = self.lock();
        list.connections += 1;
        let more = (list.connections * DEPTH).saturating_sub(list.writes.len());
        list.writes.reserve(more);
        Member(self)
    }

    /// A place for a write to `blocks`, which are bytes from one block border to another. It may begin when
    /// [`Guard::may_begin`] says so; until then `home` is woken when that may have changed.
    pub(super) fn enter(&self, blocks: &Range<u64>, is_partial: bool, home: &Home) -> Turn {
        if !is_partial && self.count(blocks, home) {
            return Turn::Counted(blocks.clone());
        }
        let mut list = self.lock();
        let ticket = list.next;
        list.next += 1;
        let home = home.clone();
        list.writes.push(Listed { ticket, blocks: blocks.clone(), is_partial, waits: true, home });
        if is_partial {
            // Under the lock: a write that sees the mark finds the entry.
            for word in self.words(blocks) {
                word.fetch_add(PARTIAL, Ordering::SeqCst);
            }
        }
        Turn::Listed(ticket)
    }

    /// Whether the write may begin. Once it may, it always may.
    pub(super) fn may_begin(&self, place: &Turn) -> bool {
        let Turn::Listed(ticket) = place else { return true };
        let mut list = self.lock();
        let Some(at) = list.position(*ticket) else { return true };
        let may = self.is_clear(&list, at);
        list.writes[at].waits &= !may;
        may
    }

    /// The write has ended, or will not happen. The connection of `home` asks by itself for its own that wait.
    pub(super) fn leave(&self, place: Turn, home: &Home) {
        match place {
            Turn::None => {}
            Turn::Counted(blocks) => self.uncount(self.words(&blocks), home),
            Turn::Listed(ticket) => {
                let mut list = self.lock();
                let Some(at) = list.position(ticket) else { return };
                let left = list.writes.remove(at);
                if left.is_partial {
                    for word in self.words(&left.blocks) {
                        word.fetch_sub(PARTIAL, Ordering::SeqCst);
                    }
                }
                self.wake(&list, home);
            }
        }
    }

    /// Counts a write of whole blocks, unless partial ones are in its regions.
    fn count(&self, blocks: &Range<u64>, home: &Home) -> bool {
        for (counted, word) in self.words(blocks).enumerate() {
            if word.fetch_add(1, Ordering::SeqCst) >= PARTIAL {
                self.uncount(self.words(blocks).take(counted + 1), home);
                return false;
            }
        }
        true
    }

    /// Takes a count back, and wakes the partial writes that may have waited for it.
    fn uncount<'a>(&self, words: impl Iterator<Item = &'a AtomicU64>, home: &Home) {
        let mut is_waited_for = false;
        for word in words {
            is_waited_for |= word.fetch_sub(1, Ordering::SeqCst) > PARTIAL;
        }
        if is_waited_for {
            self.wake(&self.lock(), home);
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

    /// Wakes the connections of those that may begin now, but that of `home`.
    fn wake(&self, list: &List, home: &Home) {
        let waiting = list.writes.iter().enumerate().filter(|(_, write)| write.waits && write.home != *home);
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

/// The connection has no writes any more. Where most of the room is for connections that are gone, it is given back.
impl Drop for Member<'_> {
    fn drop(&mut self) {
        let mut list = self.0.lock();
        list.connections -= 1;
        let room = list.connections * DEPTH;
        if list.writes.capacity() > 4 * room {
            list.writes.shrink_to(2 * room);
        }
    }
}

impl List {
    fn position(&self, ticket: u64) -> Option<usize> {
        self.writes.iter().position(|write| write.ticket == ticket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use udm_block::Queue;

    /// Oracle: the room of the list, which I/O never changes.
    #[test]
    fn there_is_room_for_the_writes_of_all_connections_and_not_for_those_of_others() {
        const CONNECTIONS: usize = 40;
        let (guard, queue) = (Guard::new(), Queue::new().unwrap());
        let room = || guard.lock().writes.capacity();
        assert_eq!(room(), 0);
        let mut members: Vec<_> = (0..CONNECTIONS).map(|_| guard.join()).collect();
        let full = room();
        assert!(full >= CONNECTIONS * DEPTH);
        let enter = |at: u64| guard.enter(&(at * 4096..at * 4096 + 4096), true, queue.home());
        let places: Vec<_> = (0..(CONNECTIONS * DEPTH) as u64).map(enter).collect();
        assert_eq!(room(), full, "a write took memory");
        places.into_iter().rev().for_each(|place| guard.leave(place, queue.home()));
        members.truncate(1);
        assert!((DEPTH..=4 * DEPTH).contains(&room()), "room for {} writes of one connection", room());
        members.clear();
        assert_eq!(room(), 0);
    }
}
