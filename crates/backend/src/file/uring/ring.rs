//! The ring of one queue thread: slots for what is in flight, and what waits for a slot.
#![allow(unsafe_code)]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use io_uring::IoUring;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use udm_block::queue::{self, Engine};
use udm_block::{Bio, BioList, Op, Status};

use super::registered::{Numbers, Table};
use super::{LEAVING, probe, sqe};
use crate::file::backlog::{Backlog, Ticket};
use crate::file::calls::{NO_VECTORS, Vectors};
use crate::file::image::{Image, must_be_durable};
use crate::file::syncs::OpenSync;
use crate::file::threads;
use crate::file::transfer::{Call, Next, Transfer, Way};

/// How many bios are in flight at once. More of them wait, in order.
const SLOTS: usize = 256;

/// From how many bytes on a write is not kept for a batch: the kernel copies it while a core's cache has it.
const LONG: u64 = 64 << 10;

/// How often in a row the kernel may be out of memory for its part of a call, a millisecond apart, before threads do the
/// work: ten seconds.
const TRIES_MAX: u32 = 10_000;

/// How long a ring that goes waits for an answer before it looks again.
const LOOK_AGAIN: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// The ring of this thread.
pub(in crate::file) struct Ring {
    state: RefCell<State>,
    /// A second descriptor of the ring, to be waited for.
    wakes: OwnedFd,
}

struct State {
    /// Goes before the slots, which the kernel refers to; `Ring::drop` has seen to it that none is in flight.
    ring: IoUring,
    slots: Box<[Slot]>,
    /// The slots that have no bio.
    free: Vec<u16>,
    backlog: Backlog,
    /// Bios that waited for an answer to somebody's sync, with their ends.
    released: VecDeque<(Bio, Status)>,
    /// The files that the ring knows by number, if the kernel has it so.
    table: Option<Arc<Table>>,
    /// The slots whose entries the kernel has not been told of, in order.
    unsent: Vec<u16>,
    /// The kernel takes no entries any more: threads do all that it has not taken.
    given_up: bool,
}

/// A bio in flight. One call of it at a time is at the kernel.
struct Slot {
    flight: Option<Flight>,
    vectors: Vectors,
}

struct Flight {
    bio: Bio,
    transfer: Transfer,
    ticket: Ticket,
    numbers: Option<Numbers>,
    /// The call that is at the kernel, if it is a sync.
    sync: Option<OpenSync>,
}

/// What a step came to. What it names is done without the state being borrowed: it may come back here.
enum Step {
    /// There is nothing to do.
    Idle,
    /// A call is on its way.
    Sent,
    Ended(Bio, Status),
    /// The same of a bio that may be of another thread.
    Released(Bio, Status),
    /// A thread that may wait does it: a write that must be copied to aligned memory, or what a ring cannot do.
    Elsewhere(Arc<Image>, Bio),
}

impl Ring {
    pub(super) fn new() -> io::Result<Self> {
        let ring = probe::make(SLOTS as u32)?;
        let wakes = rustix::io::fcntl_dupfd_cloexec(fd_of(&ring), 0)?;
        let state = State {
            table: Table::new(&ring),
            ring,
            slots: (0..SLOTS).map(|_| Slot { flight: None, vectors: NO_VECTORS }).collect(),
            free: (0..SLOTS as u16).rev().collect(),
            backlog: Backlog::with_room(),
            released: VecDeque::with_capacity(SLOTS),
            unsent: Vec::with_capacity(SLOTS),
            given_up: false,
        };
        Ok(Self { state: RefCell::new(state), wakes })
    }

    /// Has the ring know the files of `image` now, and the kernel make its request for each slot: with as many no-ops,
    /// all of them under way at once. It keeps what a ring has used, so that later not even the kernel needs memory for
    /// a request.
    pub(in crate::file) fn prepare(&self, image: &Arc<Image>) {
        let mut state = self.state.borrow_mut();
        let _ = state.table.as_ref().and_then(|table| table.numbers(image));
        if state.given_up || state.free.len() < SLOTS || state.backlog.waiting() > 0 {
            return;
        }
        let sent = (0..SLOTS).take_while(|_| sqe::push_nop(&mut state.ring)).count();
        let mut left = sent;
        while left > 0 {
            match state.ring.submit_and_wait(left) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    state.give_up(&error);
                    drop(state);
                    return threads::start_all();
                }
                _ => left -= state.ring.completion().count().min(left),
            }
        }
    }

    /// Takes a bio for `image`.
    pub(in crate::file) fn put(&self, image: &Arc<Image>, bio: Bio) {
        let is_long = bio.op() == Op::Write && bio.len().0 >= LONG;
        let mut state = self.state.borrow_mut();
        if state.given_up {
            drop(state);
            return threads::put(image, bio);
        }
        let step = if state.free.is_empty() || state.backlog.waiting() > 0 {
            state.backlog.put(image, bio);
            Step::Sent
        } else {
            let ticket = state.backlog.enter(image);
            state.start(ticket, bio)
        };
        if is_long && matches!(step, Step::Sent) {
            state.send();
        }
        drop(state);
        settle(step);
    }

    /// Has threads do what a ring that was given up has not begun.
    fn hand_over(&self) {
        if !self.state.borrow().given_up {
            return;
        }
        // The state is not borrowed meanwhile: without threads, the bio ends here, and what hears of it may submit.
        let next = || self.state.borrow_mut().next_orphan();
        while settle(next()) {}
    }
}

/// Does what a step came to: whether a bio went.
fn settle(step: Step) -> bool {
    match step {
        Step::Idle | Step::Sent => return false,
        Step::Ended(bio, status) => bio.complete(status),
        Step::Released(bio, status) => queue::complete_at_home(bio, status),
        Step::Elsewhere(image, bio) => threads::put(&image, bio),
    }
    true
}

fn fd_of(ring: &IoUring) -> BorrowedFd<'_> {
    // SAFETY: the ring keeps the descriptor open for as long as it is borrowed.
    unsafe { BorrowedFd::borrow_raw(ring.as_raw_fd()) }
}

impl State {
    /// The next thing to do: a bio that waits for a slot, else an answer.
    fn step(&mut self) -> Step {
        if let Some((bio, status)) = self.released.pop_front() {
            return Step::Released(bio, status);
        }
        if !self.free.is_empty()
            && !self.given_up
            && let Some((ticket, bio)) = self.backlog.take()
        {
            return self.start(ticket, bio);
        }
        loop {
            let Some(answer) = self.ring.completion().next() else { return Step::Idle };
            if answer.user_data() != sqe::NOP {
                return self.answered(answer.user_data() as u16, answer.result());
            }
        }
    }

    /// Puts a bio into a slot and its first call into the queue. There is a free slot.
    fn start(&mut self, ticket: Ticket, bio: Bio) -> Step {
        let must_measure = bio.op().is_write() && self.backlog.is_unmeasured(ticket);
        let image = self.backlog.image(ticket);
        let shrank = must_measure && !image.is_whole();
        if let Some(refusal) = shrank.then_some(Status::Offline).or_else(|| image.refusal(&bio)) {
            self.backlog.leave(ticket);
            return Step::Ended(bio, refusal);
        }
        let transfer = image.transfer(&bio);
        let numbers = self.table.as_ref().and_then(|table| table.numbers(image));
        let next = transfer.begin();
        let slot = self.free.pop().expect("the caller has seen a free slot");
        self.slots[usize::from(slot)].flight = Some(Flight { bio, transfer, ticket, numbers, sync: None });
        self.go_on(slot, next)
    }

    /// The kernel's answer to the call of a slot.
    fn answered(&mut self, slot: u16, result: i32) -> Step {
        let flight = self.slots[usize::from(slot)].flight.as_mut().expect("an answer is of a bio in flight");
        let next = flight.transfer.answer(usize::try_from(result).map_err(|_| -result));
        if flight.sync.is_some() {
            let sync = flight.sync.take();
            let (released, status) = self.backlog.image(flight.ticket).answered(sync, next);
            self.release(released, status);
        }
        self.go_on(slot, next)
    }

    /// Does what is next for the bio of a slot.
    fn go_on(&mut self, slot: u16, next: Next) -> Step {
        match next {
            Next::Call(call) if self.given_up || is_for_threads(call) => {
                let (image, bio) = self.withdraw(slot);
                Step::Elsewhere(image, bio)
            }
            Next::Call(call) => {
                self.push(slot, call);
                Step::Sent
            }
            Next::Shrank => self.end(slot, |image, _| image.shrank()),
            Next::Unsynced(status) => self.end(slot, |image, _| image.unsynced(status)),
            Next::End(status) => self.end(slot, |image, bio| image.checked(bio, status)),
        }
    }

    fn push(&mut self, slot: u16, call: Call) {
        let Slot { flight, vectors } = &mut self.slots[usize::from(slot)];
        let flight = flight.as_mut().expect("a call is of a bio in flight");
        let image = self.backlog.image(flight.ticket);
        flight.sync = image.begin(call);
        let entry = sqe::entry(image, flight.numbers, &flight.bio, call, vectors).user_data(u64::from(slot));
        // SAFETY: the bio and its memory, the vectors and the file stay in the slot and in the backlog until the answer
        // of this entry is taken; slots do not move, and `Ring::drop` waits for all answers.
        unsafe { sqe::push(&mut self.ring, &entry) };
        self.unsent.push(slot);
    }

    fn release(&mut self, mut bios: BioList, status: Status) {
        while let Some(bio) = bios.pop() {
            self.released.push_back((bio, status));
        }
    }

    /// Takes a bio that the kernel does not have out of its slot.
    fn withdraw(&mut self, slot: u16) -> (Arc<Image>, Bio) {
        let flight = self.take(slot);
        let image = Arc::clone(self.backlog.image(flight.ticket));
        let (released, status) = image.answered(flight.sync, Next::End(Status::Ok));
        self.release(released, status);
        self.backlog.leave(flight.ticket);
        (image, flight.bio)
    }

    /// The next bio that a ring which was given up has not begun.
    fn next_orphan(&mut self) -> Step {
        if let Some((bio, status)) = self.released.pop_front() {
            return Step::Released(bio, status);
        }
        if let Some(slot) = self.unsent.pop() {
            let (image, bio) = self.withdraw(slot);
            return Step::Elsewhere(image, bio);
        }
        let Some((ticket, bio)) = self.backlog.take() else { return Step::Idle };
        let image = Arc::clone(self.backlog.image(ticket));
        self.backlog.leave(ticket);
        Step::Elsewhere(image, bio)
    }

    /// The bio of a slot has ended. Its file is let go of first, so that whoever hears of it can close the file and
    /// open it again.
    fn end(&mut self, slot: u16, status: impl FnOnce(&Image, &Bio) -> Status) -> Step {
        let Flight { bio, ticket, .. } = self.take(slot);
        let image = self.backlog.image(ticket);
        let status = status(image, &bio);
        let waits = status.is_ok() && must_be_durable(&bio);
        let kept = if waits { image.syncs.hold(bio) } else { Some(bio) };
        let step = match kept {
            Some(bio) if waits && image.syncs.have_failed() => Step::Ended(bio, Status::IoErr),
            Some(bio) => Step::Ended(bio, status),
            None => Step::Sent,
        };
        self.backlog.leave(ticket);
        step
    }

    fn take(&mut self, slot: u16) -> Flight {
        self.free.push(slot);
        self.slots[usize::from(slot)].flight.take().expect("a slot that is in use has a bio")
    }

    /// Whether a call is at the kernel.
    fn is_flying(&self) -> bool {
        SLOTS - self.free.len() > self.unsent.len()
    }

    /// Tells the kernel of all entries.
    fn send(&mut self) {
        self.backlog.sent();
        let mut tries = 0;
        while !self.unsent.is_empty() && !self.given_up {
            let error = match self.submit() {
                Ok(0) => None,
                Ok(_) => {
                    tries = 0;
                    continue;
                }
                Err(error) if !is_passing(&error) => return self.give_up(&error),
                Err(error) => Some(error),
            };
            // The kernel is out of memory for a moment. When something is in flight, its end wakes this thread, and
            // makes room; else there is nothing to be woken by.
            if self.is_flying() {
                return;
            }
            tries += 1;
            if tries > TRIES_MAX {
                return self.give_up(&error.unwrap_or_else(|| io::ErrorKind::WouldBlock.into()));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Tells the kernel of entries, once: how many it took.
    fn submit(&mut self) -> io::Result<usize> {
        let sent = self.ring.submit()?;
        self.unsent.drain(..sent.min(self.unsent.len()));
        Ok(sent)
    }

    /// The kernel takes no entries any more. It is not asked again: the entries that it has not taken are never seen by it,
    /// and answers to the others still come.
    #[cold]
    fn give_up(&mut self, error: &io::Error) {
        self.given_up = true;
        if probe::revoke() {
            tracing::warn!(%error, "io_uring_enter is refused now; threads do all I/O from here on");
        }
    }

    /// Lets the kernel finish what it has put off until this thread comes by.
    fn come_by(&mut self) {
        // Any call does that; this one sends entries on the way.
        if !self.given_up && self.ring.submission().taskrun() {
            self.backlog.sent();
            let _ = self.submit();
        }
    }
}

/// Whether a call is made by a thread that may wait.
fn is_for_threads(call: Call) -> bool {
    matches!(call, Call::Write { way: Way::Bounce, .. } | Call::Discard { .. })
}

/// Whether the kernel may take entries later that it does not take now.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN | libc::EBUSY | libc::ENOMEM))
}

impl Engine for Ring {
    fn wakes(&self) -> BorrowedFd<'_> {
        self.wakes.as_fd()
    }

    fn kick(&self) {
        self.state.borrow_mut().send();
        self.hand_over();
    }

    fn reap(&self) -> usize {
        self.state.borrow_mut().come_by();
        let mut ended = 0;
        loop {
            // The state is not borrowed while a bio is completed: what hears of it may submit the next one here.
            let step = self.state.borrow_mut().step();
            if matches!(step, Step::Idle) {
                break;
            }
            ended += usize::from(settle(step));
        }
        // What was submitted meanwhile goes now: the thread may sleep before it kicks again.
        self.kick();
        ended
    }
}

/// Waits for all that is in flight: the kernel has the addresses of the bios' memory.
impl Drop for Ring {
    fn drop(&mut self) {
        LEAVING.set(true);
        loop {
            let mut state = self.state.borrow_mut();
            if state.free.len() == SLOTS && state.backlog.waiting() == 0 && state.released.is_empty() {
                break;
            }
            state.send();
            let must_wait = state.is_flying();
            drop(state);
            if must_wait {
                // Not by the ring's own call, which may be refused. An error is an interruption.
                let _ = poll(&mut [PollFd::new(&self.wakes, PollFlags::IN)], Some(&LOOK_AGAIN));
            }
            self.reap();
        }
        if let Some(table) = &self.state.borrow().table {
            table.close();
        }
        LEAVING.set(false);
    }
}
