//! LUKS headers: whatever the bytes are, reading them and trying a passphrase ends with a volume or with an error that can
//! be shown, within limits. The checksums of LUKS2 are set right first, or no change would come past them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use udm_luks::hash::Hash;
use udm_luks::{Limits, Place, UnlockOptions, Volume};

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
    for place in [Place::Attached, Place::Detached] {
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

/// Makes the checksum of the copy at `at` one of SHA-256 that is right, where the copy has a size.
fn set_checksum(image: &mut [u8], at: usize) {
    let Some(size) = image.get(at + 8..at + 16) else { return };
    let size = u64::from_be_bytes(size.try_into().expect("8 bytes"));
    let end = usize::try_from(size).ok().and_then(|size| at.checked_add(size));
    let Some(copy) = end.and_then(|end| image.get_mut(at..end)).filter(|copy| copy.len() >= 4096) else {
        return;
    };
    copy[72..80].copy_from_slice(b"sha256\0\0");
    copy[448..512].fill(0);
    let mut sum = [0; 32];
    Hash::Sha256.digest(&[copy], &mut sum);
    copy[448..480].copy_from_slice(&sum);
}
