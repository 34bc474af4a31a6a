//! `udm bench`: what encryption costs on this machine, beside its bound and what others do.
//!
//! * `race`: ways to do the same work, timed in turns.
//! * `chart`: what was measured, as a table, as JSON and as a picture.
//! * `cipher`, `stack`, `scale`, `export`: what is measured; `sender`: a client of a device; `openssl` and `server`: what
//!   is measured besides.
//! * `machine`: where it was measured.

pub(crate) mod chart;
pub(crate) mod cipher;
pub(crate) mod export;
pub(crate) mod machine;
mod memory;
mod openssl;
mod plot;
mod processor;
mod race;
pub(crate) mod scale;
mod sender;
pub(crate) mod server;
pub(crate) mod stack;
mod table;

use udm_block::Op;
use udm_crypto::{CipherSpec, Direction};
use zeroize::Zeroizing;

pub(crate) use race::{Clock, Effort};

/// What is measured.
#[derive(Clone, Debug)]
pub struct Subject {
    /// A cipher as a table has it.
    pub cipher: String,
    /// The size of the key in bits; the longest where it is not said.
    pub key_size: Option<usize>,
    /// The size of an encryption sector in bytes.
    pub sector_size: usize,
    /// Which way.
    pub direction: Direction,
    /// Whether the results go where the data are.
    pub in_place: bool,
    /// How many bytes a cipher gets at once.
    pub run: usize,
    /// A cipher driver; the best where it is not said.
    pub driver: Option<String>,
    /// Whether OpenSSL's own program is a peer.
    pub openssl: bool,
    /// The one size of units and bios that is of interest, in bytes; all where it is not said.
    pub size: Option<usize>,
}

impl Subject {
    /// The table of a volume of `sectors` sectors on `device`.
    fn table(&self, sectors: u64, device: &str) -> Result<Zeroizing<String>, BenchError> {
        let Self { cipher, sector_size, .. } = self;
        let algorithm = CipherSpec::parse(cipher).map_err(BenchError::of)?.algorithm;
        let key = Zeroizing::new(base16ct::lower::encode_string(&self.key(algorithm)?));
        let options =
            if *sector_size == 512 { String::new() } else { format!(" 1 sector_size:{sector_size}") };
        Ok(Zeroizing::new(format!("0 {sectors} crypt {cipher} {} 0 {device} 0{options}", *key)))
    }

    /// What is done to a device.
    fn op(&self) -> Op {
        if self.direction == Direction::Encrypt { Op::Write } else { Op::Read }
    }

    /// Those of `sizes` that are of interest.
    fn sizes(&self, sizes: &'static [usize]) -> impl Iterator<Item = usize> {
        sizes.iter().copied().filter(|size| self.size.is_none_or(|only| only == *size))
    }

    /// What is done.
    fn verb(&self) -> &'static str {
        match self.direction {
            Direction::Encrypt => "encryption",
            Direction::Decrypt => "decryption",
        }
    }
}

/// What went wrong while something was measured, for people.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BenchError(pub String);

impl BenchError {
    /// Anything that can be said.
    pub(crate) fn of(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}
