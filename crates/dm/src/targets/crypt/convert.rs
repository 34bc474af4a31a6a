//! Gives the sectors of a bio to the cipher: all of them in one request (the kernel's `crypt_convert`, which gives
//! them one by one).

use udm_block::{Sectors, SpanIter, SpanIterMut};
use udm_crypto::{CryptError, Direction, Iv, IvRule, KeyError, Later, Request, Skcipher};

use super::choice::{CipherChoice, Requests};
use super::iv::{BATCH, IvGenerator, Numbering};
use super::params::CryptSpec;

/// Encrypts and decrypts the sectors of one volume.
pub struct Converter {
    /// A power of two of keys; sector n is of key n modulo their number.
    keys: Vec<Skcipher>,
    numbering: Numbering,
    iv: IvGenerator,
    iv_offset: u64,
    /// The size of an encryption sector, as a power of two.
    unit_shift: u32,
    requests: Requests,
    /// See [`apart`](Self::apart).
    apart: usize,
    /// How many bytes are given to the cipher at once: as many as the stack has room for the IVs of, where they are made
    /// one by one.
    at_once: usize,
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

/// The 512-byte sector behind `len` bytes from `sector` on.
pub(super) fn after(sector: u64, len: usize) -> u64 {
    sector.wrapping_add(Sectors::in_bytes(len as u64).0)
}

impl Converter {
    /// The converter of a volume: sets its keys.
    ///
    /// # Errors
    /// When no driver takes a key.
    // not on the I/O path: once, when it is made
    pub fn new(spec: &CryptSpec, key: &[u8], choice: &CipherChoice) -> Result<Self, KeyError> {
        let cipher = &spec.cipher;
        let wrong_size = |_| KeyError::Size { algorithm: cipher.algorithm, found: key.len() };
        let layout = cipher.key_layout(key.len()).map_err(wrong_size)?;
        let key_of = |index| choice.key(cipher.algorithm, &key[index * layout.key_size..][..layout.key_size]);
        let sectors_per_unit = spec.options.sectors_per_unit() as usize;
        let apart = match choice.requests {
            // Both are powers of two.
            Requests::WholeBio => (cipher.key_count / sectors_per_unit).max(1),
            Requests::PerSector => 1,
        };
        let iv = IvGenerator::new(cipher, key, &layout, choice)?;
        let at_once = match choice.requests {
            _ if apart > 1 => usize::MAX,
            Requests::WholeBio if iv.is_vector() => BATCH * spec.options.sector_size,
            Requests::WholeBio => usize::MAX,
            Requests::PerSector => spec.options.sector_size,
        };
        Ok(Self {
            keys: (0..cipher.key_count).map(key_of).collect::<Result<_, KeyError>>()?,
            numbering: Numbering::new(cipher.iv.mode, cipher.algorithm, &spec.options),
            iv,
            iv_offset: spec.iv_offset,
            unit_shift: spec.options.sector_size.trailing_zeros(),
            requests: choice.requests,
            apart,
            at_once,
        })
    }

    /// The driver that serves the volume's key.
    pub fn driver(&self) -> &'static str {
        self.keys[0].driver().name
    }

    /// Encrypts or decrypts `src` into `dst` (which may be the same memory: see [`SpanIterMut::in_place`]), whole encryption sectors from the
    /// 512-byte sector `sector` of the target on.
    ///
    /// # Errors
    /// When the cipher fails; what `dst` holds is undefined then.
    pub fn convert(
        &self,
        direction: Direction,
        mut src: SpanIter<'_>,
        mut dst: SpanIterMut<'_>,
        sector: u64,
    ) -> Result<(), CryptError> {
        let mut sector = sector.wrapping_add(self.iv_offset);
        while !src.is_empty() {
            // The rule is made where it stays: a copy waits until its parts are written.
            let iv = self.numbering.rule(sector, 1);
            let mut request =
                Request { direction, src, dst: SpanIterMut::EMPTY, unit_size: self.unit_size(), iv };
            let len = self.before_wrap(&request.iv, sector, src.len().min(self.at_once));
            (request.src, request.dst) = (src.first(len), dst.take_first(len));
            match self.apart {
                1 => self.crypt(self.key_of(sector), &mut request)?,
                apart => self.crypt_by_key(&mut request, sector, apart)?,
            }
            src.advance(len);
            sector = after(sector, len);
        }
        Ok(())
    }

    /// What goes into one request of the `len` bytes from the 512-byte sector `sector` on (`iv_offset` is in it already).
    pub(super) fn run(&self, sector: u64, len: usize) -> Run {
        let rule = self.numbering.rule(sector, 1);
        let most = self.most_units().saturating_mul(self.unit_size());
        Run { key: self.key_of(sector), len: self.before_wrap(&rule, sector, len.min(most)), rule }
    }

    /// For how many of the `len` bytes from `sector` on their `rule` holds before a number wraps.
    fn before_wrap(&self, rule: &IvRule<'_>, sector: u64, len: usize) -> usize {
        self.numbering.before_wrap(rule, sector, len >> self.unit_shift) << self.unit_shift
    }

    /// Which key a sector has.
    pub(super) fn key_of(&self, sector: u64) -> usize {
        sector as usize & (self.keys.len() - 1)
    }

    /// The rule of every `apart`th encryption sector from `sector` on, before a number wraps.
    pub(super) fn rule_of_every(&self, sector: u64, apart: usize) -> IvRule<'static> {
        self.numbering.rule(sector, apart as u64)
    }

    /// How far the sectors of a key are from one another where requests are of one key: 1 where they are neighbours, and
    /// where each sector has a request.
    pub(super) fn apart(&self) -> usize {
        self.apart
    }

    /// The table's `iv_offset`.
    pub(super) fn iv_offset(&self) -> u64 {
        self.iv_offset
    }

    /// The size of an encryption sector in bytes.
    pub(super) fn unit_size(&self) -> usize {
        1 << self.unit_shift
    }

    /// What the cipher driver needs where it is asynchronous.
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
        match self.requests {
            Requests::WholeBio if self.apart == 1 => usize::MAX,
            _ => 1,
        }
    }

    /// The sectors of a run, which its rule numbers.
    pub(super) fn crypt(&self, key: usize, run: &mut Request<'_>) -> Result<(), CryptError> {
        if !self.iv.is_vector() {
            return self.keys[key].crypt(run);
        }
        let is_in_dst = self.iv.before(run)?;
        let Request { direction, mut src, mut dst, unit_size, iv } = run.reborrow();
        let dst = if is_in_dst {
            let (there, dst) = dst.in_place();
            src = there;
            dst
        } else {
            dst.reborrow()
        };
        let mut run = Request { direction, src, dst, unit_size, iv };
        let mut ivs = [Iv::default(); BATCH];
        let ivs = &mut ivs[..run.units()];
        self.iv.fill(key, &run, ivs)?;
        self.keys[key].crypt(&mut Request { iv: IvRule::Vector(ivs), ..run.reborrow() })?;
        self.iv.after(&mut run)
    }
}
