//! Drivers for AES of our own, with the processor's instructions: XTS, CBC and ECB, native for many units.
//!
//! There is one for each width of registers (`lanes`), and each mode is written once for all of them. XTS is written once,
//! too, for each way to make its masks (`tweaks`). A request comes in rows of whole units, and where a unit straddles
//! spans, in parts of it (`walk::parts`). Blocks go through the cipher
//! in groups of eight registers (`rounds`), directly from the source to the destination, wherever units are of whole
//! groups; what is not goes by way of the stack. Memory that others may change is reached by address alone.
#![cfg_attr(
    target_arch = "x86_64",
    allow(
        clippy::inline_always,
        reason = "code that is not inlined into a function with the processor's features has none, and is far slower"
    ),
    allow(clippy::unused_self, reason = "the value is the evidence that the machine has the instruction"),
    allow(
        clippy::wildcard_imports,
        reason = "of the processor's intrinsics, whose names say where they are from"
    )
)]

#[cfg(target_arch = "x86_64")]
mod block;
#[cfg(target_arch = "x86_64")]
mod cbc;
#[cfg(target_arch = "x86_64")]
mod ecb;
#[cfg(target_arch = "x86_64")]
mod kernels;
#[cfg(target_arch = "x86_64")]
mod lanes;
#[cfg(target_arch = "x86_64")]
mod rounds;
#[cfg(target_arch = "x86_64")]
mod schedule;
#[cfg(all(test, target_arch = "x86_64"))]
mod tests;
#[cfg(target_arch = "x86_64")]
mod tuning;
#[cfg(target_arch = "x86_64")]
mod tweaks;
#[cfg(target_arch = "x86_64")]
mod xts;

#[cfg(target_arch = "x86_64")]
pub use kernels::drivers;

/// No drivers: there are none for this processor yet.
#[cfg(not(target_arch = "x86_64"))]
pub fn drivers() -> impl Iterator<Item = crate::driver::Driver> {
    std::iter::empty()
}
