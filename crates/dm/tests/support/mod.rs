//! What the tests of the data path share: media in memory, a client that cuts its buffers anywhere, and loading.
#![allow(dead_code, reason = "each test program uses a part of it")]

pub mod client;
pub mod cut;
pub mod disk;

use std::sync::Arc;

use udm_block::memory::{Heap, Source};
use udm_block::{Device, DeviceRef};
use udm_crypto::{Algorithm, Registry, Standing};
use udm_dm::load::{LoadError, Lookup, load};
use udm_dm::table::Table;
use udm_dm::targets::crypt::{CipherChoice, Requests};

pub use udm_block::memory::splitmix64;
#[allow(unused_imports, reason = "each test program uses a part of it")]
pub use udm_reference::hex;

/// Both ways in which sectors are given to the cipher.
pub const BOTH: [Requests; 2] = [Requests::WholeBio, Requests::PerSector];

/// The devices that a table can name.
pub struct Shelf<'a>(pub &'a [(&'a str, DeviceRef)]);

impl Lookup for Shelf<'_> {
    fn device(&self, name: &str, _block_size: u32) -> Result<DeviceRef, udm_dm::load::LookupError> {
        let found = self.0.iter().find(|(other, _)| *other == name);
        found.map(|(_, device)| DeviceRef::clone(device)).ok_or(udm_dm::load::LookupError::NotFound)
    }
}

/// The process's heap.
pub fn heap() -> Source {
    Arc::new(Heap)
}

/// The device of a table that is right, over `disk`, which it names `disk`.
pub fn map(table: &str, disk: &Arc<impl Device + 'static>) -> DeviceRef {
    let disk = Arc::clone(disk) as DeviceRef;
    try_map(table, &[("disk", disk)], &CipherChoice::default()).unwrap_or_else(|error| panic!("{error}"))
}

/// The device of a table, over the devices that it names.
///
/// # Errors
/// What `load` says.
pub fn try_map(
    table: &str,
    devices: &[(&str, DeviceRef)],
    choice: &CipherChoice,
) -> Result<DeviceRef, LoadError> {
    let table = Table::parse(table).unwrap_or_else(|error| panic!("{error}"));
    load(&table, &Shelf(devices), choice, &heap()).map(DeviceRef::from)
}

/// The drivers of `algorithm` that this machine can use.
pub fn drivers(algorithm: Algorithm) -> Vec<&'static str> {
    named(algorithm, |standing| matches!(standing, Standing::First | Standing::Behind(_) | Standing::ByName))
}

/// Those that work on their caller's thread. To a converter, which waits for none, the others are one of these.
pub fn drivers_at_once(algorithm: Algorithm) -> Vec<&'static str> {
    named(algorithm, |standing| matches!(standing, Standing::First | Standing::Behind(_)))
}

fn named(algorithm: Algorithm, used: fn(Standing<'_>) -> bool) -> Vec<&'static str> {
    let lines = Registry::global().list().into_iter();
    let lines = lines.filter(|line| line.algorithm == algorithm && used(line.standing));
    lines.map(|line| line.info.name).collect()
}

/// `len` bytes of the stream that `seed` begins: words of splitmix64, little-endian.
pub fn stream(mut seed: u64, len: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..len.div_ceil(8)).flat_map(|_| splitmix64(&mut seed).to_le_bytes()).collect();
    bytes.truncate(len);
    bytes
}

/// Dice that a seed decides.
pub struct Dice(pub u64);

impl Dice {
    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        splitmix64(&mut self.0) % end
    }

    /// One of `all`.
    pub fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }
}

/// Fails where two buffers differ, with the place of the first difference and not the buffers.
#[track_caller]
pub fn assert_same(got: &[u8], expected: &[u8], what: &dyn std::fmt::Display) {
    assert_eq!(got.len(), expected.len(), "{what}: lengths");
    if got == expected {
        return;
    }
    if let Some(at) = got.iter().zip(expected).position(|(got, expected)| got != expected) {
        panic!("{what}: byte {at} of {} is {:#04x}, not {:#04x}", got.len(), got[at], expected[at]);
    }
}
