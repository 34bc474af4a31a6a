//! Registers of one, two or four AES blocks, so that each mode is written once for all of them.
//!
//! A value of a type with [`Lanes`] is the evidence that this machine has the instructions: only a look at the machine
//! makes one. That is what makes the operations on registers safe to call.
#![allow(unsafe_code)]

mod xmm;
mod ymm;
mod zmm;

use super::block::{Block, Blocks, GROUP, RoundKey};
pub(super) use xmm::Xmm;
pub(super) use ymm::Ymm;
pub(super) use zmm::{Words, Zmm};

/// Registers of [`BLOCKS`](Self::BLOCKS) blocks each, and what the machine does with them. The block at the lowest
/// address is lane 0.
pub(super) trait Lanes: Copy + Send + Sync + 'static {
    /// A register.
    type Reg: Copy;
    /// How many blocks a register has: a power of two, [`MOST_LANES`] at most.
    const BLOCKS: usize;
    /// Bytes of a register.
    const WIDTH: usize = Self::BLOCKS * 16;

    /// Evidence of the instructions, where this machine has them.
    ///
    /// # Errors
    /// What it lacks.
    fn detect() -> Result<Self, &'static str>;

    /// The narrow registers, which every machine has that has these.
    fn single(self) -> Xmm;

    /// Does `work` in a function that is compiled for these instructions. Everything in it must be inlined there.
    fn run<W: Work<Self>>(self, work: W);

    /// The register's worth of bytes at `from`.
    ///
    /// # Safety
    /// As many bytes must be readable there; others may be changing them.
    unsafe fn load(self, from: *const u8) -> Self::Reg;

    /// Writes `reg` at `to`.
    ///
    /// # Safety
    /// As many bytes must be writable there.
    unsafe fn store(self, to: *mut u8, reg: Self::Reg);

    /// Lane *i* from the address that `lane(i)` says.
    ///
    /// # Safety
    /// A block must be readable at each.
    unsafe fn gather(self, lane: impl Fn(usize) -> *const u8) -> Self::Reg;

    /// Lane *i* to the address that `lane(i)` says, in the lanes' order.
    ///
    /// # Safety
    /// A block must be writable at each.
    unsafe fn scatter(self, lane: impl Fn(usize) -> *mut u8, reg: Self::Reg);

    /// `block` in every lane.
    fn same(self, block: &Block) -> Self::Reg;

    /// A round key.
    fn key(self, key: &RoundKey) -> Self::Reg;

    /// `a ^ b`.
    fn xor(self, a: Self::Reg, b: Self::Reg) -> Self::Reg;

    /// `a ^ b ^ c`.
    fn xor3(self, a: Self::Reg, b: Self::Reg, c: Self::Reg) -> Self::Reg;

    /// A middle round of encryption, or of the equivalent inverse cipher (FIPS 197, 5.3.5).
    fn round<const ENCRYPT: bool>(self, state: Self::Reg, key: Self::Reg) -> Self::Reg;

    /// [`round`](Self::round) of a group, in the registers' order, and between what stands before and behind it.
    fn group_round<const ENCRYPT: bool>(self, states: &mut [Self::Reg; GROUP], key: Self::Reg);

    /// The last round.
    fn last<const ENCRYPT: bool>(self, state: Self::Reg, key: Self::Reg) -> Self::Reg;

    /// Counts up from `first` in the low half of each block, by `stride`, and writes `high` into the high halves. Sums
    /// wrap silently.
    #[inline(always)]
    fn count(self, blocks: &mut Blocks, first: u64, stride: u64, high: u64) {
        for (at, block) in blocks.iter_mut().enumerate() {
            let low = first.wrapping_add(stride.wrapping_mul(at as u64));
            *block = (u128::from(low) | u128::from(high) << 64).to_le_bytes();
        }
    }

    /// The lanes of `now` moved up by one, with the last of `before` in lane 0.
    fn behind(self, before: Self::Reg, now: Self::Reg) -> Self::Reg;
}

/// Something to be done with registers. A trait and not a closure, since a closure cannot ask to be inlined.
pub(super) trait Work<L: Lanes> {
    /// Does it. To be inlined always.
    fn work(self, lanes: L);
}

/// Runs an operation of this machine's, where `self` is the evidence that it has it.
macro_rules! operation {
    ($operation:expr) => {{
        // SAFETY: a value of this type is made only where the machine has the features of all operations used here,
        // and none has any other precondition.
        unsafe { $operation }
    }};
}

/// [`Lanes::group_round`] for registers of a class and a type, with the features that its instructions need.
macro_rules! group_round {
    ($class:ident, $reg:ty, $features:literal) => {
        #[inline(always)]
        fn group_round<const ENCRYPT: bool>(self, states: &mut [$reg; crate::aes::block::GROUP], key: $reg) {
            #[inline]
            #[target_feature(enable = $features)]
            fn inside<const ENCRYPT: bool>(states: &mut [$reg; crate::aes::block::GROUP], key: $reg) {
                if ENCRYPT {
                    $crate::aes::lanes::each!($class, "vaesenc", states, key)
                } else {
                    $crate::aes::lanes::each!($class, "vaesdec", states, key)
                }
            }
            operation!(inside::<ENCRYPT>(states, key));
        }
    };
}

/// An instruction for each of a group's states.
macro_rules! each {
    ($class:ident, $name:literal, $states:ident, $key:ident) => {
        // SAFETY: it touches these registers alone.
        unsafe {
            std::arch::asm!(
                concat!($name, " {0}, {0}, {8}"),
                concat!($name, " {1}, {1}, {8}"),
                concat!($name, " {2}, {2}, {8}"),
                concat!($name, " {3}, {3}, {8}"),
                concat!($name, " {4}, {4}, {8}"),
                concat!($name, " {5}, {5}, {8}"),
                concat!($name, " {6}, {6}, {8}"),
                concat!($name, " {7}, {7}, {8}"),
                inout($class) $states[0],
                inout($class) $states[1],
                inout($class) $states[2],
                inout($class) $states[3],
                inout($class) $states[4],
                inout($class) $states[5],
                inout($class) $states[6],
                inout($class) $states[7],
                in($class) $key,
                options(nomem, nostack, preserves_flags),
            )
        }
    };
}

/// Returns the first of the features that the machine lacks, by its name in words, where it lacks one.
macro_rules! require {
    ($($feature:tt $name:literal),*) => {
        $crate::aes::lanes::found(&[$((std::arch::is_x86_feature_detected!($feature), $name)),*])?
    };
}

/// Whether all features were found.
///
/// # Errors
/// The name of the first that was not.
pub(super) fn found(features: &[(bool, &'static str)]) -> Result<(), &'static str> {
    features.iter().find(|(found, _)| !found).map_or(Ok(()), |(_, name)| Err(name))
}

use {each, group_round};
pub(super) use {operation, require};
