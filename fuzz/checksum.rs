//! Checksums that are right, so that a fuzzer gets behind them.

use udm_luks::Hash;

/// Makes the checksum of the copy at `at` one of SHA-256 that is right, where the copy has a size.
pub fn set_checksum(image: &mut [u8], at: usize) {
    let Some(size) = image.get(at + 8..at + 16) else { return };
    let size = u64::from_be_bytes(size.try_into().expect("8 bytes"));
    let end = usize::try_from(size).ok().and_then(|size| at.checked_add(size));
    let Some(copy) = end.and_then(|end| image.get_mut(at..end)).filter(|copy| copy.len() >= 4096) else {
        return;
    };
    copy[72..80].copy_from_slice(b"sha256\0\0");
    copy[448..512].fill(0);
    let mut sum = [0; 32];
    Hash::Sha256.digest_into(&[copy], &mut sum);
    copy[448..480].copy_from_slice(&sum);
}
