//! A target with a planted fault, which shows that the fuzzer sees coverage.
//!
//! The fault needs four bytes to be right one after the other. Blind guessing finds it once in 2^32 tries; a fuzzer
//! that is told about each new branch finds it within seconds. `cargo xtask fuzz` runs this first and expects the
//! fault to be found: without it, a build that lost its instrumentation would pass every other target.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if data.first() == Some(&b'u')
        && data.get(1) == Some(&b'd')
        && data.get(2) == Some(&b'm')
        && data.get(3) == Some(&b'!')
    {
        panic!("the planted fault was found");
    }
});
