//! The hashes that make an ESSIV key, by the kernel's crypto API names.

use sha2::Digest;
use zeroize::Zeroizing;

/// A hash function.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum HashAlgorithm {
    /// MD5, RFC 1321.
    Md5,
    /// SHA-256, FIPS 180-4.
    Sha256,
    /// SHA3-256, FIPS 202.
    Sha3_256,
    /// `BLAKE2b` with 32 bytes of output, RFC 7693.
    Blake2b256,
    /// Whirlpool cut to 32 bytes (the kernel's `wp256`), ISO/IEC 10118-3.
    Whirlpool256,
}

impl HashAlgorithm {
    /// Every hash.
    pub const ALL: [Self; 5] =
        [Self::Md5, Self::Sha256, Self::Sha3_256, Self::Blake2b256, Self::Whirlpool256];

    /// The hash of the crypto API's name `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|hash| hash.name() == name)
    }

    /// The crypto API's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha256 => "sha256",
            Self::Sha3_256 => "sha3-256",
            Self::Blake2b256 => "blake2b-256",
            Self::Whirlpool256 => "wp256",
        }
    }

    /// The length of a digest in bytes.
    pub const fn digest_size(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha256 | Self::Sha3_256 | Self::Blake2b256 | Self::Whirlpool256 => 32,
        }
    }

    /// The digest of `data`, of [`digest_size`](Self::digest_size) bytes. It may become a key, so it is wiped when it
    /// is dropped, as is the hash's inner state.
    pub fn digest(self, data: &[u8]) -> Zeroizing<Vec<u8>> {
        /// Cuts to `size` bytes, and wipes the digest that it cuts from.
        fn of<D: Digest>(data: &[u8], size: usize) -> Zeroizing<Vec<u8>> {
            let mut digest = D::digest(data);
            let cut = Zeroizing::new(digest[..size].to_vec());
            zeroize::Zeroize::zeroize(digest.as_mut_slice());
            cut
        }
        let size = self.digest_size();
        match self {
            Self::Md5 => of::<md5::Md5>(data, size),
            Self::Sha256 => of::<sha2::Sha256>(data, size),
            Self::Sha3_256 => of::<sha3::Sha3_256>(data, size),
            Self::Blake2b256 => of::<blake2::Blake2b256>(data, size),
            Self::Whirlpool256 => of::<whirlpool::Whirlpool>(data, size),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Digests of "abc". Oracles: RFC 1321 A.5; FIPS 180-4 and FIPS 202 example values; the reference `b2sum -l 256`;
    /// the test vectors of ISO/IEC 10118-3 for Whirlpool, of which wp256 is the first half.
    #[test]
    fn digests_are_the_published_ones() {
        let published = [
            (HashAlgorithm::Md5, "900150983cd24fb0d6963f7d28e17f72"),
            (HashAlgorithm::Sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (HashAlgorithm::Sha3_256, "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532"),
            (HashAlgorithm::Blake2b256, "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319"),
            (HashAlgorithm::Whirlpool256, "4e2448a4c6f486bb16b6562c73b4020bf3043e3a731bce721ae1b303d97e6d4c"),
        ];
        for (hash, hex) in published {
            let digest = hash.digest(b"abc");
            let bytes = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
            let published: Vec<u8> = bytes.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect();
            assert_eq!(published.len(), hash.digest_size());
            assert_eq!(*digest, published, "{}", hash.name());
        }
    }
}
