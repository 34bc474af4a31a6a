//! The anti-forensic splitter (LUKS1 On-Disk Format Specification, section 2.4): a key is spread over many stripes, all
//! of which are needed to get it back, so that a key slot is gone when any piece of it is overwritten.

use zeroize::Zeroize;

use crate::secret::{NoMemory, Secret};
use udm_crypto::Hash;
use udm_crypto::hash::MAX_DIGEST;

/// Puts the key of `size` bytes back together that `material` is the stripes of.
///
/// # Errors
/// When there is no memory.
///
/// # Panics
/// Where `material` is not a positive number of whole stripes.
pub fn merge(hash: Hash, material: &[u8], size: usize) -> Result<Secret, NoMemory> {
    assert!(!material.is_empty() && material.len().is_multiple_of(size), "the stripes are not whole");
    let mut key = Secret::zeroed(size)?;
    let mut stripes = material.chunks_exact(size).peekable();
    while let Some(stripe) = stripes.next() {
        xor(&mut key, stripe);
        if stripes.peek().is_some() {
            diffuse(hash, &mut key);
        }
    }
    Ok(key)
}

/// Splits `key` into the stripes that fill `material`. All of them but the last are what `random` fills in.
///
/// # Errors
/// When there is no memory, or no randomness.
///
/// # Panics
/// Where `material` is not a positive number of whole stripes.
pub fn split<E: From<NoMemory>>(
    hash: Hash,
    key: &[u8],
    material: &mut [u8],
    random: impl FnOnce(&mut [u8]) -> Result<(), E>,
) -> Result<(), E> {
    assert!(!material.is_empty() && material.len().is_multiple_of(key.len()), "the stripes are not whole");
    let (noise, last) = material.split_at_mut(material.len() - key.len());
    random(noise)?;
    let mut state = Secret::zeroed(key.len())?;
    for stripe in noise.chunks_exact(key.len()) {
        xor(&mut state, stripe);
        diffuse(hash, &mut state);
    }
    last.copy_from_slice(key);
    xor(last, &state);
    Ok(())
}

fn xor(to: &mut [u8], from: &[u8]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to ^= from);
}

/// Hashes each piece of `block` that is as long as a digest, with its number, big-endian, before it. The last piece may
/// be shorter.
fn diffuse(hash: Hash, block: &mut [u8]) {
    let mut digest = [0; MAX_DIGEST];
    for (number, piece) in block.chunks_mut(hash.digest_size()).enumerate() {
        hash.digest_into(&[&(number as u32).to_be_bytes(), piece], &mut digest);
        piece.copy_from_slice(&digest[..piece.len()]);
    }
    digest.zeroize();
}

#[cfg(test)]
mod tests {
    use super::*;
    use udm_block::memory::splitmix64;

    /// Oracle: the inverse. That stripes are those of cryptsetup is shown by every image that opens.
    #[test]
    fn what_is_split_merges_again_and_one_changed_bit_is_another_key() {
        for &hash in Hash::LUKS {
            for size in [16, 20, 32, 33, 64, 100] {
                let mut seed = size as u64;
                let key: Vec<u8> = (0..size).map(|_| splitmix64(&mut seed) as u8).collect();
                let mut material = vec![0; size * 7];
                let random = |noise: &mut [u8]| {
                    noise.fill_with(|| splitmix64(&mut seed) as u8);
                    Ok::<_, NoMemory>(())
                };
                split(hash, &key, &mut material, random).unwrap();
                assert_eq!(merge(hash, &material, size).unwrap()[..], key[..], "{} {size}", hash.luks_name());
                for at in [0, size, material.len() - 1] {
                    material[at] ^= 1;
                    assert_ne!(
                        merge(hash, &material, size).unwrap()[..],
                        key[..],
                        "{} {size}",
                        hash.luks_name()
                    );
                    material[at] ^= 1;
                }
            }
        }
    }
}
