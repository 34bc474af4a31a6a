//! The engine of threads: for where the kernel has no `io_uring` or does not permit it.
//!
//! One small pool serves all files of the process. Its threads begin when they are first needed, and stay. A bio that
//! ends on a thread of the pool is mailed home to its queue.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use udm_block::Bio;

use super::backlog::Backlog;
use super::calls;
use super::image::Image;

/// How many threads there may be.
const THREADS_MAX: usize = 8;
/// What they are called.
const THREAD_NAME: &str = "udm-file";
/// The stack of one in bytes: it runs system calls, and ends bios of other queues.
const STACK: usize = 512 << 10;

static POOL: Pool =
    Pool { state: Mutex::new(State { backlog: Backlog::new(), idle: 0, threads: 0 }), work: Condvar::new() };

struct Pool {
    state: Mutex<State>,
    work: Condvar,
}

struct State {
    backlog: Backlog,
    /// How many threads wait for work.
    idle: usize,
    threads: usize,
}

/// Hands `bio`, which is for `image`, to the pool.
pub(super) fn put(image: &Arc<Image>, bio: Bio) {
    let mut state = POOL.lock();
    state.backlog.put(image, bio);
    let lacks = state.backlog.waiting() > state.idle && state.threads < THREADS_MAX;
    if !lacks {
        drop(state);
        return POOL.work.notify_one();
    }
    let mut state = POOL.start(state);
    if state.threads == 0 {
        // The system gives no thread at all: this one does the work, late but surely.
        while POOL.serve_one(state, false) {
            state = POOL.lock();
        }
    }
}

/// Begins every thread that there may be now, with room for its files, so that no bio has to.
pub(super) fn start_all() {
    let mut state = POOL.lock();
    state.backlog.make_room();
    for _ in state.threads..THREADS_MAX {
        state = POOL.start(state);
    }
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a thread, if the system gives one.
    // not on the I/O path: a thread is begun a few times in the life of the process
    fn start(&'static self, mut state: MutexGuard<'static, State>) -> MutexGuard<'static, State> {
        state.threads += 1;
        drop(state);
        let begun =
            thread::Builder::new().name(THREAD_NAME.to_owned()).stack_size(STACK).spawn(|| POOL.serve());
        let mut state = self.lock();
        state.threads -= usize::from(begun.is_err());
        state
    }

    fn serve(&self) {
        loop {
            let mut state = self.lock();
            state.idle += 1;
            while state.backlog.waiting() == 0 {
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            state.idle -= 1;
            self.serve_one(state, true);
        }
    }

    /// Does one bio that waits: whether there was one. A thread that drives queues may not wait for the syncs of others: one
    /// of them may be its own.
    fn serve_one(&self, mut state: MutexGuard<'_, State>, may_wait: bool) -> bool {
        let Some((ticket, mut bio)) = state.backlog.take() else { return false };
        let image = Arc::clone(state.backlog.image(ticket));
        drop(state);
        let status = calls::run(&image, &mut bio);
        let ended = if may_wait {
            let status = image.end_waiting(&bio, status);
            Some((bio, status))
        } else {
            image.end(bio, status)
        };
        drop(image);
        // The file is let go of before the bio ends, so that whoever hears of the end can close it and open it again;
        // and outside the lock, since it may close.
        let last = self.lock().backlog.leave(ticket);
        drop(last);
        if let Some((bio, status)) = ended {
            bio.complete_elsewhere(status);
        }
        true
    }
}
