//! Whole-bio encryption held against per-sector encryption, byte for byte.

use std::time::{Duration, Instant};

use base16ct::lower::encode_string;
use sha2::{Digest, Sha256};
use udm_block::{Span, SpanIter, SpanIterMut, SpanMut};
use udm_crypto::{Direction, KeyError};
use udm_dm::targets::crypt::params::{CryptSpec, KeySpec};
use udm_dm::targets::crypt::{CipherChoice, Converter, Requests};
use zeroize::Zeroizing;

/// Both ways to encrypt one volume, and what has come of them so far.
pub struct Comparison {
    whole: Side,
    per_sector: Side,
    bytes: u64,
}

/// One way, its results and its time.
struct Side {
    converter: Converter,
    digest: Sha256,
    buffer: Zeroizing<Vec<u8>>,
    encrypting: Duration,
    decrypting: Duration,
}

/// What one way came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// SHA-256 of the plaintext, in hexadecimal.
    pub digest: String,
    /// Bytes a second, encrypting.
    pub encrypts: f64,
    /// Bytes a second, decrypting.
    pub decrypts: f64,
}

/// Where two ways, or a way and the device, differ.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Difference {
    /// The two decrypted the same bytes to different ones.
    #[error("whole-bio and per-sector decryption differ at byte {0} of the row")]
    Plaintext(u64),
    /// What was decrypted does not encrypt to what it was.
    #[error("{0} encryption does not give back what is on the device at byte {1} of the row")]
    Ciphertext(&'static str, u64),
    /// A driver failed.
    #[error("the cipher driver failed at byte {0} of the row")]
    Failed(u64),
}

impl Comparison {
    /// The two ways to encrypt the volume that `spec` describes.
    ///
    /// # Errors
    /// When no driver takes the key.
    pub fn new(spec: &CryptSpec, choice: &CipherChoice) -> Result<Self, KeyError> {
        let key: &[u8] = match &spec.key {
            KeySpec::Bytes(bytes) => bytes.as_slice(),
            _ => &[],
        };
        let side = |requests| {
            let choice = CipherChoice { requests, ..choice.clone() };
            Ok(Side {
                converter: Converter::new(spec, key, &choice)?,
                digest: Sha256::new(),
                buffer: Zeroizing::default(),
                encrypting: Duration::ZERO,
                decrypting: Duration::ZERO,
            })
        };
        Ok(Self { whole: side(Requests::WholeBio)?, per_sector: side(Requests::PerSector)?, bytes: 0 })
    }

    /// The driver that both use.
    pub fn driver(&self) -> &'static str {
        self.whole.converter.driver()
    }

    /// How many bytes were compared.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Compares the next bytes of ciphertext, whole encryption sectors, which begin at the 512-byte sector `sector`
    /// of the row: both ways must decrypt them to the same, and encrypt that to what it was. `ciphertext` holds what
    /// was encrypted last after that.
    ///
    /// # Errors
    /// Where they differ.
    pub fn add(&mut self, ciphertext: &mut [u8], sector: u64) -> Result<(), Difference> {
        let at = sector * 512;
        for side in [&mut self.whole, &mut self.per_sector] {
            side.decrypt(ciphertext, sector).ok_or(Difference::Failed(at))?;
        }
        if let Some(differs) = first_difference(&self.whole.buffer, &self.per_sector.buffer) {
            return Err(Difference::Plaintext(at + differs));
        }
        for (side, way) in [(&mut self.whole, "whole-bio"), (&mut self.per_sector, "per-sector")] {
            let was = ciphertext.to_vec();
            side.encrypt(ciphertext, sector).ok_or(Difference::Failed(at))?;
            if let Some(differs) = first_difference(&was, ciphertext) {
                return Err(Difference::Ciphertext(way, at + differs));
            }
        }
        self.bytes += ciphertext.len() as u64;
        Ok(())
    }

    /// What whole-bio and per-sector encryption came to, in this order.
    pub fn outcomes(&self) -> [Outcome; 2] {
        [&self.whole, &self.per_sector].map(|side| {
            let rate = |time: Duration| self.bytes as f64 / time.as_secs_f64().max(1e-9);
            Outcome {
                digest: encode_string(&side.digest.clone().finalize()),
                encrypts: rate(side.encrypting),
                decrypts: rate(side.decrypting),
            }
        })
    }
}

impl Side {
    fn decrypt(&mut self, ciphertext: &[u8], sector: u64) -> Option<()> {
        self.buffer.resize(ciphertext.len(), 0);
        let begin = Instant::now();
        convert(&self.converter, Direction::Decrypt, ciphertext, &mut self.buffer, sector)?;
        self.decrypting += begin.elapsed();
        self.digest.update(&self.buffer[..]);
        Some(())
    }

    fn encrypt(&mut self, ciphertext: &mut [u8], sector: u64) -> Option<()> {
        let begin = Instant::now();
        convert(&self.converter, Direction::Encrypt, &self.buffer, ciphertext, sector)?;
        self.encrypting += begin.elapsed();
        Some(())
    }
}

fn convert(
    converter: &Converter,
    direction: Direction,
    from: &[u8],
    to: &mut [u8],
    sector: u64,
) -> Option<()> {
    let (src, mut dst) = ([Span::new(from)], [SpanMut::new(to)]);
    converter.convert(direction, SpanIter::new(&src), SpanIterMut::new(&mut dst), sector).ok()
}

fn first_difference(one: &[u8], other: &[u8]) -> Option<u64> {
    if one == other {
        return None;
    }
    one.iter().zip(other).position(|(one, other)| one != other).map(|at| at as u64)
}
