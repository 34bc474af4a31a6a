//! What is delayed alike.

/// What is delayed alike.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// Reads.
    Read,
    /// Writes, discards and zeros.
    Write,
    /// Flushes.
    Flush,
}

impl Class {
    /// How many there are.
    pub(super) const COUNT: usize = 3;
}
