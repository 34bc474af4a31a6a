//! A queue's way into a row whose I/O comes later.

use std::any::Any;
use std::sync::Arc;

use udm_block::{
    Alloc, Bio, BioList, Bios, Channel, ChannelId, Dispatch, Flags, Notice, Op, OpenError, Opening, OwnBio,
    PadBio, Sector, Sectors, Status,
};

use super::class::Class;
use super::hold::{Hold, Stage};
use super::shared::Shared;
use super::timer::{Alarm, NEVER};

/// The channel of a row whose I/O comes later.
pub(super) struct DelayChannel {
    shared: Arc<Shared>,
    alarm: Arc<Alarm>,
    holds: Bios<Hold>,
    ways: [Way; Class::COUNT],
}

/// What this queue has of a class.
struct Way {
    lower: ChannelId,
    start: Sector,
    delay_ns: u64,
    /// What waits, oldest first: all of it waits equally long. The place of such a bio is the time at which it is due.
    waiting: BioList,
}

const CLASSES: [Class; Class::COUNT] = [Class::Read, Class::Write, Class::Flush];

/// What a bio is first: one that wants a flush before its data is a flush, and comes again.
fn class_of(bio: &Bio) -> Class {
    match bio.op() {
        Op::Flush => Class::Flush,
        _ if bio.flags().has(Flags::PREFLUSH) => Class::Flush,
        Op::Read => Class::Read,
        Op::Write | Op::Discard | Op::WriteZeroes => Class::Write,
    }
}

impl DelayChannel {
    // not on the I/O path: once a channel
    pub(super) fn open(shared: &Arc<Shared>, opening: &mut Opening<'_>) -> Result<Self, OpenError> {
        let spec = &shared.spec;
        let mut way = |class: Class| {
            let index = spec.of(class);
            Ok::<_, OpenError>(Way {
                lower: opening.open(&shared.devices[index])?,
                start: spec.devices[index].start,
                delay_ns: spec.delay(class).as_nanos() as u64,
                waiting: BioList::new(),
            })
        };
        let ways = [way(Class::Read)?, way(Class::Write)?, way(Class::Flush)?];
        let alarm = shared.timer.alarm(opening.address());
        Ok(Self { ways, alarm, holds: opening.bios(&shared.holds), shared: Arc::clone(shared) })
    }

    /// Sends a bio below, whose delay is over.
    fn send(&mut self, cx: &mut Dispatch, class: Class, mut bio: Bio) {
        let Way { lower, start, .. } = self.ways[class as usize];
        if class != Class::Flush {
            bio.set_sector(start + Sectors(bio.sector().0));
        }
        cx.submit(lower, bio);
    }

    /// Keeps a bio until it is due.
    fn hold(&mut self, mut hold: PadBio<Hold>) {
        let class = hold.pad().class;
        let way = &mut self.ways[class as usize];
        let due = self.shared.timer.now().saturating_add(way.delay_ns);
        hold.set_sector(Sector(due));
        way.waiting.push(hold.into_bio());
        self.alarm.count(class, true);
        self.shared.timer.set(&self.alarm, due);
    }

    /// Ends the wait of all that is due at `now`. When the next one is.
    fn end_waits(&mut self, cx: &mut Dispatch, now: u64) -> u64 {
        let mut next = NEVER;
        for class in CLASSES {
            let waiting = &mut self.ways[class as usize].waiting;
            let mut is_due = |bio: &Bio| {
                let due = bio.sector().0;
                next = if due > now { next.min(due) } else { next };
                due <= now
            };
            while let Some(bio) = waiting.pop_if(&mut is_due) {
                self.alarm.count(class, false);
                cx.complete(bio, Status::Ok);
            }
        }
        next
    }

    /// The delay is over: the bio inside goes below, after the flush that it may want.
    fn go_on(&mut self, cx: &mut Dispatch, mut hold: PadBio<Hold>) {
        let class = hold.pad().class;
        if class == Class::Flush && hold.parent().is_some_and(|bio| bio.op() != Op::Flush) {
            hold.pad_mut().stage = Stage::Flush;
            hold.rearm();
            hold.prepare(Op::Flush, Flags::NONE, Sector(0));
            return cx.submit(self.ways[class as usize].lower, hold.into_bio());
        }
        let bio = hold.take_parent();
        self.holds.free(hold);
        if let Some(bio) = bio {
            self.send(cx, class, bio);
        }
    }

    /// The flush is done that a bio wanted before its data: that comes again, as what it is.
    fn end_flush(&mut self, cx: &mut Dispatch, mut hold: PadBio<Hold>) {
        let (status, bio) = (hold.status(), hold.take_parent());
        self.holds.free(hold);
        let Some(mut bio) = bio else { return };
        if !status.is_ok() {
            return cx.complete(bio, status);
        }
        bio.set_flags(bio.flags().without(Flags::PREFLUSH));
        cx.again(bio);
    }
}

impl Channel for DelayChannel {
    fn submit(&mut self, cx: &mut Dispatch, bio: Bio) {
        let class = class_of(&bio);
        let waits = self.ways[class as usize].delay_ns > 0 && self.shared.timer.delays();
        let has_more = class == Class::Flush && bio.op() != Op::Flush;
        if !waits && !has_more {
            return self.send(cx, class, bio);
        }
        let Ok(mut hold) = self.holds.alloc(cx, Hold { class, stage: Stage::Wait }, Alloc::NoWait) else {
            return self.holds.park(cx, bio);
        };
        hold.set_parent(bio);
        if waits { self.hold(hold) } else { self.go_on(cx, hold) }
    }

    fn end_io(&mut self, cx: &mut Dispatch, bio: OwnBio) {
        let Ok(hold) = self.holds.claim(bio) else { return };
        match hold.pad().stage {
            Stage::Wait => self.go_on(cx, hold),
            Stage::Flush => self.end_flush(cx, hold),
        }
    }

    /// Something is due, or nothing is delayed any more.
    fn message(&mut self, opening: &mut Opening<'_>, message: Box<dyn Any + Send>) {
        if !message.is::<Notice>() {
            return;
        }
        let now = if self.shared.timer.delays() { self.shared.timer.now() } else { NEVER };
        let next = self.end_waits(opening.cx(), now);
        if next != NEVER {
            self.shared.timer.set(&self.alarm, next);
        }
    }
}

/// What waits when the queue ends, ends too.
impl Drop for DelayChannel {
    fn drop(&mut self) {
        self.shared.timer.forget(&self.alarm);
        for way in &mut self.ways {
            while let Some(bio) = way.waiting.pop() {
                bio.complete_elsewhere(Status::Offline);
            }
        }
    }
}
