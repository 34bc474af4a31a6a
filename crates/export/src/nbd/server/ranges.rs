//! Zeroing and trimming of long ranges: piece by piece, and those of one client in turns.
//!
//! One request may be about 4 GiB, and a device may take minutes to write so many zeros. So no request goes down whole:
//! each has one piece at a time on the device, a client has at most [`PIECES`] long ones on it at once, and a request whose
//! piece has ended goes to the end of the queue. What is not on the device yet is forgotten when nobody waits for it any more.

use std::collections::VecDeque;

use udm_block::{ChannelId, PadBio, Queue, zeroes};

use super::steps::Pending;

/// How many pieces of a client are on the device at once, and more only while they are short.
pub(super) const PIECES: usize = 8;
/// How many bytes short ones may be about together.
const SHORT: u64 = PIECES as u64 * zeroes::LONGEST;

/// The requests of a client that have a range.
pub(super) struct Ranges {
    waiting: VecDeque<PadBio<Pending>>,
    on_device: usize,
    bytes_on_device: u64,
    /// Whether nobody waits for them any more.
    is_over: bool,
}

/// What becomes of a request whose bio has ended.
pub(super) enum Ended {
    /// It is done, or has failed.
    Answer(PadBio<Pending>),
    /// No more of it is done.
    Undone(PadBio<Pending>),
    /// It has another turn.
    GoesOn,
}

impl Ranges {
    /// Room for `depth` requests, made once.
    pub(super) fn new(depth: usize) -> Self {
        Self { waiting: VecDeque::with_capacity(depth), on_device: 0, bytes_on_device: 0, is_over: false }
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.on_device == 0
    }

    /// Whether [`Ranges::end`] was called.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Takes a request, which has its turn after those that are here.
    pub(super) fn put(&mut self, bio: PadBio<Pending>) {
        self.waiting.push_back(bio);
    }

    /// A bio has ended: what becomes of its request.
    pub(super) fn ended(&mut self, mut bio: PadBio<Pending>) -> Ended {
        let status = bio.status();
        let Some(range) = &mut bio.pad_mut().range else { return Ended::Answer(bio) };
        self.on_device -= 1;
        self.bytes_on_device -= range.piece().0;
        if !range.advance(status) {
            bio.pad_mut().range = None;
            return Ended::Answer(bio);
        }
        if self.is_over {
            return Ended::Undone(bio);
        }
        bio.rearm();
        self.waiting.push_back(bio);
        Ended::GoesOn
    }

    /// Gives the device pieces by `queue`, as many as it may have.
    pub(super) fn go_on(&mut self, queue: &mut Queue, device: ChannelId) {
        while self.on_device < PIECES || self.bytes_on_device < SHORT {
            let Some(mut bio) = self.waiting.pop_front() else { return };
            let range = bio.pad_mut().range.as_mut().expect("one that has a range");
            let piece = range.next_piece(&queue.geometry(device));
            self.bytes_on_device += piece.len.0;
            piece.prepare(&mut bio);
            self.on_device += 1;
            queue.submit(device, bio);
        }
    }

    /// Does no more of any: those that have a piece on the device end with it.
    pub(super) fn end(&mut self) {
        self.is_over = true;
    }

    /// One of those that have none.
    pub(super) fn take_waiting(&mut self) -> Option<PadBio<Pending>> {
        self.waiting.pop_front()
    }
}
