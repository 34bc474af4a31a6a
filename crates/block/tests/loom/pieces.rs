//! The count of a bio's pieces: the last one sees what the others did.
#![allow(unsafe_code)]

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use crate::pending::Pending;

/// A bio in three pieces, each with something of its own that the end of the bio looks at.
struct Whole {
    pending: Pending,
    done: [UnsafeCell<bool>; 3],
}

// SAFETY: each piece touches a cell of its own until all have ended, which is what loom checks.
unsafe impl Sync for Whole {}

impl Whole {
    /// The piece `index` does what it does, and ends; the last one looks at what all did.
    fn end(&self, index: usize) -> usize {
        self.done[index].with_mut(|done| {
            // SAFETY: the cell is this piece's own.
            unsafe { *done = true }
        });
        if !self.pending.arrive() {
            return 0;
        }
        for done in &self.done {
            // SAFETY: all pieces have ended.
            assert!(done.with(|done| unsafe { *done }), "the last came before another");
        }
        1
    }
}

#[test]
fn the_last_to_arrive_sees_what_the_others_did() {
    loom::model(|| {
        let done = [false, false, false].map(UnsafeCell::new);
        let whole = Arc::new(Whole { pending: Pending::one(), done });
        whole.pending.add();
        whole.pending.add();
        let threads = [0, 1].map(|index| {
            let whole = whole.clone();
            thread::spawn(move || whole.end(index))
        });
        let here = whole.end(2);
        let elsewhere: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        assert_eq!(here + elsewhere, 1, "the bio did not end once");
    });
}
