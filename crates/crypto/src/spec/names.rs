//! The names of ciphers, modes, IV modes and hashes: those that udm has, and those that only the kernel has.

use super::error::{Part, SpecError, Why};
use super::iv::{IvMode, IvSpec};
use super::near::nearest;
use super::piece::Piece;
use crate::algorithm::{Algorithm, Cipher, Mode};
use crate::error::RARE_CIPHERS;
use crate::hash::Hash;

/// Block ciphers that only the kernel has.
const OTHER_CIPHERS: [&str; 11] =
    ["anubis", "aria", "des", "fcrypt", "khazad", "seed", "sm4", "tea", "tnepres", "xeta", "xtea"];

/// Modes around a cipher that only the kernel has.
const OTHER_MODES: [&str; 2] = ["hctr2", "xctr"];

/// Stream ciphers that only the kernel has; they stand without a mode.
const OTHER_STREAMS: [&str; 2] = ["arc4", "salsa20"];

/// Modes of the kernel that authenticate: their tags need a place beside the sectors.
const AUTHENTICATED: [&str; 9] =
    ["aegis128", "aegis128l", "aegis256", "authenc", "ccm", "gcm", "rfc4106", "rfc4309", "rfc7539"];

/// An IV mode of the kernel that stores its IVs beside the sectors.
const RANDOM: &str = "random";

/// Hashes of the kernel that udm does not have, with the bytes of their digests.
const OTHER_HASHES: [(&str, usize); 13] = [
    ("md4", 16),
    ("rmd128", 16),
    ("rmd256", 32),
    ("rmd320", 40),
    ("sm3", 32),
    ("streebog256", 32),
    ("streebog512", 64),
    ("tgr128", 16),
    ("tgr160", 20),
    ("tgr192", 24),
    ("wp384", 48),
    ("blake2b-160", 20),
    ("blake2b-384", 48),
];

/// The algorithm of `mode` around `cipher`.
pub(super) fn algorithm(cipher: Piece<'_>, mode: Piece<'_>) -> Result<Algorithm, SpecError> {
    let known_mode = self::mode(mode)?;
    let known_cipher = self::cipher(cipher)?;
    Algorithm::new(known_mode, known_cipher)
        .map_err(|unfit| SpecError::new(Part::Mode, mode, Why::Unfit(unfit)))
}

/// The algorithm of a crypto API name such as `xts(aes)` or `chacha20`.
pub(super) fn api_algorithm(name: Piece<'_>) -> Result<Algorithm, SpecError> {
    match name.call() {
        Some((mode, cipher)) => algorithm(cipher, mode),
        None => stream(name),
    }
}

/// The mode of the name `name`.
fn mode(name: Piece<'_>) -> Result<Mode, SpecError> {
    if let Some(mode) = Mode::from_name(name.text) {
        return Ok(mode);
    }
    if AUTHENTICATED.contains(&name.text) {
        return Err(SpecError::new(Part::Mode, name, Why::Authenticated));
    }
    let ours = Mode::ALL.into_iter().map(Mode::name).filter(|name| !name.is_empty());
    Err(other(Part::Mode, name, ours.collect(), &OTHER_MODES))
}

/// The cipher of the name `name`.
fn cipher(name: Piece<'_>) -> Result<Cipher, SpecError> {
    match Cipher::from_name(name.text) {
        Some(cipher) if cipher.is_built() => Ok(cipher),
        Some(_) => Err(not_built(Part::Cipher, name)),
        None => {
            let ours = Cipher::ALL.into_iter().filter(|cipher| cipher.is_built()).map(Cipher::name);
            let others = [&OTHER_CIPHERS[..], &OTHER_STREAMS].concat();
            Err(other(Part::Cipher, name, ours.collect(), &others))
        }
    }
}

/// The algorithm of a crypto API name with no parentheses: a stream cipher.
fn stream(name: Piece<'_>) -> Result<Algorithm, SpecError> {
    let cipher = Cipher::from_name(name.text);
    if let Some(algorithm) = cipher.and_then(|cipher| Algorithm::new(Mode::Stream, cipher).ok()) {
        return Ok(algorithm);
    }
    let why = if OTHER_STREAMS.contains(&name.text) {
        let ours = Cipher::ALL.into_iter().filter(|cipher| cipher.is_stream()).map(Cipher::name);
        Why::KernelOnly { instead: ours.collect() }
    } else if AUTHENTICATED.contains(&name.text) {
        Why::Authenticated
    } else {
        return Err(SpecError::new(Part::Name, name, Why::NoMode { cipher }));
    };
    Err(SpecError::new(Part::Cipher, name, why))
}

/// The IV mode of the name `name`.
pub(super) fn iv_mode(name: Piece<'_>) -> Result<IvMode, SpecError> {
    if name.text == RANDOM {
        return Err(SpecError::new(Part::IvMode, name, Why::StoredIvs));
    }
    IvMode::from_name(name.text).ok_or_else(|| {
        let mut ours = IvMode::ALL.map(IvMode::name).to_vec();
        ours.insert(3, IvSpec::ESSIV);
        other(Part::IvMode, name, ours, &[RANDOM])
    })
}

/// The hash of essiv of the name `name`, whose digest is to be a key of `algorithm`'s cipher.
pub(super) fn essiv_hash(name: Piece<'_>, algorithm: Algorithm) -> Result<Hash, SpecError> {
    let cipher = algorithm.cipher;
    let fits = |digest: usize| cipher.key_sizes().contains(&digest);
    let ours = Hash::ALL.iter().copied().filter(|hash| fits(hash.digest_size())).map(Hash::name);
    let ours: Vec<_> = ours.collect();
    let known = Hash::from_name(name.text);
    let kernels = || OTHER_HASHES.into_iter().find(|other| other.0 == name.text).map(|other| other.1);
    let bytes = known.map(Hash::digest_size).or_else(kernels);
    match (known, bytes) {
        (Some(hash), Some(bytes)) if fits(bytes) => Ok(hash),
        (None, _) if Hash::NOT_BUILT.contains(&name.text) => Err(not_built(Part::EssivHash, name)),
        (_, Some(bytes)) if !fits(bytes) => {
            Err(SpecError::new(Part::EssivHash, name, Why::Digest { bytes, cipher, instead: ours }))
        }
        _ => Err(other(Part::EssivHash, name, ours, &OTHER_HASHES.map(|other| other.0))),
    }
}

impl Hash {
    /// The hash of cryptsetup's name `name`, as a LUKS header has it. Old headers have names in capital letters.
    ///
    /// # Errors
    /// Where there is none: what it may have been meant as, and which there are.
    pub fn from_luks_name(name: &str) -> Result<Self, SpecError> {
        let has_name = |hash: &Hash| hash.luks_name().eq_ignore_ascii_case(name);
        Hash::LUKS.iter().copied().find(has_name).ok_or_else(|| {
            if Hash::NOT_BUILT_LUKS.iter().any(|missing| missing.eq_ignore_ascii_case(name)) {
                return not_built(Part::Hash, Piece::whole(name));
            }
            let instead: Vec<_> = Hash::LUKS.iter().copied().map(Hash::luks_name).collect();
            let why = Why::Unknown { near: nearest(name, instead.iter().copied()), instead };
            SpecError::new(Part::Hash, Piece::whole(name), why)
        })
    }
}

/// The error of a name that this crate has with the feature for rare ciphers, and was built without.
fn not_built(part: Part, name: Piece<'_>) -> SpecError {
    SpecError::new(part, name, Why::NotBuilt { feature: RARE_CIPHERS })
}

/// The error of a name that is not among `ours`. What it may have been meant as is looked for among `others`, too, which only
/// the kernel has.
fn other(part: Part, name: Piece<'_>, ours: Vec<&'static str>, others: &[&'static str]) -> SpecError {
    let why = if others.contains(&name.text) {
        Why::KernelOnly { instead: ours }
    } else {
        Why::Unknown { near: nearest(name.text, ours.iter().chain(others).copied()), instead: ours }
    };
    SpecError::new(part, name, why)
}
