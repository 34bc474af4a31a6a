//! The hashes of essiv and of LUKS headers, by the kernel's crypto API names and by cryptsetup's.

use hmac::{Hmac, SimpleHmac};
use sha2::Digest;
use zeroize::{Zeroize, Zeroizing};

/// A hash function.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Hash {
    /// MD5, RFC 1321.
    Md5,
    /// SHA-1, FIPS 180-4.
    Sha1,
    /// SHA-224, FIPS 180-4.
    Sha224,
    /// SHA-256, FIPS 180-4.
    Sha256,
    /// SHA-384, FIPS 180-4.
    Sha384,
    /// SHA-512, FIPS 180-4.
    Sha512,
    /// RIPEMD-160, ISO/IEC 10118-3.
    #[cfg(feature = "rare-ciphers")]
    Ripemd160,
    /// Whirlpool, ISO/IEC 10118-3.
    #[cfg(feature = "rare-ciphers")]
    Whirlpool,
    /// Whirlpool cut to 32 bytes, the kernel's `wp256`.
    #[cfg(feature = "rare-ciphers")]
    Whirlpool256,
    /// SHA3-224, FIPS 202.
    Sha3_224,
    /// SHA3-256, FIPS 202.
    Sha3_256,
    /// SHA3-384, FIPS 202.
    Sha3_384,
    /// SHA3-512, FIPS 202.
    Sha3_512,
    /// `BLAKE2b` with 32 bytes of output, RFC 7693.
    Blake2b256,
    /// `BLAKE2b` with 64 bytes of output, RFC 7693.
    Blake2b512,
    /// `BLAKE2s` with 32 bytes of output, RFC 7693.
    Blake2s256,
}

/// The longest digest, in bytes.
pub const MAX_DIGEST: usize = 64;

/// Evaluates the expression for the type of a hash.
macro_rules! of_type {
    ($hash:expr, $D:ident => $use:expr) => {
        of_type!($hash, $D => $use, $D => $use)
    };
    // Those of the second list have no block-level interface, or work on their last block late.
    ($hash:expr, $D:ident => $eager:expr, $L:ident => $lazy:expr) => {
        match $hash {
            Hash::Md5 => { type $D = md5::Md5; $eager }
            Hash::Sha1 => { type $D = sha1::Sha1; $eager }
            Hash::Sha224 => { type $D = sha2::Sha224; $eager }
            Hash::Sha256 => { type $D = sha2::Sha256; $eager }
            Hash::Sha384 => { type $D = sha2::Sha384; $eager }
            Hash::Sha512 => { type $D = sha2::Sha512; $eager }
            #[cfg(feature = "rare-ciphers")]
            Hash::Ripemd160 => { type $D = ripemd::Ripemd160; $eager }
            #[cfg(feature = "rare-ciphers")]
            Hash::Whirlpool | Hash::Whirlpool256 => { type $D = whirlpool::Whirlpool; $eager }
            Hash::Sha3_224 => { type $L = sha3::Sha3_224; $lazy }
            Hash::Sha3_256 => { type $L = sha3::Sha3_256; $lazy }
            Hash::Sha3_384 => { type $L = sha3::Sha3_384; $lazy }
            Hash::Sha3_512 => { type $L = sha3::Sha3_512; $lazy }
            Hash::Blake2b256 => { type $L = blake2::Blake2b256; $lazy }
            Hash::Blake2b512 => { type $L = blake2::Blake2b512; $lazy }
            Hash::Blake2s256 => { type $L = blake2::Blake2s256; $lazy }
        }
    };
}

impl Hash {
    /// Every hash that this build has: ripemd160 and whirlpool need the feature `rare-ciphers`.
    pub const ALL: &'static [Self] = &[
        Self::Md5,
        Self::Sha1,
        Self::Sha224,
        Self::Sha256,
        Self::Sha384,
        Self::Sha512,
        #[cfg(feature = "rare-ciphers")]
        Self::Ripemd160,
        #[cfg(feature = "rare-ciphers")]
        Self::Whirlpool,
        Self::Sha3_224,
        Self::Sha3_256,
        Self::Sha3_384,
        Self::Sha3_512,
        Self::Blake2b256,
        Self::Blake2b512,
        Self::Blake2s256,
        #[cfg(feature = "rare-ciphers")]
        Self::Whirlpool256,
    ];

    /// The hashes of LUKS headers: all that cryptsetup has a name for.
    pub const LUKS: &'static [Self] =
        if cfg!(feature = "rare-ciphers") { Self::ALL.split_last().unwrap().1 } else { Self::ALL };

    /// The crypto API's names of those that this build does not have.
    pub(crate) const NOT_BUILT: &'static [&'static str] =
        if cfg!(feature = "rare-ciphers") { &[] } else { &["rmd160", "wp512", "wp256"] };

    /// cryptsetup's names of them.
    pub(crate) const NOT_BUILT_LUKS: &'static [&'static str] =
        if cfg!(feature = "rare-ciphers") { &[] } else { &["ripemd160", "whirlpool"] };

    /// The hash of the crypto API's name `name`, as essiv has it. Case counts, as in the kernel.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|hash| hash.name() == name)
    }

    /// The crypto API's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha224 => "sha224",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
            #[cfg(feature = "rare-ciphers")]
            Self::Ripemd160 => "rmd160",
            #[cfg(feature = "rare-ciphers")]
            Self::Whirlpool => "wp512",
            #[cfg(feature = "rare-ciphers")]
            Self::Whirlpool256 => "wp256",
            Self::Sha3_224 => "sha3-224",
            Self::Sha3_256 => "sha3-256",
            Self::Sha3_384 => "sha3-384",
            Self::Sha3_512 => "sha3-512",
            Self::Blake2b256 => "blake2b-256",
            Self::Blake2b512 => "blake2b-512",
            Self::Blake2s256 => "blake2s-256",
        }
    }

    /// cryptsetup's name. `Whirlpool256` has none, and is not among [`LUKS`](Self::LUKS): here it is the crypto API's.
    pub const fn luks_name(self) -> &'static str {
        match self {
            #[cfg(feature = "rare-ciphers")]
            Self::Ripemd160 => "ripemd160",
            #[cfg(feature = "rare-ciphers")]
            Self::Whirlpool => "whirlpool",
            other => other.name(),
        }
    }

    /// The length of a digest in bytes.
    pub fn digest_size(self) -> usize {
        match self {
            #[cfg(feature = "rare-ciphers")]
            Self::Whirlpool256 => 32,
            _ => of_type!(self, D => D::output_size()),
        }
    }

    /// The digest of `data`. It may become a key, so it is wiped when it is dropped, as is the hash's inner state.
    pub fn digest(self, data: &[u8]) -> Zeroizing<Vec<u8>> {
        let mut digest = Zeroizing::new(vec![0; self.digest_size()]);
        self.digest_into(&[data], &mut digest);
        digest
    }

    /// Writes the digest of `parts`, one after another, into the beginning of `out`; as much of it as fits.
    pub fn digest_into(self, parts: &[&[u8]], out: &mut [u8]) {
        let size = self.digest_size();
        of_type!(self, D => {
            let mut state = D::new();
            for part in parts {
                state.update(part);
            }
            let mut digest = state.finalize();
            let len = out.len().min(size);
            out[..len].copy_from_slice(&digest[..len]);
            digest.as_mut_slice().zeroize();
        });
    }

    /// Fills `out` by PBKDF2 with this hash's HMAC (RFC 8018, section 5.2).
    ///
    /// # Panics
    /// Where `iterations` is 0, or the hash is not one of [`LUKS`](Self::LUKS): `Whirlpool256` has no HMAC of its own.
    pub fn pbkdf2(self, passphrase: &[u8], salt: &[u8], iterations: u32, out: &mut [u8]) {
        assert!(iterations > 0 && Self::LUKS.contains(&self), "PBKDF2 iterates a hash of LUKS at least once");
        let result = of_type!(self,
            D => pbkdf2::pbkdf2::<Hmac<D>>(passphrase, salt, iterations, out),
            L => pbkdf2::pbkdf2::<SimpleHmac<L>>(passphrase, salt, iterations, out)
        );
        result.expect("HMAC takes a key of any length");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PBKDF2 of "password" and "salt", 2 iterations, 20 bytes. Oracle: RFC 8018's formula over the hashes
    /// of Python's hashlib and, for whirlpool, of OpenSSL; for sha256 hashlib's own function agrees.
    #[test]
    fn pbkdf2_is_that_of_the_formula() {
        for (name, want) in PBKDF2 {
            let mut out = [0; 20];
            let hash = Hash::from_luks_name(name).unwrap();
            hash.pbkdf2(b"password", b"salt", 2, &mut out);
            assert_eq!(base16ct::lower::encode_string(&out), want, "{name}");
        }
    }

    const PBKDF2: [(&str, &str); 15] = [
        ("md5", "042407b552be345ad6eee2cf2f7ed01dd9662d8f"),
        ("sha1", "ea6c014dc72d6f8ccd1ed92ace1d41f0d8de8957"),
        ("sha224", "93200ffa96c5776d38fa10abdf8f5bfc0054b971"),
        ("sha256", "ae4d0c95af6b46d32d0adff928f06dd02a303f8e"),
        ("sha384", "54f775c6d790f21930459162fc535dbf04a93918"),
        ("sha512", "e1d9c16aa681708a45f5c7c4e215ceb66e011a2e"),
        ("ripemd160", "768dcc27b7bfdef794a1ff9d935090fcf598555e"),
        ("whirlpool", "110b2e4266f03c334f6085bf421a68d6976a2f76"),
        ("sha3-224", "7979d7e05025f5b056e995939694ad55c644f43f"),
        ("sha3-256", "4c915baedd1773383e77fcfe38114ca7514010ad"),
        ("sha3-384", "0a163df94a9e97f05fb5bf609c4b02854299dc46"),
        ("sha3-512", "d6824ab17801706ad465f3196eb80dde20378696"),
        ("blake2b-256", "9d630dc2d5d64832875dca5a34d702f966c22e72"),
        ("blake2b-512", "40b77cc2ee4b4c44eeb5babc299be14af5670e39"),
        ("blake2s-256", "7b88e65e6e95a118bc995f681a391cbd7b46e0cf"),
    ];

    /// The digest of "abc" in two parts, its first 16 bytes. Oracles: Python's hashlib, and OpenSSL for whirlpool, of which
    /// wp256 is the first half; RFC 1321 A.5, FIPS 180-4 and FIPS 202 have some of them.
    #[test]
    fn digests_are_those_of_others() {
        for (name, want) in DIGESTS {
            let hash = Hash::from_luks_name(&name.to_uppercase()).unwrap();
            let mut out = [0; MAX_DIGEST];
            hash.digest_into(&[b"a", b"bc"], &mut out);
            assert_eq!(base16ct::lower::encode_string(&out[..16]), want, "{name}");
            assert_eq!(hash.digest(b"abc")[..], out[..hash.digest_size()]);
            let mut short = [0; 5];
            hash.digest_into(&[b"abc"], &mut short);
            assert_eq!(short, out[..5]);
        }
        assert_eq!(Hash::Whirlpool256.digest(b"abc")[..], Hash::Whirlpool.digest(b"abc")[..32]);
    }

    /// Oracles: the kernel's `crypto/rmd160.c` and `crypto/wp512.c`, and cryptsetup's `lib/crypto_backend`.
    #[test]
    fn a_hash_has_the_name_of_whoever_asks() {
        for &hash in Hash::ALL {
            assert_eq!(Hash::from_name(hash.name()), Some(hash));
        }
        for &hash in Hash::LUKS {
            assert_eq!(Hash::from_luks_name(hash.luks_name()), Ok(hash));
        }
        assert_eq!((Hash::Ripemd160.name(), Hash::Ripemd160.luks_name()), ("rmd160", "ripemd160"));
        // The twins: names of the other side, of nobody, and in other letters.
        for name in ["ripemd160", "whirlpool", "SHA256", "md4", ""] {
            assert_eq!(Hash::from_name(name), None, "{name}");
        }
        for name in ["rmd160", "wp256", "wp512", "md4", ""] {
            assert!(Hash::from_luks_name(name).is_err(), "{name}");
        }
    }

    const DIGESTS: [(&str, &str); 15] = [
        ("md5", "900150983cd24fb0d6963f7d28e17f72"),
        ("sha1", "a9993e364706816aba3e25717850c26c"),
        ("sha224", "23097d223405d8228642a477bda255b3"),
        ("sha256", "ba7816bf8f01cfea414140de5dae2223"),
        ("sha384", "cb00753f45a35e8bb5a03d699ac65007"),
        ("sha512", "ddaf35a193617abacc417349ae204131"),
        ("ripemd160", "8eb208f7e05d987a9b044a8e98c6b087"),
        ("whirlpool", "4e2448a4c6f486bb16b6562c73b4020b"),
        ("sha3-224", "e642824c3f8cf24ad09234ee7d3c766f"),
        ("sha3-256", "3a985da74fe225b2045c172d6bd390bd"),
        ("sha3-384", "ec01498288516fc926459f58e2c6ad8d"),
        ("sha3-512", "b751850b1a57168a5693cd924b6b096e"),
        ("blake2b-256", "bddd813c634239723171ef3fee98579b"),
        ("blake2b-512", "ba80a53f981c4d0d6a2797b69f12f6e9"),
        ("blake2s-256", "508c5e8c327c14e2e1a72ba34eeb452f"),
    ];
}
