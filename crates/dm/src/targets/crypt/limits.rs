//! What a clone has at most.

/// The longest read or write in bytes that is one clone: what a core's second-level cache holds twice (the kernel's
/// `max_read_size` and `max_write_size` are half of it). Longer bios are split, and their parts overlap in time.
pub const LONGEST: usize = 256 << 10;
