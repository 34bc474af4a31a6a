//! How a sector's number becomes its IV. A file for each mode, with its definition.
//!
//! s is the number of a sector: its place in the target in 512-byte units plus the table's `iv_offset`, modulo 2^64; with
//! `iv_large_sectors` that, shifted right to count encryption sectors. Without it, a 4096-byte sector is eight
//! numbers after the one before it.
//!
//! [`Numbering`] cuts sectors into runs, each with a rule that numbers it. For most modes the rule is the IVs.
//! For the others [`IvGenerator`] makes a vector of them, all of a run in one pass of the cipher, and may
//! change the data before and after the cipher has it.

mod benbi;
mod eboiv;
mod elephant;
mod essiv;
mod lmk;
mod null;
mod plain;
mod plain64;
mod plain64be;
mod tcw;

pub(super) use essiv::Essiv;

use std::fmt;

use udm_block::{SpanIterMut, SpanMut};
use udm_crypto::spec::{CipherSpec, IvMode, KeyLayout};
use udm_crypto::{Algorithm, CryptError, Direction, Iv, IvRule, KeyError, MAX_UNIT_SIZE, Request, Skcipher};

use super::CipherChoice;
use super::params::CryptOptions;
use eboiv::Eboiv;
use elephant::Elephant;
use lmk::Lmk;
use tcw::Tcw;

/// How many IVs a cipher request holds at most where they are made one by one: 4 KiB of them, on the stack.
pub(super) const BATCH: usize = 256;

/// Numbers sectors, and gives the rule of a run of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbering {
    mode: IvMode,
    /// 512-byte sectors in an encryption sector, as a power of two.
    sector_shift: u32,
    /// Whether s counts encryption sectors.
    large: bool,
    sector_size: u64,
    block_size: usize,
}

impl Numbering {
    pub(super) fn new(mode: IvMode, algorithm: Algorithm, options: &CryptOptions) -> Self {
        Self {
            mode,
            sector_shift: options.sectors_per_unit().trailing_zeros(),
            large: options.iv_large_sectors,
            sector_size: options.sector_size as u64,
            block_size: algorithm.block_size(),
        }
    }

    /// The rule of every `apart`th encryption sector from the 512-byte sector `sector` on (`iv_offset` is in it
    /// already).
    pub(super) fn rule(&self, sector: u64, apart: u64) -> IvRule<'static> {
        let (s, step) =
            if self.large { (sector >> self.sector_shift, 1) } else { (sector, 1 << self.sector_shift) };
        let step = step * apart;
        match self.mode {
            IvMode::None | IvMode::Null => null::rule(),
            IvMode::Plain => plain::rule(s, step),
            IvMode::Plain64 | IvMode::Lmk | IvMode::Tcw => plain64::rule(s, step),
            IvMode::Plain64be => plain64be::rule(s, step),
            IvMode::Benbi => benbi::rule(s, step, self.block_size),
            IvMode::Eboiv | IvMode::Elephant => eboiv::rule(s, step, self.sector_size),
        }
    }

    /// For how many of the `units` encryption sectors from `sector` on their `rule` holds before a number wraps.
    pub(super) fn before_wrap(&self, rule: &IvRule<'_>, sector: u64, units: usize) -> usize {
        // The sector number is taken modulo 2^64 before anything is made of it.
        let before_wrap = (u64::MAX - sector) >> self.sector_shift;
        let before_wrap = usize::try_from(before_wrap).unwrap_or(usize::MAX).saturating_add(1);
        rule.units_before_wrap(units.min(before_wrap))
    }
}

/// What a volume's IV mode does with its keys.
///
/// Its methods take the request of a run, whose `iv` is the rule that numbers it.
pub(super) enum IvGenerator {
    /// The rule is the IVs.
    Rule,
    /// One for each of the volume's keys.
    Essiv(Vec<Essiv>),
    Eboiv(Eboiv),
    Elephant(Box<Elephant>),
    Lmk(Lmk),
    Tcw(Tcw),
}

impl IvGenerator {
    /// The generator of a volume whose key word, of this layout, is `key`.
    ///
    /// # Errors
    /// When no driver takes a key of the IV mode.
    // not on the I/O path: made with the volume
    pub(super) fn new(
        cipher: &CipherSpec,
        key: &[u8],
        layout: &KeyLayout,
        choice: &CipherChoice,
    ) -> Result<Self, KeyError> {
        let (first, of_iv) = (&key[..layout.key_size], &key[layout.of_iv.clone()]);
        let eboiv = || Eboiv::new(choice, cipher.algorithm, first);
        Ok(match (cipher.iv.mode, cipher.iv.essiv) {
            (_, Some(hash)) => {
                let of = |index| &key[index * layout.key_size..][..layout.key_size];
                let essiv = |index| Essiv::new(choice, cipher.algorithm, hash, of(index));
                Self::Essiv((0..cipher.key_count).map(essiv).collect::<Result<_, _>>()?)
            }
            (IvMode::Eboiv, None) => Self::Eboiv(eboiv()?),
            (IvMode::Elephant, None) => Self::Elephant(Box::new(Elephant::new(choice, eboiv()?, of_iv)?)),
            (IvMode::Lmk, None) => Self::Lmk(Lmk::new(of_iv, cipher.algorithm.iv_size())),
            (IvMode::Tcw, None) => Self::Tcw(Tcw::new(of_iv)),
            (_, None) => Self::Rule,
        })
    }

    /// Whether a run's IVs are made one by one, by [`fill`](Self::fill).
    pub(super) fn is_vector(&self) -> bool {
        !matches!(self, Self::Rule)
    }

    /// What is done to the sectors of a run before the cipher has them: from the source into the destination, as the
    /// source may be a client's. Whether it was done, so that the cipher works on in the destination.
    ///
    /// # Errors
    /// When a cipher fails.
    pub(super) fn before(&self, run: &mut Request<'_>) -> Result<bool, CryptError> {
        match self {
            Self::Elephant(elephant) if run.direction == Direction::Encrypt => elephant.encrypt(run)?,
            Self::Tcw(tcw) if run.direction == Direction::Decrypt => tcw.whiten(run),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Fills `ivs` with the IVs of a run whose key is the `key`th.
    ///
    /// # Errors
    /// When a cipher fails.
    pub(super) fn fill(&self, key: usize, run: &Request<'_>, ivs: &mut [Iv]) -> Result<(), CryptError> {
        match self {
            Self::Rule => run.iv.fill(0, ivs),
            Self::Essiv(essiv) => essiv[key].fill(&run.iv, ivs)?,
            Self::Eboiv(eboiv) => eboiv.fill(&run.iv, ivs)?,
            Self::Elephant(elephant) => elephant.eboiv.fill(&run.iv, ivs)?,
            Self::Lmk(lmk) => lmk.fill(run, ivs),
            Self::Tcw(tcw) => tcw.fill(&run.iv, ivs),
        }
        Ok(())
    }

    /// What is done to the sectors of a run, in its destination, when the cipher has had them.
    ///
    /// # Errors
    /// When a cipher fails.
    pub(super) fn after(&self, run: &mut Request<'_>) -> Result<(), CryptError> {
        let Request { direction, dst, unit_size, iv, .. } = run.reborrow();
        let mut dst = dst;
        let (src, dst) = dst.in_place();
        let mut run = Request { direction, src, dst, unit_size, iv };
        match self {
            Self::Elephant(elephant) if run.direction == Direction::Decrypt => elephant.decrypt(&mut run)?,
            Self::Lmk(lmk) if run.direction == Direction::Decrypt => lmk.unmask(&mut run),
            Self::Tcw(tcw) if run.direction == Direction::Encrypt => tcw.whiten(&mut run),
            _ => {}
        }
        Ok(())
    }
}

/// Without its keys.
impl fmt::Debug for IvGenerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rule => "Rule",
            Self::Essiv(_) => "Essiv",
            Self::Eboiv(_) => "Eboiv",
            Self::Elephant(_) => "Elephant",
            Self::Lmk(_) => "Lmk",
            Self::Tcw(_) => "Tcw",
        })
    }
}

/// Enciphers each IV by itself, all in one pass, with the IVs that `rule` says.
fn encipher(cipher: &Skcipher, rule: IvRule<'_>, ivs: &mut [Iv]) -> Result<(), CryptError> {
    let mut run = [SpanMut::new(ivs.as_flattened_mut())];
    let mut blocks = SpanIterMut::new(&mut run);
    let (src, dst) = blocks.in_place();
    cipher.crypt(&mut Request {
        direction: Direction::Encrypt,
        src,
        dst,
        unit_size: size_of::<Iv>(),
        iv: rule,
    })
}

/// Copies each sector of a run out of its source, has `change` change it, and puts it into the destination. `change` gets
/// what the rule makes of the sector's number.
fn each_sector(run: &mut Request<'_>, mut change: impl FnMut(Iv, &mut [u8])) {
    let (mut src, units) = (run.src, run.units());
    let mut buffer = [0; MAX_UNIT_SIZE];
    let sector = &mut buffer[..run.unit_size];
    let mut dst = run.dst.reborrow();
    for unit in 0..units {
        src.read(sector);
        change(run.iv.iv(unit), sector);
        dst.write(sector);
    }
}
