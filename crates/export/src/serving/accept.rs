//! The thread that accepts: clients that come, and those that have not chosen an export yet.
//!
//! Such a client has no thread and no connection slot, so one that says nothing keeps nobody out. There may be many more of them than
//! slots, and when there are too many, or no descriptor is left, the one that came first has had its time.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Resource, getrlimit};

use super::core::Core;
use super::listen::Listener;
use super::protocol::{Greeting, GreetingError, Protocol, Step};
use super::sealed;
use super::slots::ConnectionSlot;

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

/// A client that has not chosen yet.
struct Guest<G> {
    socket: OwnedFd,
    peer: String,
    /// When it must have chosen.
    end: Instant,
    greeting: G,
}

/// What the thread knows.
pub(super) struct Acceptor<'a, P: Protocol> {
    listeners: &'a [Listener],
    protocol: &'a Arc<P>,
    core: &'a Arc<Core>,
    /// The oldest one first.
    guests: VecDeque<Guest<P::Greeting>>,
    most: usize,
    /// Whether it was said that there are too many.
    is_crowded: bool,
    /// Until when nobody is accepted.
    paused: Option<Instant>,
    /// When it was said last that nobody can be accepted.
    told: Option<Instant>,
    threads: Vec<JoinHandle<()>>,
}

impl<'a, P: Protocol> Acceptor<'a, P> {
    pub(super) fn new(listeners: &'a [Listener], protocol: &'a Arc<P>, core: &'a Arc<Core>) -> Self {
        let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let most = if core.is_sealed() { MOST_SEALED } else { MOST };
        Self {
            listeners,
            protocol,
            core,
            guests: VecDeque::new(),
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
        self.core.negotiating.store(self.guests.len(), std::sync::atomic::Ordering::SeqCst);
        Ok(())
    }

    /// Waits for a stop, a client, or the end of a time: which of the handshakes can go on.
    fn wait(&self) -> io::Result<Vec<bool>> {
        let fd = |fd: BorrowedFd<'a>, events| PollFd::from_borrowed_fd(fd, events);
        let listeners = self.listeners.iter().filter(|_| self.paused.is_none());
        let mut fds = vec![fd(self.core.wakeup.as_fd(), PollFlags::IN)];
        fds.extend(listeners.map(|listener| fd(listener.as_fd(), PollFlags::IN)));
        let first = fds.len();
        let guests = self.guests.iter();
        fds.extend(guests.map(|one| PollFd::from_borrowed_fd(one.socket.as_fd(), one.greeting.interest())));
        let end = self.guests.iter().map(|one| one.end).chain(self.paused).min();
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
        for guest in std::mem::take(&mut self.guests) {
            if is_ready() {
                self.go_on_with(guest);
            } else if guest.end <= now {
                hung_up(&guest.peer, &GreetingError::Slow);
            } else {
                self.guests.push_back(guest);
            }
        }
        let unsent = |guest: &Guest<P::Greeting>| guest.greeting.unsent();
        while self.guests.iter().map(unsent).sum::<usize>() > MOST_UNSENT {
            let oldest = self.guests.iter().position(|guest| unsent(guest) > 0).expect("there is one");
            drop(self.guests.remove(oldest));
        }
    }

    /// Goes on with one. Whatever happens there, the server serves on.
    fn go_on_with(&mut self, mut guest: Guest<P::Greeting>) {
        let full = (!ConnectionSlot::is_free(self.core)).then_some(self.core.max_connections);
        let go_on = || self.protocol.go_on(&mut guest.greeting, guest.socket.as_fd(), full);
        match catch_unwind(AssertUnwindSafe(go_on)) {
            Ok(Ok(Step::Wait)) => self.guests.push_back(guest),
            Ok(Ok(Step::Closed)) => {}
            Ok(Ok(Step::Chosen(choice))) => self.start(guest, choice),
            // One that only looks whether somebody listens.
            Ok(Err(GreetingError::Left)) if guest.greeting.is_mute() => {
                tracing::debug!(peer = guest.peer, "a client left and had said nothing");
            }
            Ok(Err(error)) => hung_up(&guest.peer, &error),
            Err(_) => tracing::error!(peer = guest.peer, "a fault of the server ended the handshake"),
        }
    }

    /// Takes clients in.
    fn accept(&mut self) {
        for listener in self.listeners {
            for _ in 0..BATCH {
                match listener.accept() {
                    Ok(Some((socket, peer))) => {
                        self.make_room();
                        let end = Instant::now() + self.core.patience.handshake;
                        let greeting = self.protocol.greet();
                        self.go_on_with(Guest { socket, peer, end, greeting });
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
        if self.guests.len() < self.most {
            self.is_crowded &= self.guests.len() > self.most / 2;
            return;
        }
        self.guests.pop_front();
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
        let is_alone = self.guests.pop_front().is_none();
        // Without anybody to hang up on, there is no use in trying again at once.
        self.paused = Some(Instant::now() + if is_alone { PAUSE } else { Duration::ZERO });
    }

    /// Starts the thread of a client, unless there are too many.
    fn start(&mut self, guest: Guest<P::Greeting>, choice: P::Choice) {
        let Guest { socket, peer, .. } = guest;
        let Some(slot) = ConnectionSlot::take(self.core) else {
            return hung_up(&peer, &GreetingError::Full(self.core.max_connections));
        };
        let protocol = Arc::clone(self.protocol);
        let serve = move || {
            slot.core().serve(&peer, |core| protocol.serve(choice, &socket, &peer, core));
            // Who sees that we hung up may come again at once, and finds the connection slot free.
            drop(slot);
            drop(socket);
        };
        let builder = thread::Builder::new().name(P::THREAD.into());
        let is_sealed = self.core.is_sealed();
        let builder = if is_sealed { builder.stack_size(sealed::STACK) } else { builder };
        match builder.spawn(serve) {
            Ok(thread) => self.threads.push(thread),
            Err(error) => tracing::warn!(%error, "cannot start a thread for a client"),
        }
    }
}

fn hung_up(peer: &str, error: &GreetingError) {
    tracing::warn!(peer, "hung up on a client: {error}");
}
