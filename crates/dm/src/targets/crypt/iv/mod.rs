//! How a sector's number becomes its IV. A file for each mode, with its definition.
//!
//! s is the number of a sector: its place in the target in 512-byte units plus the table's `iv_offset`, modulo 2^64; with
//! `iv_large_sectors` that, shifted right to count encryption sectors. Without it, a 4096-byte sector is eight
//! numbers after the one before it.

mod benbi;
mod essiv;
mod null;
mod plain;
mod plain64;
mod plain64be;

pub(super) use essiv::Essiv;

use udm_crypto::{Algorithm, IvRule};

use super::params::{CryptOptions, IvMode};

/// How many IVs a cipher request holds at most where they are made one by one: 4 KiB of them, on the stack.
pub(super) const BATCH: usize = 256;

/// Numbers sectors, and gives the IV rule of a run of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct IvGenerator {
    mode: IvMode,
    /// 512-byte sectors in an encryption sector, as a power of two.
    sector_shift: u32,
    /// Whether s counts encryption sectors.
    large: bool,
    block_size: usize,
}

impl IvGenerator {
    pub(super) fn new(mode: IvMode, algorithm: Algorithm, options: &CryptOptions) -> Self {
        Self {
            mode,
            sector_shift: options.sectors_per_unit().trailing_zeros(),
            large: options.iv_large_sectors,
            block_size: algorithm.cipher.block_size(),
        }
    }

    /// The rule of the encryption sectors from the 512-byte sector `sector` on (`iv_offset` is in it already), and for
    /// how many of them it holds before a number wraps.
    pub(super) fn rule(&self, sector: u64) -> (IvRule<'static>, usize) {
        let (s, step) =
            if self.large { (sector >> self.sector_shift, 1) } else { (sector, 1 << self.sector_shift) };
        let rule = match self.mode {
            IvMode::None | IvMode::Null => null::rule(),
            IvMode::Plain => plain::rule(s, step),
            IvMode::Plain64 => plain64::rule(s, step),
            IvMode::Plain64be => plain64be::rule(s, step),
            IvMode::Benbi => benbi::rule(s, step, self.block_size),
        };
        // The sector number is taken modulo 2^64 before anything is made of it.
        let before_wrap = (u64::MAX - sector) >> self.sector_shift;
        let before_wrap = usize::try_from(before_wrap).unwrap_or(usize::MAX).saturating_add(1);
        (rule, rule.units_until_wrap().min(before_wrap))
    }
}
