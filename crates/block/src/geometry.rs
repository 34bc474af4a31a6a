//! What a device is: its size, its limits and what it can do.

use crate::units::{Bytes, Sectors};

/// What every device takes at once (the kernel's limits are never below a page either).
pub const LEAST_TRANSFER: Bytes = Bytes(4096);

/// The longest device: 2^63 bytes. Every offset on it, its end included, is a `u64` of bytes, and no sum of an offset and
/// the length of a bio wraps (the kernel's `BLK_DEV_MAX_SECTORS` is one sector less).
pub const LONGEST_DEVICE: Sectors = Sectors(1 << 54);

/// Size, limits and abilities of a device (the kernel's `struct queue_limits`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent abilities")]
pub struct Geometry {
    /// Its length in whole blocks, of which the last one may hold padding; at most [`LONGEST_DEVICE`]:
    /// every channel refuses every bio for a longer one.
    pub size: Sectors,
    /// How many bytes at the end of the last block are stored nowhere, less than a block: they read as zeros, and what is
    /// written there is lost. A file of 1537 bytes is a device of 2048 with a padding of 511.
    pub padding: u32,
    /// The smallest unit that it can transfer, in bytes: a power of two from 512 to 4096.
    pub logical_block: u32,
    /// The longest read or write that it takes at once, in bytes: [`LEAST_TRANSFER`] or more.
    pub max_transfer: u32,
    /// What the address of each run of memory should be a multiple of for the fastest way.
    pub memory_alignment: u32,
    /// It takes no writes.
    pub read_only: bool,
    /// It takes [`crate::Op::Discard`].
    pub discard: bool,
    /// It takes [`crate::Op::WriteZeroes`] and makes the zeros itself, which is faster than writing them. One that would have
    /// to write them says no, and callers who do not mind write them ([`crate::zeroes::set_zeroes`]).
    pub write_zeroes: bool,
    /// It keeps what it acknowledged in a cache that a flush makes durable.
    pub write_cache: bool,
}

impl Geometry {
    /// A device of `size` with blocks of 512 bytes, no limits and no abilities beyond reading and writing.
    ///
    /// # Panics
    /// Where `size` exceeds [`LONGEST_DEVICE`]. A back end that learns its size from outside checks it first.
    pub const fn plain(size: Sectors) -> Self {
        assert!(size.0 <= LONGEST_DEVICE.0, "a device of more than 2^63 bytes");
        Self {
            size,
            padding: 0,
            logical_block: 512,
            max_transfer: u32::MAX,
            memory_alignment: 1,
            read_only: false,
            discard: false,
            write_zeroes: false,
            write_cache: true,
        }
    }

    /// What a device of `size` can do that has all of `lower` below it (the kernel's `blk_stack_limits`): the abilities
    /// that all of them have, the strictest limits, and a write cache where one of them has one. With nothing below it,
    /// it discards and makes zeros, and has no cache.
    pub fn stacked(size: Sectors, lower: impl IntoIterator<Item = Self>) -> Self {
        let alone = Self { discard: true, write_zeroes: true, write_cache: false, ..Self::plain(size) };
        lower.into_iter().fold(alone, |all, one| Self {
            size,
            padding: 0,
            logical_block: all.logical_block.max(one.logical_block),
            max_transfer: all.max_transfer.min(one.max_transfer),
            memory_alignment: all.memory_alignment.max(one.memory_alignment),
            read_only: all.read_only || one.read_only,
            discard: all.discard && one.discard,
            write_zeroes: all.write_zeroes && one.write_zeroes,
            write_cache: all.write_cache || one.write_cache,
        })
    }

    /// How many bytes are stored.
    pub fn stored(&self) -> Bytes {
        Bytes(self.size.bytes().0.saturating_sub(u64::from(self.padding)))
    }

    /// The blocks that are stored whole. A device on top that needs every byte of a block, as a cipher does, ends there.
    pub fn stored_blocks(&self) -> Sectors {
        let last = if self.padding > 0 { u64::from(self.logical_block) } else { 0 };
        Sectors::in_bytes(self.size.bytes().0.saturating_sub(last))
    }

    /// Whether `len` bytes are whole blocks.
    pub fn is_blocks(&self, len: Bytes) -> bool {
        len.0.is_multiple_of(u64::from(self.logical_block))
    }
}
