//! What a kind of export adds to the serving core: its greeting, and its connections.

use std::error::Error;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::event::PollFlags;

use super::core::Core;

/// A protocol that clients speak over stream sockets.
///
/// A client is greeted first, on the thread that accepts: it has no thread and no memory of its own until it has chosen
/// what it wants. Then it has a slot, and a thread on which [`Protocol::serve`] serves it until it goes.
pub trait Protocol: Send + Sync + 'static {
    /// A client that has not chosen yet.
    type Greeting: Greeting;
    /// What a client has chosen.
    type Choice: Send + 'static;

    /// What the threads of clients are called.
    const THREAD: &'static str;

    /// Greets a client that has come.
    fn greet(&self) -> Self::Greeting;

    /// Goes on with the greeting as far as the socket lets it, without waiting; it receives once at most, as others have
    /// their turn. `full` says how many slots there are if none is free.
    ///
    /// # Errors
    /// Why it has failed. The client is hung up on.
    fn go_on(
        &self,
        greeting: &mut Self::Greeting,
        socket: BorrowedFd<'_>,
        full: Option<usize>,
    ) -> Result<Step<Self::Choice>, GreetingError>;

    /// Serves a client, on a thread of its own, until it goes or the core ends. It makes its queue and its memory by
    /// [`Core::memory`], and has [`Core::register`] know the queue, so that the stop wakes it.
    ///
    /// # Errors
    /// Why it was hung up on.
    fn serve(
        &self,
        choice: Self::Choice,
        socket: &OwnedFd,
        peer: &str,
        core: &Core,
    ) -> Result<(), Box<dyn Error>>;
}

/// A client that has not chosen yet.
pub trait Greeting: Send {
    /// What it waits for.
    fn interest(&self) -> PollFlags;

    /// How many bytes wait to be sent to it.
    fn unsent(&self) -> usize;

    /// Whether the client has said nothing at all.
    fn is_mute(&self) -> bool;
}

/// How far a greeting is.
#[derive(Debug)]
pub enum Step<C> {
    /// It waits for the client.
    Wait,
    /// It is over, and the client has chosen.
    Chosen(C),
    /// It is over, and the client has ended the session in peace.
    Closed,
}

/// How a greeting failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GreetingError {
    /// The client broke the protocol, or wanted what there is not.
    #[error("{0}")]
    Protocol(Box<dyn Error + Send + Sync>),
    /// The client left.
    #[error("the client left in the middle of the handshake")]
    Left,
    /// No connection slot is free for it.
    #[error("{0} are connected, and no more are allowed")]
    Full(usize),
    /// The client is too slow.
    #[error("the client took too long for the handshake")]
    Slow,
    /// The connection broke.
    #[error("{0}")]
    Io(#[from] io::Error),
}
