//! How much memory a connection has for its requests.

/// How many requests of a client are under way or wait to be answered at once.
pub const DEPTH: usize = 128;
/// The longest read or write that a client does well to ask for, in bytes, unless the device takes less at once. A longer
/// one goes piece by piece.
pub const LONGEST: u32 = 4 << 20;
/// The memory that one connection takes for the data of its requests, in bytes: one longest request always, and as
/// much again.
pub const MEMORY: usize = 2 * LONGEST as usize;

/// What a connection has at hand, and what it may have beyond that.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// The longest read or write, in bytes: the export offers no longer ones.
    pub longest: usize,
    /// How many bios are always there.
    pub bios: usize,
    /// How many buffers of the longest size are always there.
    pub buffers: usize,
    /// How many bytes of data there may be beyond these buffers.
    pub limit: usize,
}

impl Budget {
    /// One of each is there, and the rest is taken when it is wanted.
    pub const GROWING: Self =
        Self { longest: LONGEST as usize, bios: 1, buffers: 1, limit: MEMORY - LONGEST as usize };
}
