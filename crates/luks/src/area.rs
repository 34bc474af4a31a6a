//! The cipher of a key slot's area: dm-crypt's, over sectors of 512 bytes that are numbered from the area's beginning
//! (LUKS1 On-Disk Format Specification, section 2.2).
//!
//! The IV modes are those that need nothing but a number and the key. lmk, tcw and elephant, which change the data, are
//! of no volume that LUKS makes.

use udm_block::{SECTOR_SIZE, Span, SpanIter};
use udm_crypto::{
    Algorithm, Choice, Cipher, Direction, HashAlgorithm, Iv, IvRule, Mode, Registry, Request, Skcipher,
};

/// A cipher with its IV mode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AreaCipher {
    algorithm: Algorithm,
    iv: AreaIv,
}

/// How a sector's number becomes its IV.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum AreaIv {
    Null,
    Plain,
    Plain64,
    Plain64be,
    Benbi,
    Essiv(HashAlgorithm),
}

impl AreaCipher {
    /// Reads `aes-xts-plain64`, `capi:xts(aes)-plain64` and their relatives.
    ///
    /// # Errors
    /// What is wrong with the word, and what would do.
    pub fn parse(word: &str) -> Result<Self, (String, &'static str)> {
        let (name, iv) = if let Some(api) = word.strip_prefix("capi:") {
            let (name, iv) = api.rsplit_once('-').unwrap_or((api, ""));
            (name.to_owned(), iv)
        } else {
            let (cipher, rest) = word.split_once('-').unwrap_or((word, "cbc-plain"));
            let (mode, iv) = match rest.split_once('-') {
                Some(parts) => parts,
                // The form of the first dm-crypt, in which cbc is not said.
                None if rest == "plain" => ("cbc", "plain"),
                None => (rest, ""),
            };
            (format!("{mode}({cipher})"), iv)
        };
        let algorithm: Algorithm = name
            .parse()
            .map_err(|error: udm_crypto::AlgorithmError| (error.to_string(), "aes-xts-plain64 would do"))?;
        if algorithm.cipher == Cipher::CipherNull {
            return Err(("it enciphers nothing".into(), "aes-xts-plain64 would do"));
        }
        Ok(Self { algorithm, iv: Self::iv(algorithm, iv)? })
    }

    fn iv(algorithm: Algorithm, name: &str) -> Result<AreaIv, (String, &'static str)> {
        let would_do = "plain64 would do, or essiv:sha256 in cbc";
        Ok(match name {
            _ if algorithm.mode == Mode::Ecb => AreaIv::Null,
            "null" => AreaIv::Null,
            "plain" => AreaIv::Plain,
            "plain64" => AreaIv::Plain64,
            "plain64be" => AreaIv::Plain64be,
            "benbi" if algorithm.blocks().is_some() => AreaIv::Benbi,
            _ => {
                let hash = name.strip_prefix("essiv:").and_then(HashAlgorithm::from_name);
                let fits = |hash: &HashAlgorithm| {
                    let is_key = algorithm.cipher.key_sizes().contains(&hash.digest_size());
                    is_key && algorithm.blocks().is_some() && algorithm.iv_size() == algorithm.block_size()
                };
                let hash = hash.filter(fits);
                let why = || (format!("the IV mode {name:?} is none of its area's cipher here"), would_do);
                AreaIv::Essiv(hash.ok_or_else(why)?)
            }
        })
    }

    /// Whether it takes keys of `size` bytes.
    pub fn takes_key_size(self, size: usize) -> bool {
        self.algorithm.check_key_size(size).is_ok()
    }

    /// Encrypts or decrypts `sectors`, the first of which has the number 0, in place.
    ///
    /// # Errors
    /// How the key or the cipher fails.
    ///
    /// # Panics
    /// Where they are not whole sectors.
    pub fn crypt(self, direction: Direction, key: &[u8], sectors: &mut [u8]) -> Result<(), String> {
        assert!(sectors.len().is_multiple_of(SECTOR_SIZE), "an area has whole sectors");
        let registry = Registry::global();
        let cipher = Skcipher::new(registry, Choice::Best, self.algorithm, key);
        let cipher = cipher.map_err(|error| error.to_string())?;
        let ivs = match self.iv {
            AreaIv::Essiv(hash) => self.essiv(hash, key, sectors.len() / SECTOR_SIZE)?,
            _ => Vec::new(),
        };
        let run = [Span::new(sectors)];
        let spans = SpanIter::new(&run);
        let request =
            Request { direction, src: spans, dst: spans, unit_size: SECTOR_SIZE, iv: self.rule(&ivs) };
        cipher.crypt(&request).map_err(|error| error.to_string())
    }

    /// How sector *i* gets its IV.
    fn rule(self, ivs: &[Iv]) -> IvRule<'_> {
        let first = Iv::default();
        match self.iv {
            AreaIv::Null => IvRule::Constant(first),
            AreaIv::Plain => IvRule::CounterLe32 { first, stride: 1 },
            AreaIv::Plain64 => IvRule::CounterLe64 { first, stride: 1 },
            AreaIv::Plain64be => IvRule::CounterBe64 { first, stride: 1 },
            AreaIv::Benbi => {
                // The number, from 1, of the block that the sector begins with.
                let stride = (SECTOR_SIZE / self.algorithm.cipher.block_size()) as u64;
                IvRule::CounterBe64 { first: 1u128.to_be_bytes(), stride }
            }
            AreaIv::Essiv(_) => IvRule::Vector(ivs),
        }
    }

    /// The IVs of `count` sectors: their numbers, enciphered under the hash of the key.
    fn essiv(self, hash: HashAlgorithm, key: &[u8], count: usize) -> Result<Vec<Iv>, String> {
        let blocks = self.algorithm.blocks().ok_or("no block cipher")?;
        let cipher = Skcipher::new(Registry::global(), Choice::Best, blocks, &hash.digest(key));
        let cipher = cipher.map_err(|error| error.to_string())?;
        let mut ivs = vec![Iv::default(); count];
        IvRule::CounterLe64 { first: Iv::default(), stride: 1 }.fill(0, &mut ivs);
        let run = [Span::new(ivs.as_flattened_mut())];
        let spans = SpanIter::new(&run);
        let request = Request {
            direction: Direction::Encrypt,
            src: spans,
            dst: spans,
            unit_size: size_of::<Iv>(),
            iv: IvRule::Constant(Iv::default()),
        };
        cipher.crypt(&request).map_err(|error| error.to_string())?;
        Ok(ivs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_that_headers_have_are_read() {
        for (word, key) in [
            ("aes-xts-plain64", 64),
            ("aes-cbc-essiv:sha256", 16),
            ("serpent-cbc-plain", 32),
            ("twofish-ecb", 32),
            ("aes-cbc-benbi", 32),
            ("blowfish-cbc-plain64be", 16),
            ("xchacha12,aes-adiantum-plain64", 32),
            ("capi:xts(aes)-plain64", 64),
            ("aes-plain", 32),
        ] {
            let cipher = AreaCipher::parse(word).unwrap_or_else(|(why, _)| panic!("{word}: {why}"));
            assert!(cipher.takes_key_size(key), "{word}");
            assert!(!cipher.takes_key_size(77), "{word}");
            let (key, plain) = (vec![3; key], vec![5; 1024]);
            let mut area = plain.clone();
            cipher.crypt(Direction::Encrypt, &key, &mut area).unwrap();
            assert_ne!(area, plain, "{word}");
            cipher.crypt(Direction::Decrypt, &key, &mut area).unwrap();
            assert_eq!(area, plain, "{word}");
        }
    }

    #[test]
    fn other_words_are_refused() {
        for word in [
            "",
            "aes",
            "-",
            "aes-xts",
            "aes-xts-lmk",
            "aes-cbc-essiv:",
            "aes-cbc-essiv:md4",
            "chacha20-cbc-plain",
            "cipher_null-ecb",
            "aegis128-random",
            "capi:authenc(hmac(sha256),xts(aes))-plain64",
            "xchacha12,aes-adiantum-essiv:sha256",
            "xchacha12,aes-adiantum-benbi",
        ] {
            // "aes" alone is the first dm-crypt's aes-cbc-plain.
            assert_eq!(AreaCipher::parse(word).is_ok(), word == "aes", "{word}");
        }
    }
}
