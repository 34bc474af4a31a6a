//! Gives the sectors of a bio to the cipher: all of them in one request (the kernel's `crypt_convert`, which gives
//! them one by one).

use udm_block::SpanIter;
use udm_crypto::{CryptError, Direction, Iv, IvRule, KeyError, Later, Request, Skcipher};

use super::iv::{BATCH, Essiv, IvGenerator};
use super::params::CryptSpec;
use super::{CipherChoice, Requests};

/// Encrypts and decrypts the sectors of one volume.
pub struct Converter {
    /// A power of two of keys; sector n is of key n modulo their number.
    keys: Vec<VolumeKey>,
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
            .field("cipher", &self.keys[0].cipher)
            .field("iv", &self.iv)
            .field("iv_offset", &self.iv_offset)
            .field("requests", &self.requests)
            .finish_non_exhaustive()
    }
}

/// One key of a volume, and the cipher of its IVs where the mode has one.
pub(super) struct VolumeKey {
    pub(super) cipher: Skcipher,
    pub(super) essiv: Option<Essiv>,
}

/// Sectors that go into one request.
pub(super) struct Run<'a> {
    pub(super) key: &'a VolumeKey,
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
        let size = cipher.key_size_of(key.len());
        let key_of = |index: usize| {
            let key = &key[index * size..][..size];
            let essiv = cipher.iv.essiv.map(|hash| Essiv::new(choice, cipher.algorithm, hash, key));
            Ok(VolumeKey { cipher: choice.key(cipher.algorithm, key)?, essiv: essiv.transpose()? })
        };
        Ok(Self {
            keys: (0..cipher.key_count).map(key_of).collect::<Result<_, KeyError>>()?,
            iv: IvGenerator::new(cipher.iv.mode, cipher.algorithm, &spec.options),
            iv_offset: spec.iv_offset,
            unit_size: spec.options.sector_size,
            sectors_per_unit: spec.options.sectors_per_unit(),
            requests: choice.requests,
        })
    }

    /// The driver that serves the volume's key.
    pub fn driver(&self) -> &'static str {
        self.keys[0].cipher.driver().name
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
            let run = self.run(sector, src.len());
            run.key.crypt(direction, src.first(run.len), dst.first(run.len), self.unit_size, run.rule)?;
            src.advance(run.len);
            dst.advance(run.len);
            sector = self.after(sector, run.len);
        }
        Ok(())
    }

    /// What goes into one request of the `len` bytes from the 512-byte sector `sector` on (`iv_offset` is in it already).
    pub(super) fn run(&self, sector: u64, len: usize) -> Run<'_> {
        let (rule, most) = self.iv.rule(sector);
        let units = most.min(self.most_units()).min(len / self.unit_size);
        let key = &self.keys[sector as usize & (self.keys.len() - 1)];
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
        self.keys[0].cipher.later()
    }

    /// How many units go into one request, apart from where a number wraps.
    pub(super) fn most_units(&self) -> usize {
        match self.requests {
            Requests::WholeBio if self.keys.len() == 1 => usize::MAX,
            // With several keys a sector's neighbours are of other keys.
            _ => 1,
        }
    }
}

impl VolumeKey {
    /// Units of one key whose IVs `rule` numbers.
    fn crypt(
        &self,
        direction: Direction,
        src: SpanIter<'_>,
        dst: SpanIter<'_>,
        unit_size: usize,
        rule: IvRule<'_>,
    ) -> Result<(), CryptError> {
        match &self.essiv {
            None => self.cipher.crypt(&Request { direction, src, dst, unit_size, iv: rule }),
            Some(essiv) => self.crypt_with(essiv, Request { direction, src, dst, unit_size, iv: rule }),
        }
    }

    /// The same where the IVs are enciphered: as many at once as the stack has room for.
    fn crypt_with(&self, essiv: &Essiv, request: Request<'_>) -> Result<(), CryptError> {
        let mut ivs = [Iv::default(); BATCH];
        let (mut src, mut dst, mut unit) = (request.src, request.dst, 0);
        while !src.is_empty() {
            let ivs = &mut ivs[..BATCH.min(src.len() / request.unit_size)];
            let len = ivs.len() * request.unit_size;
            essiv.fill(&request.iv, unit, ivs)?;
            unit += ivs.len();
            let iv = IvRule::Vector(ivs);
            self.cipher.crypt(&Request { src: src.first(len), dst: dst.first(len), iv, ..request })?;
            src.advance(len);
            dst.advance(len);
        }
        Ok(())
    }
}
