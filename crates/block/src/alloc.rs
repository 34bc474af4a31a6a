//! What an allocation may do when there is no memory, and what it says of that.

/// What an allocation may do when there is no memory (the kernel's `gfp_t`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Alloc {
    /// Take the reserve if it must, but never sleep: for what an I/O cannot go on without.
    NoWait,
    /// Ask normal memory once and leave the reserve alone: for what an I/O can do without.
    NoRetry,
    /// Sleep until the reserve serves it. It never fails. Only on a queue that may sleep ([`crate::Queue::sleeping`]).
    Wait,
}

/// There was no memory for a pool's reserve.
#[derive(Debug, thiserror::Error)]
#[error(
    "no memory for {count} elements of {bytes} bytes, the reserve of the pool \"{pool}\": raise the limit (ulimit -v, or that \
     of the container), or end other programs"
)]
pub struct NoReserve {
    /// The pool's name.
    pub pool: &'static str,
    /// How many elements its reserve was to have.
    pub count: usize,
    /// The size of an element in bytes.
    pub bytes: usize,
}
