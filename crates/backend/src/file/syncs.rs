//! The syncs of an image that are under way at once, and what may be acknowledged meanwhile.
//!
//! The kernel reports pages that it could not write once for each open file (`errseq_t`). Of two syncs that end together, one
//! gets the error and the other one success, and which of the answers is seen first is open. So a bio that promises
//! something durable ends well only when every sync that had begun by then has been answered, and none has failed.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use udm_block::{Bio, BioList};

/// How many syncs and bios there is room for from the start: a locked server gets no more memory later.
const ROOM: usize = 256;

/// The syncs of an image.
pub(super) struct Syncs {
    failed: AtomicBool,
    state: Mutex<State>,
    answered: Condvar,
}

struct State {
    /// The number of the sync that begins next.
    next: u64,
    /// Those under way.
    open: Vec<u64>,
    /// Bios that have been done, each with the number from which on syncs do not matter to it.
    held: VecDeque<(u64, Bio)>,
}

/// A sync that is under way. [`Syncs::end`] must be told of its answer.
#[must_use = "a sync that never ends lets no flush end"]
#[derive(Debug)]
pub(super) struct OpenSync(u64);

impl Default for Syncs {
    // not on the I/O path: once, when it is made
    fn default() -> Self {
        let (open, held) = (Vec::with_capacity(ROOM), VecDeque::with_capacity(ROOM));
        let state = Mutex::new(State { next: 0, open, held });
        Self { failed: AtomicBool::new(false), state, answered: Condvar::new() }
    }
}

impl Syncs {
    /// Whether one has failed.
    pub(super) fn have_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// One has failed: whether it is the first.
    pub(super) fn fail(&self) -> bool {
        !self.failed.swap(true, Ordering::AcqRel)
    }

    /// A sync begins.
    pub(super) fn begin(&self) -> OpenSync {
        let mut state = self.lock();
        let number = state.next;
        state.next += 1;
        state.open.push(number);
        OpenSync(number)
    }

    /// A sync has been answered; if it failed, [`Syncs::fail`] has been told. Gives the bios that were held for it.
    #[expect(clippy::needless_pass_by_value, reason = "a sync is answered once")]
    pub(super) fn end(&self, sync: OpenSync) -> BioList {
        let mut released = BioList::new();
        let mut state = self.lock();
        state.open.retain(|open| *open != sync.0);
        let first = state.first_open();
        while state.held.front().is_some_and(|(until, _)| *until <= first)
            && let Some((_, bio)) = state.held.pop_front()
        {
            released.push(bio);
        }
        drop(state);
        self.answered.notify_all();
        released
    }

    /// Takes a bio that may not end before the syncs that are under way have been answered. If there is none, gives it back.
    pub(super) fn hold(&self, bio: Bio) -> Option<Bio> {
        let mut state = self.lock();
        if state.open.is_empty() {
            return Some(bio);
        }
        let until = state.next;
        state.held.push_back((until, bio));
        None
    }

    /// Waits for the syncs that are under way.
    pub(super) fn wait(&self) {
        let mut state = self.lock();
        let until = state.next;
        while state.first_open() < until {
            state = self.answered.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The first that is under way, else the next that could be.
    fn first_open(&self) -> u64 {
        self.open.iter().copied().min().unwrap_or(self.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::held::Client;
    use udm_block::{Op, Status};

    #[test]
    fn a_flush_is_held_for_the_syncs_that_began_before_it_ended_and_for_no_others() {
        let mut client = Client::new();
        let mut flush = |sector| client.submit(Op::Flush, sector);
        let places = |mut bios: BioList| {
            let mut places = Vec::new();
            while let Some(bio) = bios.pop() {
                places.push(bio.sector().0);
                bio.complete_elsewhere(Status::Ok);
            }
            places
        };
        let syncs = Syncs::default();
        let holds = |bio| syncs.hold(bio).map(|back| back.complete_elsewhere(Status::Ok)).is_none();
        let alone = syncs.begin();
        assert!(syncs.end(alone).pop().is_none());
        assert!(!holds(flush(0)), "nothing is under way");

        let (one, two, three) = (syncs.begin(), syncs.begin(), syncs.begin());
        assert_eq!(places(syncs.end(two)), []);
        assert!(holds(flush(1)));
        let four = syncs.begin();
        assert_eq!(places(syncs.end(one)), []);
        assert!(holds(flush(2)));
        assert_eq!(places(syncs.end(three)), [1]);
        assert!(!syncs.have_failed());
        assert!(syncs.fail() && !syncs.fail());
        assert_eq!(places(syncs.end(four)), [2]);
        assert!(syncs.have_failed());
        syncs.wait();
        assert_eq!(client.ended(), [0, 1, 2]);
    }
}
