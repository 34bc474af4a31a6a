//! The crypt target: encrypts what is written and decrypts what is read, a whole bio at once (the kernel's
//! `dm-crypt.c`).
//!
//! A write takes pages, encrypts the client's data into them, and sends a clone with these pages down. A read sends a
//! clone down that borrows the client's memory, and decrypts it in place on its way back.
//!
//! * `channel`: one queue's way into the target, and what it owns there.
//! * `volume`: what all queues share; `choice`: which cipher driver that uses.
//! * `crypt_io`: what a clone carries; `stages`: its stages, each begun by the end of the one before.
//! * `convert`: the sectors of a bio, given to a cipher on the same thread; `by_key`, where a volume has several keys.
//! * `explain`: what was decided when the key was set.
//! * `params`: what a row says; `target_type`: how a target is made of it.
//! * `offload`: what there is for an asynchronous driver, which may want memory that there is none of; `offload_stages`: the
//!   stages with it; `conversion`: the requests that are with it.

mod by_key;
mod channel;
mod choice;
mod conversion;
mod convert;
mod crypt_io;
mod explain;
mod iv;
mod limits;
mod offload;
mod offload_stages;
pub mod params;
mod stages;
mod target_type;
mod volume;

#[cfg(test)]
mod tests;

pub use choice::{CipherChoice, Requests};
pub use convert::Converter;
pub use explain::{Decision, explain};
pub use limits::LONGEST;
pub use offload::OptionalMemory;
pub use target_type::CryptType;
pub(crate) use target_type::converter;

use std::sync::Arc;

use super::{Reserves, Target};
use channel::CryptChannel;
use offload::Offload;
use params::CryptSpec;
use udm_block::memory::Source;
use udm_block::mempool::NoReserve;
use udm_block::{
    BioSet, BioSetOptions, Bytes, Channel, DeviceRef, Geometry, Op, OpenError, Opening, PagePool,
    PagePoolOptions,
};
use volume::Volume;

/// How much of that a queue may keep for itself, in buffers of one size, in bytes.
const STOCK: usize = 2 << 20;

/// The most memory that one crypt target takes for the data of writes, in bytes: the buffers that it always has
/// ([`Reserves`]) are a part of it.
pub const MEMORY: usize = 13 << 20;

/// A range of another device, encrypted.
pub struct Crypt(Arc<Volume>);

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
    // not on the I/O path: once, when it is made
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

    // not on the I/O path: once a channel
    fn open(&self, opening: &mut Opening<'_>) -> Result<Box<dyn Channel>, OpenError> {
        // Round keys are spilt there by a cipher at work.
        opening.leaves_secrets();
        Ok(Box::new(CryptChannel::open(&self.0, opening)?))
    }

    fn longest(&self, op: Op) -> Bytes {
        Bytes(if op.has_data() { LONGEST as u64 } else { u64::MAX })
    }
}
