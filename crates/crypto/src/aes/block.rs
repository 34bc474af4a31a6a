//! Blocks of AES, and how many go together.

use zeroize::Zeroize;

/// A block of AES.
pub(super) type Block = [u8; 16];

/// The most blocks that a register has.
pub(super) const MOST_LANES: usize = 4;

/// Registers that go through the cipher together.
pub(super) const GROUP: usize = 8;

/// Blocks of a group in the widest registers, which a group in any others divides.
pub(super) const MOST_BLOCKS: usize = GROUP * MOST_LANES;

/// As many blocks.
pub(super) type Blocks = [Block; MOST_BLOCKS];

/// A round key in every lane: to load a register costs no instruction that takes a turn from the rounds, to fill its
/// lanes does.
#[derive(Clone, Copy, Default, Zeroize)]
#[repr(align(64))]
pub(super) struct RoundKey(pub [Block; MOST_LANES]);
