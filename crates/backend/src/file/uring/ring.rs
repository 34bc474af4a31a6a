//! The ring of one queue: slots for what is in flight, and what waits for a slot.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use io_uring::IoUring;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use udm_block::{Bio, BioList, Ended, Engine, Op, Status};

use super::numbers::Numbers;
use super::probe;
use super::registered::Table;
use super::sqe::{self, Bare};
use crate::file::backlog::{Backlog, Ticket};
use crate::file::calls::Vectors;
use crate::file::image::Image;
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

/// The ring of a queue.
pub(in crate::file) struct Ring {
    /// Goes before the slots, which the kernel refers to; `Ring::drop` has seen to it that none is in flight.
    uring: IoUring,
    /// A second descriptor of the ring, to be waited for.
    wakes: OwnedFd,
    slots: Box<[Slot]>,
    /// The slots that have no bio.
    free: Vec<u16>,
    backlog: Backlog,
    /// Bios that have ended, with the statuses that they have recorded: of this queue, and of others that waited for the
    /// answer to a sync.
    ended: BioList,
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

impl Ring {
    // not on the I/O path: once a queue
    pub(super) fn new() -> io::Result<Self> {
        let uring = probe::make(SLOTS as u32)?;
        let wakes = rustix::io::fcntl_dupfd_cloexec(&uring, 0)?;
        Ok(Self {
            table: Table::new(&uring),
            uring,
            wakes,
            slots: (0..SLOTS).map(|_| Slot { flight: None, vectors: Vectors::new() }).collect(),
            free: (0..SLOTS as u16).rev().collect(),
            backlog: Backlog::with_room(),
            ended: BioList::new(),
            unsent: Vec::with_capacity(SLOTS),
            given_up: false,
        })
    }

    /// Has the ring know the files of `image` now, and the kernel make its request for each slot: with as many no-ops,
    /// all of them under way at once. It keeps what a ring has used, so that later not even the kernel needs memory for
    /// a request.
    pub(in crate::file) fn prepare(&mut self, image: &Arc<Image>) {
        let _ = self.table.as_ref().and_then(|table| table.numbers(image));
        if self.given_up || self.free.len() < SLOTS || self.backlog.waiting() > 0 {
            return;
        }
        let sent = (0..SLOTS).take_while(|_| sqe::push_bare(&mut self.uring, Bare::Nop)).count();
        let mut left = sent;
        while left > 0 {
            match self.uring.submit_and_wait(left) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    self.give_up(&error);
                    return threads::start_all();
                }
                _ => left -= self.uring.completion().count().min(left),
            }
        }
    }

    /// Takes a bio for `image`. It ends when the ring is kicked next, or later.
    pub(in crate::file) fn put(&mut self, image: &Arc<Image>, bio: Bio) {
        if self.given_up {
            return threads::put(image, bio);
        }
        let is_long = bio.op() == Op::Write && bio.len().0 >= LONG;
        if self.free.is_empty() || self.backlog.waiting() > 0 {
            self.backlog.put(image, bio);
        } else {
            let ticket = self.backlog.enter(image);
            self.start(ticket, bio);
        }
        if is_long {
            self.send();
        }
    }

    /// Does the next thing: starts a bio that waits for a slot, else takes an answer. Whether there was one.
    fn step(&mut self) -> bool {
        if !self.free.is_empty()
            && !self.given_up
            && let Some((ticket, bio)) = self.backlog.take()
        {
            self.start(ticket, bio);
            return true;
        }
        loop {
            let Some(answer) = self.uring.completion().next() else { return false };
            if answer.user_data() != sqe::NOP {
                self.answered(answer.user_data() as u16, answer.result());
                return true;
            }
        }
    }

    /// Puts a bio into a slot and its first call into the queue. There is a free slot.
    fn start(&mut self, ticket: Ticket, mut bio: Bio) {
        let must_measure = bio.op().is_write() && self.backlog.is_unmeasured(ticket);
        let image = self.backlog.image(ticket);
        let shrank = must_measure && !image.is_whole();
        if let Some(refusal) = shrank.then_some(Status::Offline).or_else(|| image.refusal(&bio)) {
            self.backlog.leave(ticket);
            return self.ends(bio, refusal);
        }
        let transfer = image.transfer(&mut bio);
        let numbers = self.table.as_ref().and_then(|table| table.numbers(image));
        let next = transfer.begin();
        let slot = self.free.pop().expect("the caller has seen a free slot");
        self.slots[usize::from(slot)].flight = Some(Flight { bio, transfer, ticket, numbers, sync: None });
        self.go_on(slot, next);
    }

    /// The kernel's answer to the call of a slot.
    fn answered(&mut self, slot: u16, result: i32) {
        let flight = self.slots[usize::from(slot)].flight.as_mut().expect("an answer is of a bio in flight");
        let next = flight.transfer.answer(usize::try_from(result).map_err(|_| -result));
        if flight.sync.is_some() {
            let sync = flight.sync.take();
            let (released, status) = self.backlog.image(flight.ticket).answered(sync, next);
            self.release(released, status);
        }
        self.go_on(slot, next);
    }

    /// Does what is next for the bio of a slot.
    fn go_on(&mut self, slot: u16, next: Next) {
        match next {
            Next::Call(call) if self.given_up || is_for_threads(call) => self.withdraw(slot),
            Next::Call(call) => self.push(slot, call),
            Next::Shrank => self.end(slot, Image::shrank),
            Next::Unsynced(status) => self.end(slot, |image| image.unsynced(status)),
            Next::End(status) => self.end(slot, |_| status),
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
        unsafe { sqe::push(&mut self.uring, &entry) };
        self.unsent.push(slot);
    }

    /// A bio has ended; it is told of with the next ones.
    fn ends(&mut self, bio: Bio, status: Status) {
        bio.record(status);
        self.ended.push(bio);
    }

    fn release(&mut self, mut bios: BioList, status: Status) {
        while let Some(bio) = bios.pop() {
            self.ends(bio, status);
        }
    }

    /// Leaves a bio of a slot that the kernel does not have to threads: a write that must be copied to aligned memory, what a
    /// ring cannot do, or what a ring that was given up has not begun.
    fn withdraw(&mut self, slot: u16) {
        let Flight { bio, ticket, sync, .. } = self.take(slot);
        let (released, status) = self.backlog.image(ticket).answered(sync, Next::End(Status::Ok));
        self.release(released, status);
        self.leave_to_threads(ticket, bio);
    }

    fn leave_to_threads(&mut self, ticket: Ticket, bio: Bio) {
        threads::put(self.backlog.image(ticket), bio);
        self.backlog.leave(ticket);
    }

    /// Has threads do what a ring that was given up has not begun.
    fn hand_over(&mut self) {
        if !self.given_up {
            return;
        }
        while let Some(slot) = self.unsent.pop() {
            self.withdraw(slot);
        }
        while let Some((ticket, bio)) = self.backlog.take() {
            self.leave_to_threads(ticket, bio);
        }
    }

    /// All calls for the bio of a slot have been made. Its file is let go of before it ends, so that whoever hears of it can
    /// close the file and open it again.
    fn end(&mut self, slot: u16, status: impl FnOnce(&Image) -> Status) {
        let Flight { bio, ticket, .. } = self.take(slot);
        let image = self.backlog.image(ticket);
        let status = status(image);
        let ended = image.end(bio, status);
        self.backlog.leave(ticket);
        if let Some((bio, status)) = ended {
            self.ends(bio, status);
        }
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
        let sent = self.uring.submit()?;
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

    /// Takes what the kernel has answered, and sends what follows of that.
    fn take_answers(&mut self) {
        self.come_by();
        while self.step() {}
        // The thread may sleep before the ring is kicked again.
        self.send();
        self.hand_over();
    }

    /// Lets the kernel finish what it has put off until the queue comes by.
    fn come_by(&mut self) {
        // Any call does that; this one sends entries on the way.
        if !self.given_up && self.uring.submission().taskrun() {
            self.backlog.sent();
            let _ = self.submit();
        }
    }

    /// Ends the bios that have ended: how many. A status that a bio has recorded stays.
    fn tell(&mut self, ended: &mut Ended) -> usize {
        let mut count = 0;
        while let Some(bio) = self.ended.pop() {
            ended.complete(bio, Status::Ok);
            count += 1;
        }
        count
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

    fn kick(&mut self, ended: &mut Ended) {
        self.send();
        self.hand_over();
        self.tell(ended);
    }

    fn reap(&mut self, ended: &mut Ended) -> usize {
        self.take_answers();
        self.tell(ended)
    }
}

/// Waits for all that is in flight: the kernel has the addresses of the bios' memory.
impl Drop for Ring {
    fn drop(&mut self) {
        while self.free.len() < SLOTS || self.backlog.waiting() > 0 {
            self.send();
            if self.is_flying() {
                // Not by the ring's own call, which may be refused. An error is an interruption.
                let _ = poll(&mut [PollFd::new(&self.wakes, PollFlags::IN)], Some(&LOOK_AGAIN));
            }
            self.take_answers();
        }
        if let Some(table) = &self.table {
            table.close();
        }
        while let Some(bio) = self.ended.pop() {
            bio.complete_elsewhere(Status::Ok);
        }
    }
}
