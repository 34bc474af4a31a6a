//! The cipher of a key slot's area: dm-crypt's, over sectors of 512 bytes that are numbered from the area's beginning
//! (LUKS1 On-Disk Format Specification, section 2.2).
//!
//! The IV modes are those that need nothing but a number and the key. lmk, tcw and elephant, which change the data, are
//! of no volume that LUKS makes.

use udm_block::{SECTOR_SIZE, SpanIterMut, SpanMut};
use udm_crypto::spec::{CipherSpec, IvMode, IvSpec, SpecError};
use udm_crypto::{Algorithm, Choice, Cipher, Direction, Hash, Iv, IvRule, Registry, Request, Skcipher};

use crate::error::shown;

/// A cipher with its IV mode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AreaCipher {
    algorithm: Algorithm,
    iv: IvSpec,
}

/// Why an area cannot have a cipher.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum AreaError {
    /// The cipher string is wrong.
    Spec(SpecError),
    /// `cipher_null`.
    EncryptsNothing,
    /// A key slot has one key.
    KeyCount(usize),
    /// An IV mode that no area has with this cipher.
    Iv(IvSpec),
}

impl AreaError {
    /// What is wrong.
    pub fn why(&self) -> String {
        match self {
            Self::Spec(error) => error.message(shown),
            Self::EncryptsNothing => "it encrypts nothing".into(),
            Self::KeyCount(count) => format!("it has {count} keys, and a key slot has one"),
            Self::Iv(iv) => {
                let essiv = iv.essiv.map_or("", |_| " within essiv");
                format!("a key slot cannot have the IV mode {}{essiv} with this cipher", iv.mode.name())
            }
        }
    }

    /// What would do.
    pub fn hint(&self) -> String {
        match self {
            Self::Spec(error) => error.hint(),
            Self::EncryptsNothing | Self::KeyCount(_) => "aes-xts-plain64 would do".into(),
            Self::Iv(_) => "plain64 would do, or essiv:sha256 in cbc".into(),
        }
    }
}

impl AreaCipher {
    /// The cipher of a cipher string, such as `aes-xts-plain64` or `capi:xts(aes)-plain64`.
    ///
    /// # Errors
    /// Where the string is wrong, or its cipher is not one of a key slot.
    pub fn parse(encryption: &str) -> Result<Self, AreaError> {
        Self::of(&CipherSpec::parse(encryption).map_err(AreaError::Spec)?)
    }

    /// The same, of a string that has been read.
    ///
    /// # Errors
    /// Where the cipher is not one of a key slot.
    pub fn of(spec: &CipherSpec) -> Result<Self, AreaError> {
        let (algorithm, iv) = (spec.algorithm, spec.iv);
        if algorithm.cipher == Cipher::CipherNull {
            return Err(AreaError::EncryptsNothing);
        }
        if spec.key_count > 1 {
            return Err(AreaError::KeyCount(spec.key_count));
        }
        let has_it = match (iv.essiv, iv.mode) {
            (Some(_), mode) => mode == IvMode::Plain64,
            (None, IvMode::Elephant | IvMode::Lmk | IvMode::Tcw) => false,
            // cryptsetup counts blocks of the cipher, which Adiantum and stream ciphers do not have.
            (None, IvMode::Benbi | IvMode::Eboiv) => algorithm.blocks().is_some(),
            (None, _) => true,
        };
        if has_it { Ok(Self { algorithm, iv }) } else { Err(AreaError::Iv(iv)) }
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
        let count = sectors.len() / SECTOR_SIZE;
        let ivs = match (self.iv.essiv, self.iv.mode) {
            (Some(hash), _) => self.essiv(hash, key, count)?,
            (None, IvMode::Eboiv) => self.eboiv(key, count)?,
            _ => Vec::new(),
        };
        let mut run = [SpanMut::new(sectors)];
        let mut spans = SpanIterMut::new(&mut run);
        let (src, dst) = spans.in_place();
        let mut request = Request { direction, src, dst, unit_size: SECTOR_SIZE, iv: self.rule(&ivs) };
        cipher.crypt(&mut request).map_err(|error| error.to_string())
    }

    /// How sector *i* gets its IV.
    fn rule(self, ivs: &[Iv]) -> IvRule<'_> {
        let first = Iv::default();
        match self.iv.mode {
            _ if !ivs.is_empty() => IvRule::Vector(ivs),
            IvMode::Plain => IvRule::CounterLe32 { first, stride: 1 },
            IvMode::Plain64 => IvRule::CounterLe64 { first, stride: 1 },
            IvMode::Plain64be => IvRule::CounterBe64 { first, stride: 1 },
            IvMode::Benbi => {
                // The number, from 1, of the block that the sector begins with.
                let stride = (SECTOR_SIZE / self.algorithm.cipher.block_size()) as u64;
                IvRule::CounterBe64 { first: 1u128.to_be_bytes(), stride }
            }
            _ => IvRule::Constant(first),
        }
    }

    /// The IVs of `count` sectors: their numbers, encrypted under the hash of the key.
    fn essiv(self, hash: Hash, key: &[u8], count: usize) -> Result<Vec<Iv>, String> {
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
    let mut run = [SpanMut::new(ivs.as_flattened_mut())];
    let mut spans = SpanIterMut::new(&mut run);
    let direction = Direction::Encrypt;
    let (src, dst) = spans.in_place();
    let mut request = Request { direction, src, dst, unit_size: size_of::<Iv>(), iv };
    cipher.crypt(&mut request).map_err(|error| error.to_string())
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
            ("capi:essiv(cbc(aes),sha256)-plain64", 32),
        ] {
            let cipher = AreaCipher::parse(word).unwrap_or_else(|error| panic!("{word}: {error:?}"));
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
            "aes:2-cbc-plain64",
            "aes-cbc-tcw",
            "aes-cbc-elephant",
            "capi:essiv(cbc(aes),sha256)-plain",
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
            let spec = CipherSpec::parse(word).unwrap();
            assert_eq!(spec.without_idle_option(), Some((without, option)), "{word}");
            assert_eq!(AreaCipher::parse(word), AreaCipher::parse(without), "{word}");
        }
        // The twins: essiv reads its option, and the driver's or the key count's colon is none of an IV mode.
        for word in ["aes-cbc-essiv:sha256", "capi:cbc(aes)-essiv:sha3-256", "aes-xts-plain64", "aes"] {
            assert_eq!(CipherSpec::parse(word).unwrap().without_idle_option(), None, "{word}");
        }
    }
}
