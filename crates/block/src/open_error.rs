//! Why a device could not be opened.

use std::error::Error;
use std::io;

use crate::alloc::NoReserve;

/// Why a device could not be opened on a queue.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The system.
    #[error("cannot open {what}: {source}")]
    System {
        /// What was to be opened.
        what: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// No memory.
    #[error(transparent)]
    NoReserve(#[from] NoReserve),
    /// The device is not there any more.
    #[error("the device is gone")]
    Gone,
    /// Another reason of the device's own.
    #[error(transparent)]
    Other(#[from] Box<dyn Error + Send + Sync>),
}
