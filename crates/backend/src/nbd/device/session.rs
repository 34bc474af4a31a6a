//! What the threads of an export share, and how they connect again.
//!
//! One lost connection ends the session: the others are shut down too, as the server may be another one than it was,
//! and its threads gather. The last to come connects, checks that the export is the same, sends what was not flushed, and
//! begins the next session. Then each thread sends again what was under way on it: every request of the protocol may be sent
//! twice.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use udm_block::bio::BioList;
use udm_block::{Bio, Geometry, SECTOR_SIZE, Status};

use super::unflushed::Unflushed;
use crate::nbd::client::{Client, ClientError, Shutdown};
use udm_nbd::address::NbdUri;
use udm_nbd::client::RemoteExport;
use udm_nbd::wire::{BlockSizes, TransmissionFlags};

/// How long the first try to connect again waits after a failed one, and the longest such wait.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

pub(super) struct Shared {
    pub(super) uri: NbdUri,
    pub(super) patience: Duration,
    export: RemoteExport,
    geometry: Geometry,
    state: Mutex<State>,
    /// Something has changed: a bio came, the session, or the device's end.
    changed: Condvar,
}

#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub(super) struct State {
    waiting: BioList,
    /// The device is gone, so nothing more comes.
    is_dropped: bool,
    /// The server is gone for longer than requests wait.
    is_down: bool,
    /// Counts sessions. What began in one ends in it.
    session: u64,
    /// The session has ended, and the next one has not begun.
    is_over: bool,
    /// How many threads there are, and how many of them have seen the session's end.
    threads: usize,
    gathered: usize,
    /// What ends the connections of the session.
    connections: Vec<Shutdown>,
    /// A thread connects again.
    is_led: bool,
    /// When a connection was lost, since the server has last answered.
    lost: Option<Instant>,
    pub(super) unflushed: Unflushed,
    /// What was acknowledged may be lost: the server refused it when it was sent again, or did not flush it.
    pub(super) is_lost: bool,
}

/// Why a thread stops taking bios.
pub(super) enum Next {
    Bio(Bio),
    /// There is none now.
    None,
    /// The device is gone.
    Dropped,
    /// Another thread has lost its connection.
    SessionOver,
}

/// What a thread does after its session's end.
pub(super) enum Role {
    /// It begins the next session with this client.
    Leader(Box<Client>),
    /// Another thread has begun the next session.
    Follower,
    /// The device is gone.
    Dropped,
}

impl Shared {
    pub(super) fn new(
        uri: NbdUri,
        export: RemoteExport,
        geometry: Geometry,
        patience: Duration,
        threads: usize,
    ) -> Self {
        let state = State {
            waiting: BioList::new(),
            is_dropped: false,
            is_down: false,
            session: 0,
            is_over: false,
            threads,
            gathered: 0,
            connections: Vec::new(),
            is_led: false,
            lost: None,
            unflushed: Unflushed::default(),
            is_lost: false,
        };
        Self { uri, patience, export, geometry, state: Mutex::new(state), changed: Condvar::new() }
    }

    /// The bytes of the export that a bio is about, first and number: its last block may reach beyond the export's end.
    pub(super) fn stored_range(&self, bio: &Bio) -> (u64, u64) {
        let begin = bio.sector().0 * SECTOR_SIZE as u64;
        (begin, bio.len().0.min(self.geometry.stored().0.saturating_sub(begin)))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a bio from a queue; hands it back while the server is gone for longer than requests wait.
    pub(super) fn put(&self, bio: Bio) -> Result<(), Bio> {
        let mut state = self.lock();
        if state.is_down {
            return Err(bio);
        }
        state.waiting.push(bio);
        drop(state);
        self.changed.notify_all();
        Ok(())
    }

    pub(super) fn drop_device(&self) {
        self.lock().is_dropped = true;
        self.changed.notify_all();
    }

    /// The next bio; where there is none now, waits for it if so said.
    pub(super) fn next(&self, session: u64, waits: bool) -> Next {
        let mut state = self.lock();
        loop {
            if state.is_over || state.session != session {
                return Next::SessionOver;
            }
            if let Some(bio) = state.waiting.pop() {
                return Next::Bio(bio);
            }
            if state.is_dropped {
                return Next::Dropped;
            }
            if !waits {
                return Next::None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Makes a connection one of the session: its number, unless it is over already.
    pub(super) fn join(&self, client: &Client) -> Result<u64, ClientError> {
        let end = client.shutdown_handle()?;
        let mut state = self.lock();
        if !state.is_over {
            state.connections.push(end);
        }
        Ok(state.session)
    }

    /// The server has answered.
    pub(super) fn heard(&self) {
        self.lock().lost = None;
    }

    /// A thread has lost its connection, or hears that another one has: waits for the next session. `give_up` is called
    /// when requests have waited for too long.
    pub(super) fn session_over(&self, session: u64, mut give_up: impl FnMut()) -> Role {
        let mut state = self.lock();
        if state.session != session {
            return Role::Follower;
        }
        if !state.is_over {
            state.is_over = true;
            state.lost.get_or_insert_with(Instant::now);
            state.connections.drain(..).for_each(Shutdown::shut_down);
            self.changed.notify_all();
        }
        state.gathered += 1;
        let mut has_given_up = false;
        while state.session == session && !state.is_dropped {
            if state.gathered == state.threads && !state.is_led {
                state.is_led = true;
                drop(state);
                return self.lead(give_up);
            }
            if state.is_down && !has_given_up {
                has_given_up = true;
                drop(state);
                give_up();
                state = self.lock();
                continue;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.is_dropped { Role::Dropped } else { Role::Follower }
    }

    /// Connects again, as often as it takes.
    fn lead(&self, mut give_up: impl FnMut()) -> Role {
        let mut pause = PAUSES.0;
        loop {
            match self.connect_again() {
                Ok(client) => {
                    let mut state = self.lock();
                    (state.session, state.gathered) = (state.session + 1, 0);
                    (state.is_over, state.is_down, state.is_led) = (false, false, false);
                    drop(state);
                    self.changed.notify_all();
                    return Role::Leader(Box::new(client));
                }
                Err(error) => {
                    let mut state = self.lock();
                    if state.is_dropped {
                        return Role::Dropped;
                    }
                    let is_too_long = state.lost.is_some_and(|lost| lost.elapsed() >= self.patience);
                    if !state.is_down && is_too_long {
                        tracing::error!("{}: {error}; requests fail until the server is back", self.uri);
                        state.is_down = true;
                        let mut waiting = std::mem::take(&mut state.waiting);
                        drop(state);
                        self.changed.notify_all();
                        while let Some(bio) = waiting.pop() {
                            bio.complete_elsewhere(Status::Offline);
                        }
                        give_up();
                        state = self.lock();
                    }
                    drop(self.changed.wait_timeout(state, pause));
                    pause = (pause * 2).min(PAUSES.1);
                }
            }
        }
    }

    /// Connects to the export, which must be the one that it was, and brings it to where it was.
    fn connect_again(&self) -> Result<Client, String> {
        let client = Client::connect_within(&self.uri.address, &self.uri.export, self.patience);
        let mut client = client.map_err(|error| error.to_string())?;
        self.check(client.export())?;
        // Nobody changes it meanwhile: the other threads wait.
        let unflushed = std::mem::take(&mut self.lock().unflushed);
        let sent = unflushed.send_again(&mut client);
        let writes = unflushed.len();
        let mut state = self.lock();
        state.unflushed = unflushed;
        match sent {
            Ok(()) => {
                drop(state);
                tracing::warn!(
                    "{}: connected again; sent {writes} writes again that no flush had covered",
                    self.uri
                );
                Ok(client)
            }
            Err(ClientError::Server(error)) => {
                state.is_lost = true;
                state.unflushed = Unflushed::default();
                drop(state);
                tracing::error!(
                    "{}: writes that the server had acknowledged are lost: it answered {error} when they were sent \
                     again; flushes fail until the device is opened again",
                    self.uri
                );
                Ok(client)
            }
            Err(error) => Err(error.to_string()),
        }
    }

    /// Whether an export can stand for the one that was attached.
    fn check(&self, found: &RemoteExport) -> Result<(), String> {
        let was = &self.export;
        if found.size != was.size {
            return Err(format!("the export has {} bytes now, and had {}", found.size, was.size));
        }
        let lost = was.flags.without(found.flags);
        let is_read_only = found.flags.without(was.flags).contains(TransmissionFlags::READ_ONLY);
        if !lost.is_empty() || is_read_only {
            return Err(format!("the export offers {} now, and offered {}", found.flags, was.flags));
        }
        let sizes = found.block_sizes.unwrap_or(BlockSizes::DEFAULT);
        if sizes.min > self.geometry.logical_block || sizes.max < self.geometry.max_transfer {
            return Err(format!(
                "the export takes requests of {} to {} bytes now, which is narrower than it was",
                sizes.min, sizes.max
            ));
        }
        Ok(())
    }

    /// A flush failed that no bio has asked for: those that come are told.
    pub(super) fn flush_failed(&self) {
        let mut state = self.lock();
        (state.is_lost, state.unflushed) = (true, Unflushed::default());
        drop(state);
        tracing::error!("{}: a flush failed; flushes fail until the device is opened again", self.uri);
    }

    /// A thread ends, and leaves its bios to the others.
    pub(super) fn leave(&self, bios: impl Iterator<Item = Bio>) {
        let mut state = self.lock();
        state.threads -= 1;
        bios.for_each(|bio| state.waiting.push(bio));
        drop(state);
        self.changed.notify_all();
    }
}
