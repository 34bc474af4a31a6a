//! Why a target refuses a message.

/// A message that a target does not take.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// The target takes no messages.
    #[error("the target takes no messages")]
    NotSupported,
    /// It does not take this one.
    #[error("{message}; {hint}")]
    Refused {
        /// The kernel's errno, as a positive number.
        errno: i32,
        /// What is wrong.
        message: String,
        /// What would do.
        hint: String,
    },
}
