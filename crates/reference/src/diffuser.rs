//! The diffuser of `BitLocker`, from Niels Ferguson's "AES-CBC + Elephant diffuser" (2006), 4.4 and 4.5: there, both
//! functions are defined for decryption.

/// Diffuses a sector before it is encrypted, or takes it back when it is decrypted.
pub fn diffuse(encrypt: bool, data: &mut [u8]) {
    let mut d: Vec<u32> = data.chunks(4).map(|word| u32::from_le_bytes(word.try_into().unwrap())).collect();
    let n = d.len();
    // Diffuser B comes first in decryption, with indices ahead; then A, with indices behind.
    let b = |d: &[u32], i: usize| d[(i + 2) % n] ^ d[(i + 5) % n].rotate_left([0, 10, 0, 25][i % 4]);
    let a = |d: &[u32], i: usize| d[(i + n - 2) % n] ^ d[(i + n - 5) % n].rotate_left([9, 0, 13, 0][i % 4]);
    if encrypt {
        for i in (0..5 * n).rev().map(|i| i % n) {
            d[i] = d[i].wrapping_sub(a(&d, i));
        }
        for i in (0..3 * n).rev().map(|i| i % n) {
            d[i] = d[i].wrapping_sub(b(&d, i));
        }
    } else {
        for i in (0..3 * n).map(|i| i % n) {
            d[i] = d[i].wrapping_add(b(&d, i));
        }
        for i in (0..5 * n).map(|i| i % n) {
            d[i] = d[i].wrapping_add(a(&d, i));
        }
    }
    for (bytes, word) in data.chunks_mut(4).zip(d) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
}
