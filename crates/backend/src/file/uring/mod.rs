//! The engine of queue threads: a ring (`io_uring`) for each thread, shared by all files that the thread reaches.
//!
//! * `probe`: whether there is a ring here, and what a new one is asked to be.
//! * `ring`: the ring itself.
//! * `sqe`: a call as an entry of its queue.
//! * `registered`: the files that a ring knows by number.
//! * `release`: whether the kernel lets go of such a file at once.
//!
//! The ring lives as long as its thread is a queue thread: the queue has the only lasting reference to it.

mod probe;
mod registered;
mod release;
mod ring;
mod sqe;

pub(super) use probe::available;
pub(super) use registered::Registrations;
pub(super) use ring::Ring;

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use udm_block::queue;

thread_local! {
    static RING: RefCell<Weak<Ring>> = const { RefCell::new(Weak::new()) };
    /// The system refused this thread a ring: it uses the pool of threads.
    static REFUSED: Cell<bool> = const { Cell::new(false) };
    /// The ring of this thread is going, and takes nothing new.
    static LEAVING: Cell<bool> = const { Cell::new(false) };
}

/// The ring of this queue thread, made when it is first asked for. `None` where the system refuses one.
pub(super) fn here() -> Option<Rc<Ring>> {
    if let Some(ring) = RING.with_borrow(Weak::upgrade) {
        // One that was given up hands on what it is given.
        return Some(ring);
    }
    if REFUSED.get() || probe::is_revoked() {
        return None;
    }
    make()
}

/// Whether the ring of this thread is going: it waits for what is in flight, and what that submits is done at once.
pub(super) fn is_leaving() -> bool {
    LEAVING.get()
}

#[cold]
fn make() -> Option<Rc<Ring>> {
    // not on the I/O path: once for each time that the thread becomes a queue thread.
    let made = Ring::new().map(Rc::new);
    let ring = match made {
        Ok(ring) => ring,
        Err(error) => {
            tracing::warn!(%error, "this thread gets no io_uring; threads do its I/O");
            REFUSED.set(true);
            return None;
        }
    };
    queue::register(ring.clone()).ok()?;
    RING.set(Rc::downgrade(&ring));
    Some(ring)
}
