//! The ring of one queue thread: slots for what is in flight, and what waits for a slot.
#![allow(unsafe_code)]

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use io_uring::IoUring;
use udm_block::queue::Engine;
use udm_block::{Bio, Op, Status};

use super::registered::{Numbers, Table};
use super::{LEAVING, probe, sqe};
use crate::file::backlog::{Backlog, Ticket};
use crate::file::calls::{self, NO_VECTORS, Vectors};
use crate::file::image::Image;
use crate::file::threads;
use crate::file::transfer::{Call, Next, Transfer, Way};

/// How many bios are in flight at once. More of them wait, in order.
const SLOTS: usize = 256;

/// From how many bytes on a write is not kept for a batch: the kernel copies it while a core's cache has it.
const LONG: u64 = 64 << 10;

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
    /// The files that the ring knows by number, if the kernel has it so.
    table: Option<Arc<Table>>,
    /// Entries that the kernel has not been told of.
    unsent: usize,
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
}

/// What a step came to. What it names is done without the state being borrowed: it may come back here.
enum Step {
    /// There is nothing to do.
    Idle,
    /// A call is on its way.
    Sent,
    Ended(Bio, Status),
    /// A write must be copied to aligned memory, which a thread that may wait does.
    Bounce(Arc<Image>, Bio),
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
            unsent: 0,
        };
        Ok(Self { state: RefCell::new(state), wakes })
    }

    /// Has the ring know the files of `image` now, and the kernel make its request for each slot: with as many no-ops,
    /// all of them under way at once. It keeps what a ring has used, so that later not even the kernel needs memory for
    /// a request.
    pub(in crate::file) fn prepare(&self, image: &Arc<Image>) {
        let mut state = self.state.borrow_mut();
        let _ = state.table.as_ref().and_then(|table| table.numbers(image));
        if state.free.len() < SLOTS || state.backlog.waiting() > 0 {
            return;
        }
        let sent = (0..SLOTS).take_while(|_| sqe::push_nop(&mut state.ring)).count();
        let mut left = sent;
        while left > 0 && state.ring.submit_and_wait(left).is_ok() {
            left -= state.ring.completion().count().min(left);
        }
    }

    /// Takes a bio for `image`.
    pub(in crate::file) fn put(&self, image: &Arc<Image>, bio: Bio) {
        let is_long = bio.op() == Op::Write && bio.len().0 >= LONG;
        let mut state = self.state.borrow_mut();
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
}

/// Does what a step came to: whether a bio went.
fn settle(step: Step) -> bool {
    match step {
        Step::Idle | Step::Sent => return false,
        Step::Ended(bio, status) => bio.complete(status),
        Step::Bounce(image, bio) => threads::put(&image, bio),
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
        if !self.free.is_empty()
            && let Some((ticket, bio)) = self.backlog.take()
        {
            return self.start(ticket, bio);
        }
        let Some(answer) = self.ring.completion().next() else { return Step::Idle };
        self.answered(answer.user_data() as u16, answer.result())
    }

    /// Puts a bio into a slot and its first call into the queue. There is a free slot.
    fn start(&mut self, ticket: Ticket, bio: Bio) -> Step {
        let must_measure = bio.op().is_write() && self.backlog.is_unmeasured(ticket);
        let image = self.backlog.image(ticket);
        if image.is_gone() || (must_measure && !image.is_whole()) {
            self.backlog.leave(ticket);
            return Step::Ended(bio, Status::Offline);
        }
        let transfer = image.transfer(&bio);
        let numbers = self.table.as_ref().and_then(|table| table.numbers(image));
        let next = transfer.begin();
        let slot = self.free.pop().expect("the caller has seen a free slot");
        self.slots[usize::from(slot)].flight = Some(Flight { bio, transfer, ticket, numbers });
        self.go_on(slot, next)
    }

    /// The kernel's answer to the call of a slot.
    fn answered(&mut self, slot: u16, result: i32) -> Step {
        let flight = self.slots[usize::from(slot)].flight.as_mut().expect("an answer is of a bio in flight");
        let next = flight.transfer.answer(usize::try_from(result).map_err(|_| -result));
        self.go_on(slot, next)
    }

    /// Does what is next for the bio of a slot.
    fn go_on(&mut self, slot: u16, next: Next) -> Step {
        match next {
            Next::Call(Call::Write { way: Way::Bounce, .. }) => {
                let flight = self.take(slot);
                let image = Arc::clone(self.backlog.image(flight.ticket));
                self.backlog.leave(flight.ticket);
                Step::Bounce(image, flight.bio)
            }
            Next::Call(call) => {
                self.push(slot, call);
                Step::Sent
            }
            Next::Shrank => self.end(slot, |image, _| image.shrank()),
            Next::End(status) => self.end(slot, |image, bio| calls::checked(image, bio.op(), status)),
        }
    }

    fn push(&mut self, slot: u16, call: Call) {
        let Slot { flight, vectors } = &mut self.slots[usize::from(slot)];
        let flight = flight.as_ref().expect("a call is of a bio in flight");
        let image = self.backlog.image(flight.ticket);
        let entry = sqe::entry(image, flight.numbers, &flight.bio, call, vectors).user_data(u64::from(slot));
        // SAFETY: the bio and its memory, the vectors and the file stay in the slot and in the backlog until the answer
        // of this entry is taken; slots do not move, and `Ring::drop` waits for all answers.
        unsafe { sqe::push(&mut self.ring, &entry) };
        self.unsent += 1;
    }

    /// The bio of a slot has ended. Its file is let go of first, so that whoever hears of it can close the file and
    /// open it again.
    fn end(&mut self, slot: u16, status: impl FnOnce(&Image, &Bio) -> Status) -> Step {
        let flight = self.take(slot);
        let status = status(self.backlog.image(flight.ticket), &flight.bio);
        self.backlog.leave(flight.ticket);
        Step::Ended(flight.bio, status)
    }

    fn take(&mut self, slot: u16) -> Flight {
        self.free.push(slot);
        self.slots[usize::from(slot)].flight.take().expect("a slot that is in use has a bio")
    }

    /// Whether a call is at the kernel.
    fn is_flying(&self) -> bool {
        SLOTS - self.free.len() > self.unsent
    }

    /// Tells the kernel of all entries.
    fn send(&mut self) {
        self.backlog.sent();
        while self.unsent > 0 {
            let error = match self.ring.submit() {
                Ok(0) => None,
                Ok(sent) => {
                    self.unsent -= sent;
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Some(error),
            };
            // The kernel is out of memory for a moment. When something is in flight, its end wakes this thread, and
            // makes room; else there is nothing to be woken by.
            if self.is_flying() {
                return;
            }
            tracing::warn!(?error, "the kernel takes no I/O; it is tried again");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Lets the kernel finish what it has put off until this thread comes by.
    fn come_by(&mut self) {
        if self.ring.submission().taskrun() {
            self.backlog.sent();
            if let Ok(sent) = self.ring.submit() {
                self.unsent -= sent;
            }
        }
    }
}

impl Engine for Ring {
    fn wakes(&self) -> BorrowedFd<'_> {
        self.wakes.as_fd()
    }

    fn kick(&self) {
        self.state.borrow_mut().send();
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
        self.state.borrow_mut().send();
        ended
    }
}

/// Waits for all that is in flight: the kernel has the addresses of the bios' memory.
impl Drop for Ring {
    fn drop(&mut self) {
        LEAVING.set(true);
        loop {
            let mut state = self.state.borrow_mut();
            if state.free.len() == SLOTS && state.backlog.waiting() == 0 {
                break;
            }
            state.send();
            if state.is_flying() {
                // An error here is an interruption, or there is an answer already.
                let _ = state.ring.submit_and_wait(1);
            }
            drop(state);
            self.reap();
        }
        if let Some(table) = &self.state.borrow().table {
            table.close();
        }
        LEAVING.set(false);
    }
}
