//! How a bio ends, or goes on, when that happens on another thread than its queue's, or when its queue has ended; and what
//! becomes of one that is lost.

use std::sync::Arc;

use super::raw::{Bio, BioMailbox, MARK_ANYWHERE, MARK_ENDS, Pad, PadBio};
use crate::channel_id::ChannelId;
use crate::promise::Promise;
use crate::reserve::Waiter;
use crate::status::Status;

impl Bio {
    /// Ends it with `status`, on any thread: for back ends whose own threads do the work. Its owner hears of it on its own
    /// queue, so what that frees and decrypts on the way up stays with the thread that took it on the way down. In a driver
    /// call, [`Dispatch::complete`](crate::Dispatch::complete) does it.
    pub fn complete_elsewhere(self, status: Status) {
        self.record(status);
        Self::all_go_home(self.arrive());
    }

    /// A bio that ends anywhere may be the last piece of another: a loop, so that no stack grows.
    fn all_go_home(mut ended: Option<Self>) {
        while let Some(bio) = ended {
            ended = bio.go_home();
        }
    }

    /// Has a bio of which every completion has come end: where it is, when it may, or else at its queue. What ends with it.
    pub(crate) fn go_home(mut self) -> Option<Self> {
        // It was for the driver that parked it here. On the way home others would wait for it, as long as nobody drives that
        // queue.
        drop(self.take_promise());
        if self.own().marks & MARK_ANYWHERE != 0 {
            return self.end_anywhere();
        }
        let home = self.home().cloned()?;
        if let Err(bio) = home.mail_ended(self) {
            return bio.abandon();
        }
        None
    }

    /// Ends a bio whose queue has ended, and its channels with it: nobody is left to be told. What it is a piece or a clone
    /// of may be another queue's, or wait for more pieces: it goes on, with an error where nobody knows how this one ended.
    pub(crate) fn abandon(mut self) -> Option<Self> {
        if let Some(parent) = self.take_parent() {
            parent.complete_elsewhere(Status::Offline);
        }
        self.end_anywhere()
    }

    pub(super) fn mark_anywhere(&mut self) {
        self.own_mut().marks |= MARK_ANYWHERE;
    }

    /// It waits for a pool, to be dispatched again on the queue `home`.
    pub(super) fn set_parked_on(&mut self, home: Arc<BioMailbox>) {
        self.own_mut().parked_on = Some(home);
    }

    /// It was dropped without being completed: its driver has a bug. The client hears of an error, and a test of a panic.
    #[cold]
    pub(super) fn lost(self) {
        let loud = cfg!(debug_assertions) && !std::thread::panicking();
        let (op, sector) = (self.op(), self.sector());
        tracing::error!(?op, %sector, "a driver lost a bio");
        self.complete_elsewhere(Status::IoErr);
        assert!(
            !loud,
            "a driver lost a bio: {op:?} at sector {sector} was dropped, and neither submitted nor completed"
        );
    }

    /// It had ended, and was dropped and not claimed: its owner has a bug.
    #[cold]
    pub(super) fn unclaimed(self) {
        let loud = cfg!(debug_assertions) && !std::thread::panicking();
        tracing::error!(op = ?self.op(), sector = %self.sector(), "a bio that had ended was not claimed");
        self.free();
        assert!(!loud, "a bio that had ended was not claimed");
    }
}

impl Waiter for Bio {
    fn ticket(&self) -> u64 {
        self.own().ticket
    }

    fn set_ticket(&mut self, ticket: u64) {
        self.own_mut().ticket = ticket;
    }

    /// It goes on where it was parked. Where that queue has ended, it ends too, and the promise comes back.
    fn wake(mut self, promise: Promise) -> Result<(), Promise> {
        let own = self.own_mut();
        own.promise = Some(promise);
        let ends = own.marks & MARK_ENDS != 0;
        own.marks &= !MARK_ENDS;
        let parked_on = own.parked_on.take();
        let home = parked_on.or_else(|| self.home().cloned()).expect("a bio that is parked has a queue");
        let mailed = if ends { home.mail_ended(self) } else { home.mail_to_submit(self) };
        mailed.map_err(|mut bio| {
            let promise = bio.take_promise().expect("given above");
            if ends {
                Self::all_go_home(bio.abandon());
            } else {
                bio.complete_elsewhere(Status::Offline);
            }
            promise
        })
    }
}

impl<P: Pad> PadBio<P> {
    /// The bio, to be parked on a pool that ends it, on its queue, when it has an element for it. Not one of a queue's user.
    pub(crate) fn into_waiting(mut self) -> Bio {
        debug_assert_ne!(self.owner(), ChannelId::USER, "a bio of a queue's user cannot wait for a buffer");
        self.bio_mut().own_mut().marks |= MARK_ENDS;
        self.into_bio()
    }

    /// Tells the channel that has allocated it, from any thread, that something has changed for it while the bio is under way:
    /// its [`Channel::message`](crate::Channel::message) is called with a [`Notice`](crate::Notice). Several notices to one
    /// channel may come as one. It takes no memory.
    pub fn notify_owner(&self) {
        if let Some(home) = self.home() {
            home.notify(self.owner());
        }
    }
}
