//! One request to a cipher: many data units, each with an IV of its own.

use crate::algorithm::Algorithm;
use crate::error::CryptError;
use udm_block::{SpanIter, SpanIterMut};

/// An initialization vector, as an [`IvRule`] has it. Not all ciphers have IVs of 16 bytes: the rule says how a shorter
/// or longer one comes of this.
pub type Iv = [u8; 16];

/// An initialization vector that is longer than an [`Iv`]: those of Adiantum and of the `XChaCha` ciphers.
pub type WideIv = [u8; 32];

/// The largest unit in bytes. dm-crypt has none larger, and so a unit that straddles spans fits a buffer on the stack.
pub const MAX_UNIT_SIZE: usize = 4096;

/// Which way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// Plaintext to ciphertext.
    Encrypt,
    /// Ciphertext to plaintext.
    Decrypt,
}

/// Many data units to be encrypted or decrypted.
///
/// It is valid if `src` and `dst` are of one length, a positive multiple of `unit_size`; `unit_size` is a positive
/// multiple of the cipher's block and at most [`MAX_UNIT_SIZE`]; and `iv` reaches all units: a vector has exactly one
/// IV a unit, and no counter wraps. Units may straddle spans at any byte, and `src` and `dst` may be cut differently.
///
/// Byte by byte, `src` and `dst` are either the same memory (in place) or have none in common. Those of a request in place
/// come of [`SpanIterMut::in_place`].
#[derive(Debug)]
pub struct Request<'a> {
    /// Which way.
    pub direction: Direction,
    /// Where the units are.
    pub src: SpanIter<'a>,
    /// Where the results go.
    pub dst: SpanIterMut<'a>,
    /// The bytes that share one IV.
    pub unit_size: usize,
    /// How each unit gets its IV.
    pub iv: IvRule<'a>,
}

/// How unit *i* of a request gets its IV. Counters count units from `first` in steps of `stride`, and never carry into
/// the bytes that they leave alone.
///
/// Where the cipher's IV is not of 16 bytes, a longer one is made with zeros and a shorter one by leaving bytes out: at
/// the end, and for `CounterBe64` at the beginning, so that its number is always in the last bytes.
#[derive(Clone, Copy, Debug)]
pub enum IvRule<'a> {
    /// The IV is a little-endian number of 128 bits.
    CounterLe128 {
        /// The IV of unit 0.
        first: Iv,
        /// What is added for each unit.
        stride: u64,
    },
    /// The first 8 bytes of the IV are a little-endian number (`plain64`).
    CounterLe64 {
        /// The IV of unit 0.
        first: Iv,
        /// What is added for each unit.
        stride: u64,
    },
    /// The first 4 bytes of the IV are a little-endian number (`plain`).
    CounterLe32 {
        /// The IV of unit 0.
        first: Iv,
        /// What is added for each unit.
        stride: u64,
    },
    /// The last 8 bytes of the IV are a big-endian number (`plain64be`, `benbi`).
    CounterBe64 {
        /// The IV of unit 0.
        first: Iv,
        /// What is added for each unit.
        stride: u64,
    },
    /// Every unit has this IV (`null`).
    Constant(Iv),
    /// Unit *i* has IV *i* (`essiv`, `eboiv`, `random`, ...).
    Vector(&'a [Iv]),
    /// Unit *i* has IV *i*, all of whose bytes a cipher with long ones takes.
    WideVector(&'a [WideIv]),
}

/// How many whole units there are in `len` bytes. Units are powers of two but in tests, and a division takes as long as
/// some blocks.
///
/// # Panics
/// Where `unit` is 0.
pub(crate) const fn units_in(len: usize, unit: usize) -> usize {
    if unit.is_power_of_two() { len >> unit.trailing_zeros() } else { len / unit }
}

impl Request<'_> {
    /// How many units it has. Of use where it is valid.
    ///
    /// # Panics
    /// Where `unit_size` is 0.
    pub const fn units(&self) -> usize {
        units_in(self.src.len(), self.unit_size)
    }

    /// The request of its `units` units from unit `first` on.
    ///
    /// # Panics
    /// Where it has fewer.
    pub fn part(&mut self, first: usize, units: usize) -> Request<'_> {
        let (at, len) = (first * self.unit_size, units * self.unit_size);
        let iv = self.iv.part(first, units);
        let mut part = self.reborrow();
        part.dst.advance(at);
        Request { src: part.src.after(at).first(len), dst: part.dst.take_first(len), iv, ..part }
    }

    /// The same request, lent on.
    pub const fn reborrow(&mut self) -> Request<'_> {
        let Self { direction, src, unit_size, iv, .. } = *self;
        Request { direction, src, dst: self.dst.reborrow(), unit_size, iv }
    }

    /// Whether it is valid for `algorithm`.
    ///
    /// # Errors
    /// [`CryptError::InvalidRequest`].
    pub fn validate(&self, algorithm: Algorithm) -> Result<(), CryptError> {
        let (len, unit) = (self.src.len(), self.unit_size);
        let sound = unit > 0
            && unit <= MAX_UNIT_SIZE
            && unit.is_multiple_of(algorithm.cipher.block_size())
            && len > 0
            && len == self.dst.len()
            && units_in(len, unit) * unit == len
            && self.iv.reaches(units_in(len, unit));
        if sound { Ok(()) } else { Err(CryptError::InvalidRequest) }
    }
}

impl IvRule<'_> {
    /// The IV of unit `unit`, of a cipher with IVs of 16 bytes.
    ///
    /// # Panics
    /// Where a vector has none for it.
    pub fn iv(&self, unit: usize) -> Iv {
        let mut iv = [Iv::default()];
        self.fill(unit, &mut iv);
        iv[0]
    }

    /// The rule of unit `unit` alone, which gives it the IV that it has here in a cipher with IVs of any length.
    ///
    /// # Panics
    /// Where a vector has none for it.
    #[must_use]
    pub fn only(&self, unit: usize) -> Self {
        match *self {
            Self::CounterBe64 { .. } => Self::CounterBe64 { first: self.iv(unit), stride: 0 },
            Self::WideVector(ivs) => Self::WideVector(&ivs[unit..=unit]),
            _ => Self::Constant(self.iv(unit)),
        }
    }

    /// The rule of the `units` units from unit `first` on.
    ///
    /// # Panics
    /// Where a vector has fewer.
    #[must_use]
    pub fn part(&self, first: usize, units: usize) -> Self {
        match *self {
            Self::CounterLe128 { stride, .. } => Self::CounterLe128 { first: self.iv(first), stride },
            Self::CounterLe64 { stride, .. } => Self::CounterLe64 { first: self.iv(first), stride },
            Self::CounterLe32 { stride, .. } => Self::CounterLe32 { first: self.iv(first), stride },
            Self::CounterBe64 { stride, .. } => Self::CounterBe64 { first: self.iv(first), stride },
            Self::Constant(iv) => Self::Constant(iv),
            Self::Vector(ivs) => Self::Vector(&ivs[first..first + units]),
            Self::WideVector(ivs) => Self::WideVector(&ivs[first..first + units]),
        }
    }

    /// The IVs of the units from `unit` on, as many as `ivs` holds, of the length that the cipher takes.
    ///
    /// # Panics
    /// Where a vector has fewer.
    pub fn fill<const N: usize>(&self, unit: usize, ivs: &mut [[u8; N]]) {
        // A valid request does not wrap within its units. The additions wrap silently because the loops step once past
        // the last unit, whose sum nobody looks at.
        let at = |first: u64, stride: u64| first.wrapping_add(stride.wrapping_mul(unit as u64));
        match *self {
            Self::CounterLe128 { first, stride } => {
                let steps = u128::from(stride).wrapping_mul(unit as u128);
                let mut count = u128::from_le_bytes(first).wrapping_add(steps);
                for iv in ivs {
                    *iv = from_front(count.to_le_bytes());
                    count = count.wrapping_add(u128::from(stride));
                }
            }
            Self::CounterLe64 { mut first, stride } => {
                let mut count = at(low64(first), stride);
                for iv in ivs {
                    first[..8].copy_from_slice(&count.to_le_bytes());
                    *iv = from_front(first);
                    count = count.wrapping_add(stride);
                }
            }
            Self::CounterLe32 { mut first, stride } => {
                let mut count = at(low32(first), stride) as u32;
                for iv in ivs {
                    first[..4].copy_from_slice(&count.to_le_bytes());
                    *iv = from_front(first);
                    count = count.wrapping_add(stride as u32);
                }
            }
            Self::CounterBe64 { mut first, stride } => {
                let mut count = at(last64(first), stride);
                for iv in ivs {
                    first[8..].copy_from_slice(&count.to_be_bytes());
                    *iv = from_back(first);
                    count = count.wrapping_add(stride);
                }
            }
            Self::Constant(iv) => ivs.fill(from_front(iv)),
            Self::Vector(vector) => each(ivs, &vector[unit..]),
            Self::WideVector(vector) => each(ivs, &vector[unit..]),
        }
    }

    /// How many units it has IVs for before its counter would wrap, or its vector ends. Whoever makes requests cuts
    /// there. `usize::MAX` where there is no end.
    pub fn units_until_wrap(&self) -> usize {
        match (self.counter(), self) {
            (Some((room, stride)), _) => {
                let steps = room.checked_div(u128::from(stride)).unwrap_or(u128::MAX);
                usize::try_from(steps.saturating_add(1)).unwrap_or(usize::MAX)
            }
            (None, Self::Vector(vector)) => vector.len(),
            (None, Self::WideVector(vector)) => vector.len(),
            (None, _) => usize::MAX,
        }
    }

    /// How many of its first `units` units it has IVs for: see [`units_until_wrap`](Self::units_until_wrap), whose
    /// division this spares where it is all of them.
    pub fn units_before_wrap(&self, units: usize) -> usize {
        if self.reaches(units) { units } else { units.min(self.units_until_wrap()) }
    }

    /// Whether it has an IV for each of `units` units, and a vector none to spare. It says for counters what
    /// [`units_until_wrap`](Self::units_until_wrap) would, without that one's division, which costs as much as a unit.
    fn reaches(&self, units: usize) -> bool {
        match (self.counter(), self) {
            // Both factors are below 2^64, so their product is a u128.
            (Some((room, stride)), _) => units.saturating_sub(1) as u128 * u128::from(stride) <= room,
            (None, Self::Vector(vector)) => vector.len() == units,
            (None, Self::WideVector(vector)) => vector.len() == units,
            (None, _) => true,
        }
    }

    /// For a counter: how much can be added to its first value before it wraps, and its stride.
    fn counter(&self) -> Option<(u128, u64)> {
        match *self {
            Self::CounterLe128 { first, stride } => Some((u128::MAX - u128::from_le_bytes(first), stride)),
            Self::CounterLe64 { first, stride } => Some(((u64::MAX - low64(first)).into(), stride)),
            Self::CounterLe32 { first, stride } => {
                Some((u128::from(u32::MAX) - u128::from(low32(first)), stride))
            }
            Self::CounterBe64 { first, stride } => Some(((u64::MAX - last64(first)).into(), stride)),
            Self::Constant(_) | Self::Vector(_) | Self::WideVector(_) => None,
        }
    }
}

/// An IV of another length, which begins as `iv` does.
fn from_front<const N: usize, const M: usize>(iv: [u8; M]) -> [u8; N] {
    std::array::from_fn(|at| if at < M { iv[at] } else { 0 })
}

/// An IV of another length, which ends as `iv` does.
fn from_back<const N: usize>(iv: Iv) -> [u8; N] {
    std::array::from_fn(|at| (at + iv.len()).checked_sub(N).map_or(0, |at| iv[at]))
}

/// Copies as many IVs as `to` holds.
fn each<const N: usize, const M: usize>(to: &mut [[u8; N]], from: &[[u8; M]]) {
    let from = &from[..to.len()];
    for (to, from) in to.iter_mut().zip(from) {
        *to = from_front(*from);
    }
}

/// The number in the first 8 bytes, little endian.
fn low64(iv: Iv) -> u64 {
    u128::from_le_bytes(iv) as u64
}

/// The number in the first 4 bytes, little endian.
fn low32(iv: Iv) -> u64 {
    u64::from(u128::from_le_bytes(iv) as u32)
}

/// The number in the last 8 bytes, big endian.
fn last64(iv: Iv) -> u64 {
    u128::from_be_bytes(iv) as u64
}
