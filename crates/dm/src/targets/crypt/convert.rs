//! Gives the sectors of a bio to the cipher: all of them in one request (the kernel's `crypt_convert`, which gives
//! them one by one).

use udm_block::SpanIter;
use udm_crypto::{CryptError, Direction, Iv, IvRule, KeyError, Later, Request, Skcipher};

use super::iv::{BATCH, IvGenerator, Numbering};
use super::params::CryptSpec;
use super::{CipherChoice, Requests};

/// Encrypts and decrypts the sectors of one volume.
pub struct Converter {
    /// A power of two of keys; sector n is of key n modulo their number.
    keys: Vec<Skcipher>,
    numbering: Numbering,
    iv: IvGenerator,
    iv_offset: u64,
    unit_size: usize,
    sectors_per_unit: u64,
    requests: Requests,
}

/// Without its keys, as [`Skcipher`]'s is.
impl std::fmt::Debug for Converter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Converter")
            .field("keys", &self.keys.len())
            .field("cipher", &self.keys[0])
            .field("numbering", &self.numbering)
            .field("iv", &self.iv)
            .field("iv_offset", &self.iv_offset)
            .field("requests", &self.requests)
            .finish_non_exhaustive()
    }
}

/// Sectors that go into one request.
#[derive(Clone, Copy)]
pub(super) struct Run {
    /// Which of the volume's keys.
    pub(super) key: usize,
    /// What numbers the sectors; where the IVs are not made one by one, it is the IVs.
    pub(super) rule: IvRule<'static>,
    /// In bytes.
    pub(super) len: usize,
}

impl Converter {
    /// The converter of a volume: sets its keys.
    ///
    /// # Errors
    /// When no driver takes a key.
    pub fn new(spec: &CryptSpec, key: &[u8], choice: &CipherChoice) -> Result<Self, KeyError> {
        let cipher = &spec.cipher;
        let wrong_size = |_| KeyError::Size { algorithm: cipher.algorithm, found: key.len() };
        let layout = cipher.key_layout(key.len()).map_err(wrong_size)?;
        let key_of = |index| choice.key(cipher.algorithm, &key[index * layout.key_size..][..layout.key_size]);
        Ok(Self {
            keys: (0..cipher.key_count).map(key_of).collect::<Result<_, KeyError>>()?,
            numbering: Numbering::new(cipher.iv.mode, cipher.algorithm, &spec.options),
            iv: IvGenerator::new(cipher, key, &layout, choice)?,
            iv_offset: spec.iv_offset,
            unit_size: spec.options.sector_size,
            sectors_per_unit: spec.options.sectors_per_unit(),
            requests: choice.requests,
        })
    }

    /// The driver that serves the volume's key.
    pub fn driver(&self) -> &'static str {
        self.keys[0].driver().name
    }

    /// Encrypts or decrypts `src` into `dst` (which may be the same memory), whole encryption sectors from the
    /// 512-byte sector `sector` of the target on.
    ///
    /// # Errors
    /// When the cipher fails; what `dst` holds is undefined then.
    pub fn convert(
        &self,
        direction: Direction,
        mut src: SpanIter<'_>,
        mut dst: SpanIter<'_>,
        sector: u64,
    ) -> Result<(), CryptError> {
        let mut sector = sector.wrapping_add(self.iv_offset);
        while !src.is_empty() {
            let run = self.run(sector, src.len().min(self.at_once()));
            let (from, to) = (src.first(run.len), dst.first(run.len));
            let (unit_size, iv) = (self.unit_size, run.rule);
            self.crypt(run.key, Request { direction, src: from, dst: to, unit_size, iv })?;
            src.advance(run.len);
            dst.advance(run.len);
            sector = self.after(sector, run.len);
        }
        Ok(())
    }

    /// What goes into one request of the `len` bytes from the 512-byte sector `sector` on (`iv_offset` is in it already).
    pub(super) fn run(&self, sector: u64, len: usize) -> Run {
        let (rule, most) = self.numbering.rule(sector);
        let units = most.min(self.most_units()).min(len / self.unit_size);
        let key = sector as usize & (self.keys.len() - 1);
        Run { key, rule, len: units * self.unit_size }
    }

    /// The sector behind `len` bytes from `sector` on.
    pub(super) fn after(&self, sector: u64, len: usize) -> u64 {
        sector.wrapping_add((len / self.unit_size) as u64 * self.sectors_per_unit)
    }

    /// The table's `iv_offset`.
    pub(super) fn iv_offset(&self) -> u64 {
        self.iv_offset
    }

    /// The size of an encryption sector in bytes.
    pub(super) fn unit_size(&self) -> usize {
        self.unit_size
    }

    /// What the cipher driver needs where it answers later.
    pub(super) fn later(&self) -> Option<Later> {
        self.keys[0].later()
    }

    /// What the IV mode does besides.
    pub(super) fn iv(&self) -> &IvGenerator {
        &self.iv
    }

    /// The cipher with the `key`th key.
    pub(super) fn cipher(&self, key: usize) -> &Skcipher {
        &self.keys[key]
    }

    /// How many units go into one request, apart from where a number wraps.
    pub(super) fn most_units(&self) -> usize {
        // With several keys a sector's neighbours are of other keys, unless it spans all of them.
        let one_key = self.sectors_per_unit.is_multiple_of(self.keys.len() as u64);
        match self.requests {
            Requests::WholeBio if one_key => usize::MAX,
            _ => 1,
        }
    }

    /// How many bytes go into one request: as many as the stack has room for the IVs of, where they are made one by one.
    fn at_once(&self) -> usize {
        if self.iv.is_vector() { BATCH * self.unit_size } else { usize::MAX }
    }

    /// The sectors of a run, which its rule numbers.
    fn crypt(&self, key: usize, mut run: Request<'_>) -> Result<(), CryptError> {
        if !self.iv.is_vector() {
            return self.keys[key].crypt(&run);
        }
        if self.iv.before(&run)? {
            run.src = run.dst;
        }
        let mut ivs = [Iv::default(); BATCH];
        let ivs = &mut ivs[..run.units()];
        self.iv.fill(key, &run, ivs)?;
        self.keys[key].crypt(&Request { iv: IvRule::Vector(ivs), ..run })?;
        self.iv.after(&run)
    }
}
