//! What a managed device refuses, with the errno that dmsetup would see.

use std::fmt;

use crate::load::LoadError;
use crate::table::{Fault, reason};

/// Why something was not done to a managed device.
#[derive(Debug)]
#[non_exhaustive]
pub enum ManageError {
    /// A table did not become a device.
    Load(LoadError),
    /// The device is not in a state for it, or does not know what was asked for.
    Refused(Refusal),
}

/// What is wrong, and what would do.
#[derive(Debug)]
pub struct Refusal {
    errno: i32,
    message: String,
    hint: String,
    kernel_log: Option<&'static str>,
}

/// Errnos as the kernel gives them.
pub(super) mod errno {
    pub(crate) const EIO: i32 = 5;
    pub(crate) const ENXIO: i32 = 6;
    pub(crate) const EAGAIN: i32 = 11;
    pub(crate) const ENOMEM: i32 = 12;
    pub(crate) const EBUSY: i32 = 16;
    pub(crate) const EINVAL: i32 = 22;
    pub(crate) const ETIMEDOUT: i32 = 110;
}

impl Refusal {
    pub(super) fn new(errno: i32, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { errno, message: message.into(), hint: hint.into(), kernel_log: None }
    }

    /// The same; the kernel's log has this line for it.
    pub(super) fn with_log(self, line: &'static str) -> Self {
        Self { kernel_log: Some(line), ..self }
    }

    /// What is wrong with a word of a message.
    pub(super) fn of_fault(fault: &Fault) -> Self {
        Self::new(errno::EINVAL, fault.message(), fault.hint())
    }
}

impl ManageError {
    /// What `dmsetup` would see: a positive errno.
    pub fn errno(&self) -> i32 {
        match self {
            Self::Load(LoadError::Table(error)) => {
                error.kernel_reason().map_or(errno::EINVAL, |why| why.errno)
            }
            Self::Load(LoadError::NoReserve(_)) => errno::ENOMEM,
            Self::Load(LoadError::System { source, .. }) => source.raw_os_error().unwrap_or(errno::ENOMEM),
            Self::Refused(refusal) => refusal.errno,
        }
    }

    /// The line that the kernel's log has for the same thing, where it has one of its own.
    pub fn kernel_log(&self) -> Option<&'static str> {
        match self {
            Self::Load(LoadError::Table(error)) => {
                error.kernel_reason().map(|why| why.text).filter(|text| *text != reason::UNKNOWN.text)
            }
            Self::Load(LoadError::NoReserve(_) | LoadError::System { .. }) => None,
            Self::Refused(refusal) => refusal.kernel_log,
        }
    }
}

impl fmt::Display for ManageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load(error) => error.fmt(f),
            Self::Refused(refusal) => write!(f, "{}; {}", refusal.message, refusal.hint),
        }
    }
}

impl std::error::Error for ManageError {}

impl From<LoadError> for ManageError {
    fn from(error: LoadError) -> Self {
        Self::Load(error)
    }
}

impl From<Refusal> for ManageError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}
