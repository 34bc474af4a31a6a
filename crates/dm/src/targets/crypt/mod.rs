//! The crypt target: encrypts what is written and decrypts what is read, a whole bio at once (the kernel's
//! `dm-crypt.c`).
//!
//! A write takes pages, encrypts the client's data into them, and sends a clone with these pages down. A read sends a
//! clone down that borrows the client's memory, and decrypts it in place on its way back.
//!
//! * `channel`: one queue's way into the target, and what it owns there.
//! * `crypt_io`: the stages of a clone, each begun by the end of the one before.
//! * `convert`: the sectors of a bio, given to a cipher on the same thread; `by_key`, where a volume has several keys.
//! * `explain`: what was decided when the key was set.
//! * `params`: what a row says; `target_type`: how a target is made of it.
//! * `offload`: the same for an asynchronous driver, which may want memory that there is none of.

mod by_key;
mod channel;
mod convert;
mod crypt_io;
mod explain;
mod iv;
mod offload;
pub mod params;
mod target_type;

#[cfg(test)]
mod tests;

pub use convert::Converter;
pub use explain::{Decision, explain};
pub use offload::OptionalMemory;
pub use target_type::CryptType;
pub(crate) use target_type::converter;

use std::sync::Arc;

use udm_block::memory::Source;
use udm_block::mempool::NoReserve;
use udm_block::{
    BioSet, BioSetOptions, Bytes, Channel, DeviceRef, Geometry, Op, OpenError, Opening, PagePool,
    PagePoolOptions, Sector, Sectors,
};
use udm_crypto::registry::{Choice, Registry};
use udm_crypto::{Algorithm, Direction, KeyError, Skcipher};

use super::{Reserves, Target};
use channel::CryptChannel;
use crypt_io::CryptIo;
use offload::Offload;
use params::CryptSpec;

/// The longest read or write in bytes that is one clone: what a core's second-level cache holds twice (the kernel's
/// `max_read_size` and `max_write_size` are half of it). Longer bios are split, and their parts overlap in time.
pub const LONGEST: usize = 256 << 10;

/// How much of that a queue may keep for itself, in buffers of one size, in bytes.
const STOCK: usize = 2 << 20;

/// The most memory that one crypt target takes for the data of writes, in bytes: the buffers that it always has
/// ([`Reserves`]) are a part of it.
pub const MEMORY: usize = 13 << 20;

/// How sectors are given to the cipher.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Requests {
    /// All sectors of a bio in one request.
    #[default]
    WholeBio,
    /// A request for each sector, as the kernel does: the fallback, and what the other is held against.
    PerSector,
}

/// Which cipher driver a volume uses, and how.
///
/// New fields come with a new major version only.
#[derive(Clone, Debug, Default)]
pub struct CipherChoice {
    /// A driver's name; the best one when there is none.
    pub driver: Option<String>,
    /// How sectors are given to it.
    pub requests: Requests,
}

impl CipherChoice {
    /// Sets a key.
    fn key(&self, algorithm: Algorithm, key: &[u8]) -> Result<Skcipher, KeyError> {
        let choice = self.driver.as_deref().map_or(Choice::Best, Choice::Named);
        Skcipher::new(Registry::global(), choice, algorithm, key)
    }
}

/// A range of another device, encrypted.
pub struct Crypt(Arc<Volume>);

/// What all queues share: the keys, the pools, and the device below. The keys are wiped when the target and all channels
/// are gone.
struct Volume {
    converter: Converter,
    lower: DeviceRef,
    start: Sector,
    allow_discards: bool,
    clones: BioSet<CryptIo>,
    pages: PagePool,
    /// Where the cipher driver is asynchronous.
    offload: Option<Offload>,
}

impl std::fmt::Debug for Crypt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Crypt")
            .field("converter", &self.0.converter)
            .field("start", &self.0.start)
            .field("allow_discards", &self.0.allow_discards)
            .finish_non_exhaustive()
    }
}

impl Crypt {
    /// The target that `spec` describes on `lower`.
    ///
    /// # Errors
    /// When there is no memory for its reserves.
    pub fn new(
        spec: &CryptSpec,
        converter: Converter,
        lower: DeviceRef,
        source: &Source,
        reserves: Reserves,
    ) -> Result<Self, NoReserve> {
        let clones = BioSetOptions { reserve: reserves.bios, ..BioSetOptions::named("crypt clones") };
        let pages = PagePoolOptions {
            name: "crypt pages",
            largest: LONGEST,
            reserve: reserves.buffers,
            limit: MEMORY.saturating_sub(reserves.buffers * LONGEST),
            stock: STOCK,
        };
        let offload = Offload::of(&converter, &spec.options, source)?;
        Ok(Self(Arc::new(Volume {
            converter,
            lower,
            start: spec.device.start,
            allow_discards: spec.options.allow_discards,
            clones: BioSet::new(&clones, source)?,
            pages: PagePool::new(pages, source)?,
            offload,
        })))
    }
}

impl Volume {
    /// What there is for sectors that go this way, where the cipher driver is asynchronous.
    fn offload(&self, direction: Direction) -> Option<&Offload> {
        self.offload.as_ref().filter(|offload| offload.takes(direction))
    }

    /// The place on the lower device of a sector of the target.
    fn below(&self, sector: Sector) -> Sector {
        self.start + Sectors(sector.0)
    }
}

impl Target for Crypt {
    fn geometry(&self) -> Geometry {
        let lower = self.0.lower.geometry();
        Geometry {
            logical_block: lower.logical_block.max(self.0.converter.unit_size() as u32),
            discard: lower.discard && self.0.allow_discards,
            write_zeroes: false,
            ..lower
        }
    }

    fn open(&self, opening: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        // Round keys are spilt there by a cipher at work.
        opening.leaves_secrets();
        Ok(Box::new(CryptChannel::open(&self.0, opening)?))
    }

    fn longest(&self, op: Op) -> Bytes {
        Bytes(if op.has_data() { LONGEST as u64 } else { u64::MAX })
    }

    fn has_cache(&self) -> bool {
        true
    }
}
