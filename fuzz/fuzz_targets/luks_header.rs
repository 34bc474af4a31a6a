//! LUKS headers: whatever the bytes are, reading them and trying a passphrase ends with a volume or with an error that can
//! be shown, within limits. The checksums of LUKS2 are set right first, or no change would come past them.
#![no_main]

#[path = "../checksum.rs"]
mod checksum;

use checksum::set_checksum;
use libfuzzer_sys::fuzz_target;
use udm_luks::{HeaderPlace, Limits, UnlockOptions, Volume};

/// How much an input is filled up to, so that areas are there to be read.
const SIZE: usize = 256 << 10;
/// What an unlocking may cost here: the seeds have 2000 iterations.
const LIMITS: Limits = Limits { memory_kib: 64, iterations: 2000, filled_kib: 128, lanes: 2 };

fuzz_target!(|data: &[u8]| {
    let mut image = data.to_vec();
    image.resize(SIZE.max(data.len()), 0);
    for at in [0, 16 << 10] {
        set_checksum(&mut image, at);
    }
    for place in [HeaderPlace::Attached, HeaderPlace::Detached] {
        match Volume::open(image.clone(), place) {
            Ok(volume) => {
                let options = UnlockOptions { key_slot: None, limits: LIMITS };
                let unlocked = volume.unlock(b"x", &options).map(drop);
                let tested = volume.test_passphrase(b"x", &options).map(drop);
                for error in [unlocked, tested].into_iter().filter_map(Result::err) {
                    assert!(error.to_string().len() < 4000, "{error}");
                }
                let _ = volume.notice();
            }
            Err(error) => assert!(error.to_string().len() < 2000),
        }
    }
});
