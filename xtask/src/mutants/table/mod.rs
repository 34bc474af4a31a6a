//! The faults that are planted, each with the test that must find it. A new one is a row; for another crate, with
//! [`Build::Tests`](super::Build::Tests).

mod backend;
mod block;
mod crypto;
mod dm;
mod export;
mod luks;
mod queues;

use super::Mutant;

/// Every mutant.
pub fn all() -> impl Iterator<Item = &'static Mutant> {
    [backend::ALL, block::ALL, crypto::ALL, dm::ALL, export::ALL, luks::ALL, queues::ALL]
        .into_iter()
        .flatten()
}
