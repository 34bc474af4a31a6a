//! Queues: each drives the I/O of its channels, and belongs to one thread at a time.
//!
//! A queue carries an I/O from request to reply. It has its own way into each device that it has opened
//! ([`Channel`](crate::Channel)), and never sleeps for memory, unless it was made to ([`Queue::sleeping`]). What ends
//! on another thread is mailed home (`mailbox.rs`).

use std::io;
use std::time::{Duration, Instant};

pub use crate::home::{Address, Home};
pub use crate::wait::{Interest, PollFlags};

use crate::bio::{Bio, BioMailbox, BioSet, Bios, OwnBio, Pad, PadBio, Piece};
use crate::channel_id::ChannelId;
use crate::device::{DeviceRef, OpenChannels, Opening};
use crate::dispatch::Dispatch;
use crate::ended::Ended;
use crate::engine::Engine;
use crate::geometry::{Geometry, LONGEST_DEVICE};
use crate::home::Notice;
use crate::mailbox::{Mailbox, Messages};
use crate::op::Op;
use crate::open_error::OpenError;
use crate::stack;
use crate::status::Status;
use crate::units::SECTOR_SHIFT;
use crate::wait;

/// How long a queue that is dropped by a panic waits for its bios.
const PATIENCE: Duration = Duration::from_secs(5);

/// A queue: the channels that it has open, and what is under way in them.
pub struct Queue {
    channels: OpenChannels,
    cx: Dispatch,
    is_sealed: bool,
    /// How many bios of the queue's user are under way.
    under_way: usize,
}

impl Queue {
    /// A queue that never sleeps for memory: a bio that finds a pool dry is parked.
    ///
    /// # Errors
    /// When the system has no event descriptor left.
    pub fn new() -> io::Result<Self> {
        Self::make(false, false)
    }

    /// The same for a program whose memory is sealed: channels take all that they will want when they are opened.
    ///
    /// # Errors
    /// Those of [`Queue::new`].
    pub fn sealed() -> io::Result<Self> {
        Self::make(false, true)
    }

    /// A queue that may sleep for memory ([`crate::Alloc::Wait`]), in the style of the kernel's stacking drivers. Bios whose
    /// pads allow it end where they are ([`crate::bio::Ending::Anywhere`]), since the queue may not hear of it.
    ///
    /// A driver that parks bios and one above it that sleeps do not go together on one queue: the parked ones would
    /// wait for the queue, which sleeps.
    ///
    /// # Errors
    /// Those of [`Queue::new`].
    pub fn sleeping() -> io::Result<Self> {
        Self::make(true, false)
    }

    // not on the I/O path: once a queue
    fn make(sleeps: bool, is_sealed: bool) -> io::Result<Self> {
        let cx = Dispatch::new(Home::new(Mailbox::new()?), sleeps);
        Ok(Self { channels: OpenChannels::new(), cx, is_sealed, under_way: 0 })
    }

    /// Where other threads reach it.
    pub fn home(&self) -> &Home {
        self.cx.home()
    }

    /// The context in which the queue's user allocates.
    pub fn cx(&mut self) -> &mut Dispatch {
        &mut self.cx
    }

    /// Opens a device. A queue has one channel for each device, however often it is opened.
    ///
    /// # Errors
    /// What the device says.
    pub fn open(&mut self, device: &DeviceRef) -> Result<ChannelId, OpenError> {
        let opened = self.opening().open(device);
        // What a device that could not be opened has left.
        self.drop_after_wipe();
        opened
    }

    /// Closes what [`Queue::open`] has opened. None of the user's bios is under way there.
    pub fn close(&mut self, id: ChannelId) {
        self.channels.close(&mut self.cx, id);
        self.drop_after_wipe();
    }

    /// Wipes the stack where somebody waits for that, and tells them.
    fn drop_after_wipe(&mut self) {
        if !self.cx.after_wipe.is_empty() {
            stack::wipe();
            self.cx.after_wipe.clear();
        }
    }

    /// What other threads have sent is there.
    fn mailbox(&self) -> &BioMailbox {
        self.cx.home().mailbox()
    }

    fn opening(&mut self) -> Opening<'_> {
        Opening::new(&mut self.channels, &mut self.cx, ChannelId::USER, self.is_sealed)
    }

    /// What the bios of a channel are held against now.
    ///
    /// # Panics
    /// When it is closed.
    pub fn geometry(&self, id: ChannelId) -> Geometry {
        self.channels.geometry(id).expect("the channel is open")
    }

    /// The user's own way to the bios of a set: what ends is found by [`Queue::take_ended`].
    pub fn bios<P: Pad>(&self, set: &BioSet<P>) -> Bios<P> {
        Bios::new(set, ChannelId::USER)
    }

    /// Submits a bio of the user's to a channel, and does what it asks for as far as that goes now.
    #[inline]
    pub fn submit<P: Pad>(&mut self, to: ChannelId, bio: PadBio<P>) {
        self.submit_part(to, bio.into_bio());
    }

    /// The same for a part of such a bio: what was split off, or the rest. Not on a queue that may sleep, where pieces end
    /// wherever they are, and the queue does not hear of it.
    pub fn submit_part(&mut self, to: ChannelId, mut part: Bio) {
        debug_assert_eq!(part.owner(), ChannelId::USER, "a bio of the queue's user");
        self.under_way += 1;
        part.set_at(to);
        self.cx.put_last(part);
        self.run();
    }

    /// Ends a part of a bio of the user's that is submitted nowhere.
    pub fn complete_part(&mut self, part: Bio, status: Status) {
        self.under_way += 1;
        self.cx.complete(part, status);
        self.run();
    }

    /// Takes a piece of a bio of the user's that has ended.
    pub fn end_piece(&mut self, pieces: &mut Bios<Piece>, piece: PadBio<Piece>) {
        debug_assert!(!self.cx.may_sleep(), "pieces of a queue that sleeps are not counted");
        pieces.end_piece(&mut self.cx, piece);
        self.run();
    }

    /// The next bio of the user's that has ended.
    pub fn take_ended(&mut self) -> Option<OwnBio> {
        let bio = self.cx.for_user.pop()?;
        self.under_way -= 1;
        Some(OwnBio::new(bio))
    }

    /// How many bios of the user's are under way, or have ended and were not taken yet.
    pub fn under_way(&self) -> usize {
        self.under_way
    }

    /// Wipes the stack of this thread, where a channel of the queue may have left parts of keys.
    pub(crate) fn wipe_stack(&self) {
        if self.cx.has_secrets {
            stack::wipe();
        }
    }

    /// Does all that can be done now.
    pub fn run(&mut self) {
        loop {
            if let Some(bio) = self.cx.next_ended() {
                self.end(bio);
            } else if let Some(bio) = self.cx.next() {
                self.dispatch(bio);
            } else if self.mailbox().has_mail() {
                self.take_messages();
                continue;
            } else {
                return;
            }
            self.cx.settle();
        }
    }

    /// One bio goes to its channel.
    #[inline]
    fn dispatch(&mut self, mut bio: Bio) {
        let at = bio.at();
        let Some(slot) = self.channels.get(at) else { return self.cx.complete(bio, Status::Offline) };
        if let Err(status) = check(&slot.geometry, &bio) {
            return self.cx.complete(bio, status);
        }
        let Some(channel) = &mut slot.channel else { return self.cx.complete(bio, Status::Offline) };
        self.cx.set_called(at);
        if let Some(promise) = bio.take_promise() {
            self.cx.promise = Some(promise);
        }
        channel.submit(&mut self.cx, bio);
        self.break_promise();
    }

    /// The owner of a bio is told of its end.
    #[inline]
    fn end(&mut self, mut bio: Bio) {
        if !bio.is_of(self.cx.home().mailbox()) {
            if let Some(next) = bio.go_home() {
                self.cx.end(next);
            }
            return;
        }
        let owner = bio.owner();
        if owner == ChannelId::USER {
            // It was promised to a channel that is closed.
            drop(bio.take_promise());
            return self.cx.for_user.push(bio);
        }
        let channel = self.channels.get(owner).and_then(|slot| slot.channel.as_mut());
        let Some(channel) = channel else { return drop(OwnBio::new(bio)) };
        self.cx.set_called(owner);
        if let Some(promise) = bio.take_promise() {
            self.cx.promise = Some(promise);
        }
        channel.end_io(&mut self.cx, OwnBio::new(bio));
        self.break_promise();
    }

    /// What a driver did not make use of goes back to the pool.
    #[inline]
    fn break_promise(&mut self) {
        if self.cx.promise.is_some() {
            self.cx.promise = None;
        }
    }

    /// Takes the messages in.
    #[cold]
    fn take_messages(&mut self) {
        let messages = self.mailbox().take();
        self.take_in(messages);
    }

    // not on the I/O path: for what other threads send; a notice has no size, and its box takes no memory
    fn take_in(&mut self, messages: Messages<Bio>) {
        let Messages { mut ended, mut to_submit, to_channels, has_notices, .. } = messages;
        while let Some(bio) = ended.pop() {
            self.cx.end(bio);
        }
        while let Some(bio) = to_submit.pop() {
            self.cx.put_last(bio);
        }
        for (id, message) in to_channels {
            self.tell(id, message);
        }
        while has_notices && let Some(id) = self.mailbox().next_notice() {
            self.tell(id, Box::new(Notice));
        }
    }

    /// Tells a channel what another thread has sent.
    fn tell(&mut self, id: ChannelId, message: Box<dyn std::any::Any + Send>) {
        let Some(mut channel) = self.channels.get(id).and_then(|slot| slot.channel.take()) else { return };
        self.cx.set_called(id);
        let mut opening = Opening::new(&mut self.channels, &mut self.cx, id, self.is_sealed);
        channel.message(&mut opening, message);
        match self.channels.get(id) {
            Some(slot) => slot.channel = Some(channel),
            None => drop(channel),
        }
        self.cx.settle();
        self.drop_after_wipe();
    }

    /// Sends what the engines hold, waits until something ends, one of `fds` is ready, or `timeout` is over, and does what
    /// can be done then. `fds` tell what is ready.
    ///
    /// # Errors
    /// What `poll` says.
    pub fn wait(&mut self, fds: &mut [Interest<'_>], timeout: Option<Duration>) -> io::Result<()> {
        self.run();
        self.drive_engines();
        let busy = self.mailbox().begin_sleep() | !self.cx.for_user.is_empty();
        let timeout = if busy { Some(Duration::ZERO) } else { timeout };
        let ready = wait::wait(self.mailbox().wakeup(), &self.cx.engines, fds, timeout);
        self.mailbox().end_sleep();
        ready?;
        self.reap();
        self.run();
        Ok(())
    }

    /// Has the engines send what they hold, until nothing has come of it that the queue goes on with: that may have put more
    /// to any of them, and what an engine holds when the queue sleeps is not sent.
    fn drive_engines(&mut self) {
        loop {
            self.with_engines(Engine::kick);
            if !self.cx.for_user.is_empty() {
                // The queue will not sleep: its user goes first.
                return;
            }
            self.reap();
            if !self.cx.has_work() && !self.mailbox().has_mail() {
                return;
            }
            self.run();
        }
    }

    /// Has each engine complete what has ended.
    fn reap(&mut self) {
        self.with_engines(|engine, ended| _ = engine.reap(ended));
    }

    fn with_engines(&mut self, work: impl Fn(&mut dyn Engine, &mut Ended)) {
        let Dispatch { engines, ended, .. } = &mut self.cx;
        engines.iter_mut().for_each(|engine| work(engine, ended));
        self.cx.settle();
    }
}

/// Whether a device can take a bio at all.
fn check(geometry: &Geometry, bio: &Bio) -> Result<(), Status> {
    let op = bio.op();
    if op == Op::Flush {
        return Ok(());
    }
    // Drivers below compute offsets in bytes, which do not wrap up to the longest device.
    if geometry.size > LONGEST_DEVICE || bio.end().is_none_or(|end| end.0 > geometry.size.0) {
        return Err(Status::IoErr);
    }
    // A block is a power of two of bytes. The end was checked: the offset does not wrap.
    let within_block = u64::from(geometry.logical_block) - 1;
    if (bio.len().0 | (bio.sector().0 << SECTOR_SHIFT)) & within_block != 0 {
        return Err(Status::Invalid);
    }
    if op.has_data() && bio.len().0 > u64::from(geometry.max_transfer) {
        return Err(Status::IoErr);
    }
    match op {
        _ if op.is_write() && geometry.read_only => Err(Status::Protection),
        Op::Discard if !geometry.discard => Err(Status::NotSupported),
        Op::WriteZeroes if !geometry.write_zeroes => Err(Status::NotSupported),
        _ => Ok(()),
    }
}

/// A queue ends when its user's bios have ended: it waits for them, and frees them. What comes later goes on where it ends;
/// nothing of it reaches another queue.
impl Drop for Queue {
    fn drop(&mut self) {
        self.drain();
        self.channels.close_all(&mut self.cx);
        drop(self.cx.engines.take_all());
        // Before the last messages are dropped: whoever waits for that knows then that nothing is left here.
        self.wipe_stack();
        self.cx.after_wipe.clear();
        let last = self.mailbox().close();
        self.take_in(last);
        self.end_all();
    }
}

impl Queue {
    /// Waits until no bio of the user's is under way.
    fn drain(&mut self) {
        let begin = Instant::now();
        loop {
            self.run();
            while let Some(bio) = self.cx.for_user.pop() {
                self.under_way -= 1;
                // What it is a piece of ends with it.
                if let Some(next) = bio.abandon() {
                    self.cx.end(next);
                }
            }
            if self.under_way == 0 {
                return;
            }
            let is_panicking = std::thread::panicking();
            if is_panicking && begin.elapsed() > PATIENCE {
                // Whoever has them was to end them on the way of this very panic.
                return tracing::error!(
                    count = self.under_way,
                    "a panic has dropped a queue with bios under way"
                );
            }
            if self.wait(&mut [], is_panicking.then_some(PATIENCE)).is_err() {
                crate::sync::thread::yield_now();
            }
        }
    }

    /// Ends what is on the lists still, of channels that are gone.
    fn end_all(&mut self) {
        let mut left = self.cx.take_all();
        while let Some(bio) = left.pop() {
            self.cx.complete(bio, Status::Offline);
        }
        while let Some(bio) = self.cx.next_ended() {
            let is_own = bio.is_of(self.cx.home().mailbox());
            let next = if is_own { bio.abandon() } else { bio.go_home() };
            if let Some(next) = next {
                self.cx.end(next);
            }
        }
    }
}
