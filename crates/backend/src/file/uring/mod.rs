//! The engine of queues: a ring (`io_uring`) for each queue, shared by all files that the queue has open.
//!
//! * `probe`: whether there is a ring here, and what a new one is asked to be.
//! * `ring`: the ring itself.
//! * `sqe`: a call as an entry of its queue.
//! * `registered`: the files that a ring knows by number.
//! * `release`: whether the kernel lets go of such a file at once.

mod numbers;
mod probe;
mod registered;
mod release;
mod ring;
mod sqe;

pub(super) use probe::available;
pub(super) use registered::Registrations;
pub(super) use ring::Ring;

use udm_block::{EngineId, OpenError, Opening};

/// The ring of the queue on which a file is opened, made where it has none yet. `None` where the system refuses one: then
/// threads do the I/O.
pub(super) fn of(opening: &mut Opening<'_>) -> Option<EngineId<Ring>> {
    if probe::is_revoked() {
        return None;
    }
    let make = || Ring::new().map_err(|source| OpenError::System { what: "a ring", source });
    match opening.engine(make) {
        Ok(ring) => Some(ring),
        Err(error) => {
            tracing::warn!(%error, "a queue gets no io_uring; threads do its I/O");
            None
        }
    }
}
