//! The thread that accepts: clients that come, and those that have not chosen an export yet.
//!
//! Such a client has no thread and no connection slot, so one that says nothing keeps nobody out. There may be many more of them than
//! slots, and when there are too many, or no descriptor is left, the one that came first has had its time.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Resource, getrlimit};

use super::export::Export;
use super::handshake::{Handshake, HandshakeError, Step};
use super::listen::Listener;
use super::{ConnectionSlot, Shared, THREAD_NAME, sealed};

/// How many clients may be without an export at once, where there are descriptors for them.
const MOST: usize = 512;
/// The same in a server whose memory is sealed.
const MOST_SEALED: usize = 16;
/// How many bytes of answers may wait for clients that do not read them.
const MOST_UNSENT: usize = 8 << 20;
/// How many clients are accepted before others have their turn.
const BATCH: usize = 64;
/// How long nobody is accepted after the system had no descriptor or no memory.
const PAUSE: Duration = Duration::from_millis(100);
/// How often it is said that nobody can be accepted.
const REMINDER: Duration = Duration::from_mins(1);

/// What the thread knows.
pub(super) struct Acceptor<'a> {
    listeners: &'a [Listener],
    shared: &'a Arc<Shared>,
    /// The oldest one first.
    handshakes: VecDeque<Handshake>,
    most: usize,
    /// Whether it was said that there are too many.
    is_crowded: bool,
    /// Until when nobody is accepted.
    paused: Option<Instant>,
    /// When it was said last that nobody can be accepted.
    told: Option<Instant>,
    threads: Vec<JoinHandle<()>>,
}

impl<'a> Acceptor<'a> {
    pub(super) fn new(listeners: &'a [Listener], shared: &'a Arc<Shared>) -> Self {
        let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let most = if shared.lock_guard.is_some() { MOST_SEALED } else { MOST };
        Self {
            listeners,
            shared,
            handshakes: VecDeque::new(),
            // Most descriptors are for those that are served, and for what they are served from.
            most: most.min((descriptors / 4).max(4) as usize),
            is_crowded: false,
            paused: None,
            told: None,
            threads: Vec::new(),
        }
    }

    /// Hangs up on all that have no export: the threads of the others.
    pub(super) fn end(self) -> Vec<JoinHandle<()>> {
        self.threads
    }

    /// Waits until there is something to do, and does it.
    ///
    /// # Errors
    /// What `poll` says.
    pub(super) fn step(&mut self) -> io::Result<()> {
        let ready = self.wait()?;
        let mut ready = ready.into_iter();
        self.go_on(|| ready.next().unwrap_or(false));
        if self.paused.is_none_or(|end| Instant::now() >= end) {
            self.accept();
        }
        self.threads.retain(|thread| !thread.is_finished());
        #[cfg(test)]
        self.shared.negotiating.store(self.handshakes.len(), std::sync::atomic::Ordering::SeqCst);
        Ok(())
    }

    /// Waits for a stop, a client, or the end of a time: which of the handshakes can go on.
    fn wait(&self) -> io::Result<Vec<bool>> {
        let fd = |fd: BorrowedFd<'a>, events| PollFd::from_borrowed_fd(fd, events);
        let listeners = self.listeners.iter().filter(|_| self.paused.is_none());
        let mut fds = vec![fd(self.shared.wakeup.as_fd(), PollFlags::IN)];
        fds.extend(listeners.map(|listener| fd(listener.as_fd(), PollFlags::IN)));
        let first = fds.len();
        let handshakes = self.handshakes.iter();
        fds.extend(handshakes.map(|one| PollFd::from_borrowed_fd(one.as_fd(), one.interest())));
        let end = self.handshakes.iter().map(|one| one.end).chain(self.paused).min();
        let timeout = end.map(|end| end.saturating_duration_since(Instant::now()));
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(fds[first..].iter().map(|fd| !fd.revents().is_empty()).collect())
    }

    /// Goes on with the handshakes that are ready, and ends those whose time is over.
    fn go_on(&mut self, mut is_ready: impl FnMut() -> bool) {
        let now = Instant::now();
        for handshake in std::mem::take(&mut self.handshakes) {
            if is_ready() {
                self.go_on_with(handshake);
            } else if handshake.end <= now {
                hung_up(&handshake.peer, &HandshakeError::Slow);
            } else {
                self.handshakes.push_back(handshake);
            }
        }
        while self.handshakes.iter().map(Handshake::unsent).sum::<usize>() > MOST_UNSENT {
            let oldest = self.handshakes.iter().position(|one| one.unsent() > 0).expect("there is one");
            drop(self.handshakes.remove(oldest));
        }
    }

    /// Goes on with one. Whatever happens there, the server serves on.
    fn go_on_with(&mut self, mut handshake: Handshake) {
        let infos = || self.shared.exports.iter().map(Export::info_now).collect();
        let full = (!ConnectionSlot::is_free(self.shared)).then_some(self.shared.max_connections);
        match catch_unwind(AssertUnwindSafe(|| handshake.go_on(infos, full))) {
            Ok(Ok(Step::Wait)) => self.handshakes.push_back(handshake),
            Ok(Ok(Step::Closed)) => {}
            Ok(Ok(Step::Chosen(export))) => self.start(handshake, export),
            // One that only looks whether somebody listens.
            Ok(Err(HandshakeError::Left)) if handshake.is_mute() => {
                tracing::debug!(peer = handshake.peer, "a client left and had said nothing");
            }
            Ok(Err(error)) => hung_up(&handshake.peer, &error),
            Err(_) => tracing::error!(peer = handshake.peer, "a fault of the server ended the handshake"),
        }
    }

    /// Takes clients in.
    fn accept(&mut self) {
        for listener in self.listeners {
            for _ in 0..BATCH {
                match listener.accept() {
                    Ok(Some((socket, peer))) => {
                        self.make_room();
                        let end = Instant::now() + self.shared.patience.handshake;
                        self.go_on_with(Handshake::new(socket, peer, end));
                    }
                    Ok(None) => break,
                    Err(error) => return self.exhausted(&error),
                }
            }
        }
        self.paused = None;
    }

    /// Ends the oldest handshake if there are as many as there may be.
    fn make_room(&mut self) {
        if self.handshakes.len() < self.most {
            self.is_crowded &= self.handshakes.len() > self.most / 2;
            return;
        }
        self.handshakes.pop_front();
        if !std::mem::replace(&mut self.is_crowded, true) {
            tracing::warn!(
                "{} clients are connected and have chosen no export: whenever one comes, the oldest is hung up on",
                self.most
            );
        }
    }

    /// A client waits, and no descriptor or no memory is left: another that leaves makes room, and the oldest that has
    /// chosen nothing has to.
    fn exhausted(&mut self, error: &io::Error) {
        if self.told.is_none_or(|at| at.elapsed() > REMINDER) {
            self.told = Some(Instant::now());
            tracing::warn!(
                "cannot accept clients: {error}; the oldest that have chosen no export are hung up on"
            );
        }
        let is_alone = self.handshakes.pop_front().is_none();
        // Without anybody to hang up on, there is no use in trying again at once.
        self.paused = Some(Instant::now() + if is_alone { PAUSE } else { Duration::ZERO });
    }

    /// Starts the thread of a client, unless there are too many.
    fn start(&mut self, handshake: Handshake, export: usize) {
        let Handshake { socket, peer, received, .. } = handshake;
        let Some(slot) = ConnectionSlot::take(self.shared) else {
            return hung_up(&peer, &HandshakeError::Full(self.shared.max_connections));
        };
        let serve = move || {
            slot.0.serve(&socket, &peer, export, &received);
            // Who sees that we hung up may come again at once, and finds the connection slot free.
            drop(slot);
            drop(socket);
        };
        let builder = thread::Builder::new().name(THREAD_NAME.into());
        let is_sealed = self.shared.lock_guard.is_some();
        let builder = if is_sealed { builder.stack_size(sealed::STACK) } else { builder };
        match builder.spawn(serve) {
            Ok(thread) => self.threads.push(thread),
            Err(error) => tracing::warn!(%error, "cannot start a thread for a client"),
        }
    }
}

fn hung_up(peer: &str, error: &HandshakeError) {
    tracing::warn!(peer, "hung up on a client: {error}");
}
