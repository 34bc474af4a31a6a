//! A request's way from its first step to its reply.

use udm_block::{Flags, Op, PadBio};

use super::connection::{Connection, Next, Step};
use super::guard::Turn;
use super::range::Range;
use super::ranges::Ended;
use super::request::Work;
use super::steps::{self, Pending};
use udm_nbd::wire::ErrorNumber;

impl Connection<'_> {
    /// Takes a request on: it goes to the device, unless its data is to come first.
    pub(super) fn begin(&mut self, mut work: Work, cookie: u64) -> Step {
        let geometry = self.geometry();
        let (block, longest) = (u64::from(geometry.logical_block), self.export.sizes(&geometry).max);
        let is_partial = !(work.bytes.start.is_multiple_of(block) && work.bytes.end.is_multiple_of(block));
        if is_partial && work.op == Op::Discard {
            // What a trim does with parts of blocks is the server's choice (section "Request types").
            work.bytes = work.bytes.start.next_multiple_of(block)..work.bytes.end / block * block;
            if work.bytes.is_empty() {
                self.replies.push(cookie, None);
                return Step::More;
            }
        }
        if is_partial && work.flags.has(Flags::FAST) {
            // Parts of blocks are written as data.
            self.replies.push(cookie, Some(ErrorNumber::NotSup));
            return Step::More;
        }
        let pending = Pending::new(cookie, work.clone(), block, longest.into(), self.memory.longest());
        let Some(mut bio) = self.memory.make(self.queue.cx(), pending) else {
            self.next = Next::Held { work, cookie };
            return Step::Wait;
        };
        if work.op == Op::Write {
            steps::show_data(&mut bio);
            self.next = Next::Data { bio, filled: 0 };
        } else {
            self.start(bio);
        }
        Step::More
    }

    /// Begins a piece of a request: a write waits for those to the same blocks that it must not cross.
    pub(super) fn start(&mut self, mut bio: PadBio<Pending>) {
        self.under_way += 1;
        let pad = bio.pad_mut();
        if matches!(pad.work.op, Op::Write | Op::WriteZeroes) {
            let guard = &self.export.guard;
            pad.place = guard.enter(&pad.blocks(), pad.is_partial(), self.queue.home());
            if !guard.may_begin(&pad.place) {
                return self.waiting.push_back(bio);
            }
        }
        self.submit(bio);
    }

    /// Sends the next step of a request to the device.
    fn submit(&mut self, mut bio: PadBio<Pending>) {
        steps::prepare(&mut bio);
        let range = Range::of(&bio);
        if range.is_none() {
            return self.queue.submit(self.device, bio);
        }
        bio.pad_mut().range = range;
        self.ranges.put(bio);
        if self.ranges.is_over() {
            self.forget_ranges();
        }
        self.ranges.go_on(&mut self.queue, self.device);
    }

    /// Answers those long zeroings and trims of which the device has nothing, and no more of the others is done: the client
    /// or the server goes.
    pub(super) fn forget_ranges(&mut self) {
        self.ranges.end();
        while let Some(bio) = self.ranges.take_waiting() {
            self.undone(bio);
        }
    }

    /// A request is not done, and its client is told so.
    fn undone(&mut self, mut bio: PadBio<Pending>) {
        self.leave(&mut bio);
        self.replies.push(bio.pad().cookie, Some(ErrorNumber::Shutdown));
        self.memory.free(bio);
    }

    /// A request is on its way no more.
    fn leave(&mut self, bio: &mut PadBio<Pending>) {
        self.under_way -= 1;
        let place = std::mem::replace(&mut bio.pad_mut().place, Turn::None);
        self.export.guard.leave(place, self.queue.home());
    }

    /// Has a long read go on, whose last piece is sent.
    pub(super) fn read_on(&mut self, mut bio: PadBio<Pending>) {
        steps::next_piece(&mut bio);
        self.start(bio);
    }

    /// Takes what has ended: to its next step, or to its reply. Then begins the writes that need not wait any more.
    pub(super) fn take_ended(&mut self) {
        while let Some(bio) = self.queue.take_ended() {
            let mut bio = match self.ranges.ended(self.memory.claim(bio)) {
                Ended::GoesOn => continue,
                Ended::Undone(bio) => {
                    self.undone(bio);
                    continue;
                }
                Ended::Answer(bio) => bio,
            };
            if bio.status().is_ok() && steps::next_step(&mut bio) {
                self.submit(bio);
            } else {
                self.leave(&mut bio);
                self.ended(bio);
            }
        }
        self.ranges.go_on(&mut self.queue, self.device);
        for _ in 0..self.waiting.len() {
            let Some(bio) = self.waiting.pop_front() else { return };
            if self.export.guard.may_begin(&bio.pad().place) {
                self.submit(bio);
            } else {
                self.waiting.push_back(bio);
            }
        }
    }

    /// A piece of a request has ended, and with its last one the request.
    fn ended(&mut self, mut bio: PadBio<Pending>) {
        let (pad, status) = (bio.pad(), bio.status());
        let left = pad.left();
        match pad.work.op {
            Op::Write if left > 0 && matches!(self.next, Next::Piece) => {
                if let Some(error) = super::replies::error_number(status, false) {
                    self.next = Next::Skip { left: left as usize, cookie: pad.cookie, error };
                } else {
                    steps::next_piece(&mut bio);
                    steps::show_data(&mut bio);
                    self.next = Next::Data { bio, filled: 0 };
                    return;
                }
            }
            // The client is gone, and with it the rest of the data.
            Op::Write if left > 0 => {}
            Op::Read if !pad.is_first() && !status.is_ok() => self.torn = Some(status),
            _ => return self.replies.push_ended(bio, &mut self.memory),
        }
        self.memory.free(bio);
    }
}
