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
    Eboiv,
}

/// A cipher's word in its parts.
struct Word<'a> {
    /// The crypto API's name of the cipher.
    name: String,
    /// The IV mode; empty where there is none.
    mode: &'a str,
    /// What stands behind the colon of the IV mode.
    option: Option<&'a str>,
}

impl<'a> Word<'a> {
    fn read(word: &'a str) -> Self {
        if let Some(api) = word.strip_prefix("capi:") {
            // As the kernel has it: the option first, since the name of a hash may have a dash.
            let (rest, option) =
                api.rsplit_once(':').map_or((api, None), |(rest, option)| (rest, Some(option)));
            let (name, mode) = rest.rsplit_once('-').unwrap_or((rest, ""));
            return Self { name: name.to_owned(), mode, option };
        }
        let (cipher, rest) = word.split_once('-').unwrap_or((word, "cbc-plain"));
        let (chain, iv) = match rest.split_once('-') {
            Some(parts) => parts,
            // The form of the first dm-crypt, in which cbc is not said.
            None if rest == "plain" => ("cbc", "plain"),
            None => (rest, ""),
        };
        let (mode, option) = iv.split_once(':').map_or((iv, None), |(mode, option)| (mode, Some(option)));
        Self { name: format!("{chain}({cipher})"), mode, option }
    }
}

/// `word` without an option that its IV mode does not read, where it has one, and that option: `aes-xts-plain64` and
/// `sha256` for `aes-xts-plain64:sha256`. Only essiv has an option.
///
/// QEMU writes such words where it is given a hash for an IV mode that needs none, and so did those who took essiv's
/// `:sha256` over to plain64. dm-crypt opens them; cryptsetup opens their key slots by dm-crypt alone.
pub fn without_idle_option(word: &str) -> Option<(&str, &str)> {
    let Word { mode, option, .. } = Word::read(word);
    let option = option.filter(|_| mode != "essiv" && !mode.is_empty())?;
    Some((&word[..word.len() - option.len() - 1], option))
}

impl AreaCipher {
    /// Reads `aes-xts-plain64`, `capi:xts(aes)-plain64` and their relatives.
    ///
    /// # Errors
    /// What is wrong with the word, and what would do.
    pub fn parse(word: &str) -> Result<Self, (String, &'static str)> {
        let Word { name, mode, option } = Word::read(word);
        let algorithm: Algorithm = name
            .parse()
            .map_err(|error: udm_crypto::AlgorithmError| (error.to_string(), "aes-xts-plain64 would do"))?;
        if algorithm.cipher == Cipher::CipherNull {
            return Err(("it encrypts nothing".into(), "aes-xts-plain64 would do"));
        }
        Ok(Self { algorithm, iv: Self::iv(algorithm, mode, option)? })
    }

    fn iv(algorithm: Algorithm, mode: &str, option: Option<&str>) -> Result<AreaIv, (String, &'static str)> {
        let has_block_ivs = algorithm.blocks().is_some() && algorithm.iv_size() == algorithm.block_size();
        let unknown = || {
            let name = option.map_or(mode.to_owned(), |option| format!("{mode}:{option}"));
            let why =
                format!("a key slot cannot have the IV mode {} with this cipher", crate::error::shown(&name));
            (why, "plain64 would do, or essiv:sha256 in cbc")
        };
        Ok(match mode {
            _ if algorithm.mode == Mode::Ecb => AreaIv::Null,
            "null" => AreaIv::Null,
            "plain" => AreaIv::Plain,
            "plain64" => AreaIv::Plain64,
            "plain64be" => AreaIv::Plain64be,
            "benbi" if algorithm.blocks().is_some() => AreaIv::Benbi,
            "eboiv" if has_block_ivs => AreaIv::Eboiv,
            "essiv" if has_block_ivs => {
                let hash = option.and_then(HashAlgorithm::from_name);
                let is_key =
                    |hash: &HashAlgorithm| algorithm.cipher.key_sizes().contains(&hash.digest_size());
                AreaIv::Essiv(hash.filter(is_key).ok_or_else(unknown)?)
            }
            _ => return Err(unknown()),
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
            AreaIv::Eboiv => self.eboiv(key, sectors.len() / SECTOR_SIZE)?,
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
            AreaIv::Essiv(_) | AreaIv::Eboiv => IvRule::Vector(ivs),
        }
    }

    /// The IVs of `count` sectors: their numbers, encrypted under the hash of the key.
    fn essiv(self, hash: HashAlgorithm, key: &[u8], count: usize) -> Result<Vec<Iv>, String> {
        let blocks = self.algorithm.blocks().ok_or("no block cipher")?;
        let numbers = IvRule::CounterLe64 { first: Iv::default(), stride: 1 };
        let mut ivs = vec![Iv::default(); count];
        numbers.fill(0, &mut ivs);
        encrypt(blocks, &hash.digest(key), &mut ivs, IvRule::Constant(Iv::default()))?;
        Ok(ivs)
    }

    /// The IVs of `count` sectors: the byte that each begins at, encrypted under the key itself.
    ///
    /// cryptsetup does so by the block cipher under all of the key, also in xts, whose key is two. Where that is no key of
    /// the block cipher, it leaves the area to dm-crypt, which encrypts a block of zeros in the volume's own mode.
    fn eboiv(self, key: &[u8], count: usize) -> Result<Vec<Iv>, String> {
        let blocks = self.algorithm.blocks().ok_or("no block cipher")?;
        let places = IvRule::CounterLe64 { first: Iv::default(), stride: SECTOR_SIZE as u64 };
        let mut ivs = vec![Iv::default(); count];
        if blocks.check_key_size(key.len()).is_ok() {
            places.fill(0, &mut ivs);
            encrypt(blocks, key, &mut ivs, IvRule::Constant(Iv::default()))?;
        } else {
            encrypt(self.algorithm, key, &mut ivs, places)?;
        }
        Ok(ivs)
    }
}

/// Encrypts each of `ivs` by itself.
fn encrypt(algorithm: Algorithm, key: &[u8], ivs: &mut [Iv], iv: IvRule<'_>) -> Result<(), String> {
    let cipher = Skcipher::new(Registry::global(), Choice::Best, algorithm, key);
    let cipher = cipher.map_err(|error| error.to_string())?;
    let run = [Span::new(ivs.as_flattened_mut())];
    let spans = SpanIter::new(&run);
    let direction = Direction::Encrypt;
    let request = Request { direction, src: spans, dst: spans, unit_size: size_of::<Iv>(), iv };
    cipher.crypt(&request).map_err(|error| error.to_string())
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
            ("aes-xts-plain64:sha256", 64),
            ("aes-cbc-benbi:x", 32),
            ("aes-cbc-eboiv", 32),
            ("aes-xts-eboiv", 64),
            ("capi:cbc(aes)-essiv:sha3-256", 32),
            ("capi:xts(aes)-plain64:sha256", 64),
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
            "xchacha12,aes-adiantum-eboiv",
            "aes-cbc-lmk:x",
            "aes-cbc-plain65:sha256",
        ] {
            // "aes" alone is the first dm-crypt's aes-cbc-plain.
            assert_eq!(AreaCipher::parse(word).is_ok(), word == "aes", "{word}");
        }
    }

    #[test]
    fn an_option_that_nobody_reads_changes_nothing_and_is_found() {
        for (word, without, option) in [
            ("aes-xts-plain64:sha256", "aes-xts-plain64", "sha256"),
            ("capi:xts(aes)-plain64:sha3-256", "capi:xts(aes)-plain64", "sha3-256"),
            ("aes-cbc-benbi:x", "aes-cbc-benbi", "x"),
            ("aes-cbc-eboiv:", "aes-cbc-eboiv", ""),
        ] {
            assert_eq!(without_idle_option(word), Some((without, option)), "{word}");
            assert_eq!(AreaCipher::parse(word), AreaCipher::parse(without), "{word}");
        }
        // The twins: essiv reads its option, and the driver's or the key count's colon is none of an IV mode.
        for word in ["aes-cbc-essiv:sha256", "capi:cbc(aes)-essiv:sha3-256", "aes-xts-plain64", "aes"] {
            assert_eq!(without_idle_option(word), None, "{word}");
        }
    }
}
