//! The names of ciphers, modes, IV modes and hashes: those that udm has, and those that only the kernel has.

use udm_crypto::{Algorithm, Cipher, HashAlgorithm, Mode};

use super::part::Part;
use crate::table::{Fault, TableErrorKind, nearest, reason, shown};

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

/// Hashes of the kernel that udm does not have, with the bytes of their digests.
const OTHER_HASHES: [(&str, usize); 24] = [
    ("md4", 16),
    ("rmd128", 16),
    ("rmd160", 20),
    ("rmd256", 32),
    ("rmd320", 40),
    ("sha1", 20),
    ("sha224", 28),
    ("sha384", 48),
    ("sha512", 64),
    ("sha3-224", 28),
    ("sha3-384", 48),
    ("sha3-512", 64),
    ("sm3", 32),
    ("streebog256", 32),
    ("streebog512", 64),
    ("tgr128", 16),
    ("tgr160", 20),
    ("tgr192", 24),
    ("wp384", 48),
    ("wp512", 64),
    ("blake2s-256", 32),
    ("blake2b-160", 20),
    ("blake2b-384", 48),
    ("blake2b-512", 64),
];

/// The algorithm of `mode` around `cipher`.
pub(super) fn algorithm(cipher: Part<'_>, mode: Part<'_>) -> Result<Algorithm, Fault> {
    let known_mode = self::mode(mode)?;
    let known_cipher = self::cipher(cipher)?;
    Algorithm::new(known_mode, known_cipher).map_err(|error| {
        let found = shown(cipher.text);
        let of_cipher = |mode: &Mode| Algorithm::new(*mode, known_cipher).is_ok();
        let modes: Vec<_> = Mode::ALL.into_iter().filter(of_cipher).map(Mode::name).collect();
        let hint = match modes[..] {
            // A stream cipher, whose mode has no name.
            [""] => format!("write capi:{}-plain64", cipher.text),
            _ => format!("use {} in {}", cipher.text, either(&modes)),
        };
        let fault = Fault::new(TableErrorKind::Cipher, error.to_string(), found, hint);
        let fault = fault.with_bytes(mode.range());
        // The kernel takes modes around its cipher that does nothing.
        if known_cipher == Cipher::CipherNull { fault } else { fault.with_kernel(reason::CIPHER) }
    })
}

/// The mode of the name `name`.
fn mode(name: Part<'_>) -> Result<Mode, Fault> {
    if let Some(mode) = Mode::from_name(name.text) {
        return Ok(mode);
    }
    if AUTHENTICATED.contains(&name.text) {
        return Err(authenticated(name));
    }
    let ours = Mode::ALL.map(Mode::name);
    let ours: Vec<_> = ours.into_iter().filter(|name| !name.is_empty()).collect();
    if OTHER_MODES.contains(&name.text) {
        return Err(missing("cipher mode", name, &ours));
    }
    Err(unknown("cipher mode", name, &ours, &OTHER_MODES).with_kernel(reason::CIPHER))
}

/// The cipher of the name `name`.
fn cipher(name: Part<'_>) -> Result<Cipher, Fault> {
    if let Some(cipher) = Cipher::from_name(name.text) {
        return Ok(cipher);
    }
    let ours = Cipher::ALL.map(Cipher::name);
    if OTHER_CIPHERS.contains(&name.text) || OTHER_STREAMS.contains(&name.text) {
        return Err(missing("cipher", name, &ours));
    }
    Err(unknown("cipher", name, &ours, &OTHER_CIPHERS).with_kernel(reason::CIPHER))
}

/// The algorithm of a crypto API name with no parentheses: a stream cipher.
pub(super) fn stream(name: Part<'_>) -> Result<Algorithm, Fault> {
    let cipher = Cipher::from_name(name.text);
    if let Some(algorithm) = cipher.and_then(|cipher| Algorithm::new(Mode::Stream, cipher).ok()) {
        return Ok(algorithm);
    }
    if OTHER_STREAMS.contains(&name.text) {
        let ours: Vec<_> = Algorithm::ALL.iter().filter(|algorithm| algorithm.mode == Mode::Stream).collect();
        return Err(missing("cipher", name, &ours.iter().map(ToString::to_string).collect::<Vec<_>>()));
    }
    if AUTHENTICATED.contains(&name.text) {
        return Err(authenticated(name));
    }
    let found = shown(name.text);
    let message = format!("{found} is not a cipher with its mode");
    let hint = match cipher {
        Some(Cipher::XChaCha12Aes | Cipher::XChaCha20Aes) => format!("write capi:adiantum({})", name.text),
        Some(Cipher::CipherNull) => "write capi:ecb(cipher_null)".into(),
        Some(cipher) if cipher.block_size() == 16 => {
            format!("write capi:xts({0}) or capi:cbc({0})", cipher.name())
        }
        Some(cipher) => format!("write capi:cbc({})", cipher.name()),
        None => "write capi:<mode>(<cipher>), such as capi:xts(aes)".into(),
    };
    Err(Fault::new(TableErrorKind::Cipher, message, found, hint)
        .with_bytes(name.range())
        .with_kernel(reason::CIPHER))
}

/// The hash of the name `name`, whose digest is to be a key of `algorithm`'s cipher.
pub(super) fn hash(name: Part<'_>, algorithm: Algorithm) -> Result<HashAlgorithm, Fault> {
    let keys = algorithm.cipher.key_sizes();
    let fits = |digest: usize| keys.contains(&digest);
    let ours =
        HashAlgorithm::ALL.into_iter().filter(|hash| fits(hash.digest_size())).map(HashAlgorithm::name);
    let ours: Vec<_> = ours.collect();
    let known = HashAlgorithm::from_name(name.text);
    let other = || OTHER_HASHES.iter().find(|other| other.0 == name.text).map(|other| other.1);
    let Some(digest) = known.map(HashAlgorithm::digest_size).or_else(other) else {
        let others = OTHER_HASHES.map(|other| other.0);
        return Err(unknown("essiv's hash", name, &ours, &others).with_kernel(reason::CIPHER));
    };
    if !fits(digest) {
        let found = shown(name.text);
        let message = format!(
            "essiv's hash {found} has a digest of {digest} bytes, which is no key size of {}",
            algorithm.cipher.name()
        );
        // The kernel finds a digest outside the range of key sizes when it looks for the cipher, one within when
        // it sets the key.
        let (least, most) = (keys.first().copied().unwrap_or(0), keys.last().copied().unwrap_or(0));
        let kernel = if (least..=most).contains(&digest) { reason::KEY } else { reason::CIPHER };
        let hint = match ours[..] {
            [] => "use plain64 with this cipher: no hash is as long as its key".into(),
            _ => format!("use {}", either(&ours)),
        };
        let fault = Fault::new(TableErrorKind::Cipher, message, found, hint);
        return Err(fault.with_bytes(name.range()).with_kernel(kernel));
    }
    known.ok_or_else(|| missing("essiv's hash", name, &ours))
}

/// The fault of a name that only the kernel knows.
pub(super) fn missing(what: &str, name: Part<'_>, ours: &[impl AsRef<str>]) -> Fault {
    let found = shown(name.text);
    let message = format!("udm does not have {what} {found} yet");
    Fault::new(TableErrorKind::Missing, message, found, format!("it has {}", list(ours, "and")))
        .with_bytes(name.range())
}

/// The fault of a name that nobody knows. What it may have been meant as is looked for in both lists.
pub(super) fn unknown(what: &str, name: Part<'_>, ours: &[&str], others: &[&str]) -> Fault {
    let found = if name.text.is_empty() { "nothing".into() } else { shown(name.text) };
    let message = if name.text.is_empty() {
        format!("{what} is missing (found nothing)")
    } else {
        format!("{what} {found} is not known")
    };
    let near = nearest(name.text, ours.iter().chain(others).copied());
    let hint = near.map_or_else(|| format!("use {}", either(ours)), |near| format!("try {near}"));
    Fault::new(TableErrorKind::Unknown, message, found, hint).with_bytes(name.range())
}

/// The fault of a mode that authenticates.
fn authenticated(name: Part<'_>) -> Fault {
    let found = shown(name.text);
    let message =
        format!("udm does not have authenticated encryption yet, which {found} is: it needs dm-integrity");
    let hint = "use a mode without integrity, such as aes-xts-plain64";
    Fault::new(TableErrorKind::Missing, message, found, hint).with_bytes(name.range())
}

/// `a, b or c`.
pub(super) fn either(names: &[impl AsRef<str>]) -> String {
    list(names, "or")
}

/// `a, b and c`, with `and` between the last two.
fn list(names: &[impl AsRef<str>], and: &str) -> String {
    let names: Vec<_> = names.iter().map(AsRef::as_ref).collect();
    match names.split_last() {
        Some((last, first)) if !first.is_empty() => format!("{} {and} {last}", first.join(", ")),
        _ => names.concat(),
    }
}
