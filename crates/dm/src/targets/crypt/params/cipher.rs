//! The cipher word of a crypt row: `aes-xts-plain64`, `capi:xts(aes)-plain64` and their relatives.

use std::fmt;

use udm_crypto::{Algorithm, HashAlgorithm};

use super::known;
use super::layout::KeyLayout;
use super::part::Part;
use super::unfit;
use crate::table::{Fault, KernelReason, TableErrorKind, reason, shown};

/// The longest name that the crypto API takes, in bytes, and one for its end (`CRYPTO_MAX_ALG_NAME`).
const ALGORITHM_NAME_LIMIT: usize = 128;

/// The number of lmk's keys where the cipher word cannot say another: loop-AES's.
const LMK_KEYS: usize = 64;

/// What the cipher word says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CipherSpec {
    /// The block cipher and its mode.
    pub algorithm: Algorithm,
    /// How a sector's number becomes its IV.
    pub iv: IvSpec,
    /// How many keys there are, a power of two. Sector n is of key n modulo this.
    pub key_count: usize,
    /// An IV mode that was given for a cipher that takes none, and so is without effect, as in `aes-ecb-plain64`.
    pub dropped_iv_mode: Option<String>,
    /// The word as it was given, which is how `table` prints it.
    pub text: String,
}

/// How a sector's number becomes its IV: written as `mode` says, and then enciphered where there is an `essiv`.
///
/// `aes-cbc-essiv:sha256` is `Plain64` with an essiv, and so is `capi:essiv(cbc(aes),sha256)-plain64`;
/// `capi:essiv(cbc(aes),sha256)-plain` is `Plain` with one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct IvSpec {
    /// How the number is written.
    pub mode: IvMode,
    /// The hash of the key under which the cipher enciphers what `mode` wrote.
    pub essiv: Option<HashAlgorithm>,
}

/// How a sector's number is written into an IV; the rest of the IV is zeros.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum IvMode {
    /// Not at all: the cipher takes no IV.
    None,
    /// Zeros.
    Null,
    /// The low 32 bits, little-endian.
    Plain,
    /// 64 bits, little-endian.
    Plain64,
    /// 64 bits, big-endian, in the last 8 bytes.
    Plain64be,
    /// The number of the cipher block that the sector begins with, from 1: 64 bits, big-endian, in the last 8 bytes.
    Benbi,
    /// The sector's place in bytes, enciphered by the volume's own cipher: `BitLocker`'s CBC.
    Eboiv,
    /// The same, and a diffuser over the sector: `BitLocker`'s CBC with Elephant.
    Elephant,
    /// A digest of the rest of the sector: loop-AES.
    Lmk,
    /// The number under a seed, and whitening over the ciphertext: old `TrueCrypt`.
    Tcw,
}

impl IvMode {
    /// The IV modes that a table can name, apart from essiv.
    pub const ALL: [Self; 9] = [
        Self::Plain,
        Self::Plain64,
        Self::Plain64be,
        Self::Benbi,
        Self::Null,
        Self::Eboiv,
        Self::Elephant,
        Self::Lmk,
        Self::Tcw,
    ];

    /// The name in a table; of `None`, the empty one.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Null => "null",
            Self::Plain => "plain",
            Self::Plain64 => "plain64",
            Self::Plain64be => "plain64be",
            Self::Benbi => "benbi",
            Self::Eboiv => "eboiv",
            Self::Elephant => "elephant",
            Self::Lmk => "lmk",
            Self::Tcw => "tcw",
        }
    }

    /// Whether it is for sectors of 512 bytes alone.
    pub const fn is_of_512(self) -> bool {
        matches!(self, Self::Lmk | Self::Tcw)
    }
}

/// The pieces of a cipher word, before the IV mode is looked up.
struct Pieces<'a> {
    algorithm: Algorithm,
    /// The hash of a cipher that is an essiv by itself, `capi:essiv(..)`.
    essiv: Option<HashAlgorithm>,
    iv: Option<Part<'a>>,
    iv_option: Option<Part<'a>>,
    key_count: usize,
}

impl CipherSpec {
    /// Reads the cipher word of a table, or of a LUKS header (where LUKS1 has it in two pieces: join them with `-`).
    ///
    /// # Errors
    /// Where the word is not of either form, or names what nobody or only the kernel has.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let word = Part::whole(text);
        let pieces = match text.strip_prefix("capi:") {
            Some(api) => new_form(Part { text: api, at: text.len() - api.len() })?,
            None => old_form(word)?,
        };
        let (iv, dropped) = iv_spec(&pieces, word)?;
        Ok(Self {
            algorithm: pieces.algorithm,
            iv,
            key_count: pieces.key_count,
            dropped_iv_mode: dropped.map(|mode| mode.text.to_owned()),
            text: text.to_owned(),
        })
    }

    /// How a key word of `bytes` bytes is divided.
    ///
    /// # Errors
    /// How the kernel refuses a size that the cipher or its IV mode does not take; `None` where it takes it, and reads
    /// bytes that are not there.
    pub fn key_layout(&self, bytes: usize) -> Result<KeyLayout, Option<KernelReason>> {
        KeyLayout::of(self, bytes)
    }

    /// Whether keys of `bytes` in all are of a size that the cipher takes.
    pub fn takes_key_size(&self, bytes: usize) -> bool {
        self.key_layout(bytes).is_ok()
    }
}

impl fmt::Display for CipherSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// `cipher[:keycount]-mode-ivmode[:ivoptions]`
fn old_form(word: Part<'_>) -> Result<Pieces<'_>, Fault> {
    if let Some(at) = word.text.find('(') {
        let message = format!("{} has a parenthesis but no capi: before it", shown(word.text));
        let hint = "write capi:<mode>(<cipher>)-<ivmode>, such as capi:xts(aes)-plain64";
        let fault = Fault::new(TableErrorKind::Cipher, message, shown(word.text), hint);
        return Err(fault.with_bytes(at..at + 1).with_kernel(reason::CIPHER_FORM));
    }
    let (first, rest) = word.cut('-');
    let (cipher, count) = first.cut(':');
    let key_count = count.map_or(Ok(1), key_count)?;
    let (mode, rest) = rest.map_or((None, None), |rest| {
        let (mode, rest) = rest.cut('-');
        (Some(mode), rest)
    });
    // The form of the first dm-crypt: only the cipher, or only the cipher and `plain`.
    let (mode, iv, iv_option) = match (mode, rest) {
        (None, _) => (Part { text: "cbc", at: word.at }, Some(Part { text: "plain", at: word.at }), None),
        (Some(plain), None) if plain.text == "plain" => (Part { text: "cbc", ..plain }, Some(plain), None),
        (Some(mode), None) => (mode, None, None),
        (Some(mode), Some(rest)) => {
            let (iv, option) = rest.cut(':');
            (mode, Some(iv), option)
        }
    };
    if iv.is_none() && mode.text != "ecb" {
        let found = shown(word.text);
        let message = format!("the cipher {found} has no IV mode");
        let hint =
            format!("write {}-plain64", if word.text.len() < 32 { word.text } else { "<cipher>-<mode>" });
        let fault = Fault::new(TableErrorKind::Cipher, message, found, hint);
        return Err(fault.with_bytes(word.range()).with_kernel(reason::IV_REQUIRED));
    }
    check_essiv_hash(iv, iv_option)?;
    check_name_length(cipher.text.len() + mode.text.len() + 2, word)?;
    Ok(Pieces { algorithm: known::algorithm(cipher, mode)?, essiv: None, iv, iv_option, key_count })
}

/// `crypto API name[-ivmode[:ivoptions]]`, after the `capi:`. The options follow the last colon, the IV mode the
/// last dash before it.
fn new_form(word: Part<'_>) -> Result<Pieces<'_>, Fault> {
    let (rest, iv_option) = word.cut_last(':');
    let (name, iv) = rest.cut_last('-');
    check_essiv_hash(iv, iv_option)?;
    check_name_length(name.text.len(), name)?;
    let opened = name.text.matches('(').count();
    if opened != name.text.matches(')').count() {
        let message = format!("the parentheses of {} do not match", shown(name.text));
        let hint = "write each ( with its ), as in capi:xts(aes)-plain64";
        let fault = Fault::new(TableErrorKind::Cipher, message, shown(name.text), hint);
        return Err(fault.with_bytes(name.range()).with_kernel(reason::CIPHER));
    }
    let (algorithm, essiv) = match name.call() {
        Some((outer, inside)) if outer.text == "essiv" => {
            let (cipher, hash) = inside.cut_last(',');
            let hash = hash.unwrap_or(Part { text: "", at: inside.range().end });
            let algorithm = api_algorithm(cipher)?;
            check_essiv_cipher(algorithm, cipher)?;
            (algorithm, Some(known::hash(hash, algorithm)?))
        }
        _ => (api_algorithm(name)?, None),
    };
    let key_count = if iv.is_some_and(|iv| iv.text == IvMode::Lmk.name()) { LMK_KEYS } else { 1 };
    Ok(Pieces { algorithm, essiv, iv, iv_option, key_count })
}

/// The algorithm of a crypto API name such as `xts(aes)`.
fn api_algorithm(name: Part<'_>) -> Result<Algorithm, Fault> {
    match name.call() {
        Some((mode, cipher)) => known::algorithm(cipher, mode),
        None => known::stream(name),
    }
}

/// Looks up the IV mode. The second value is one that was given to a cipher that takes none.
fn iv_spec<'a>(pieces: &Pieces<'a>, word: Part<'a>) -> Result<(IvSpec, Option<Part<'a>>), Fault> {
    let essiv = pieces.iv.filter(|iv| iv.text == "essiv");
    if let Some(name) = essiv {
        check_essiv_cipher(pieces.algorithm, name)?;
        if pieces.essiv.is_some() {
            let message = format!("{} is essiv twice", shown(word.text));
            let hint =
                "leave one of them out: capi:essiv(cbc(aes),sha256)-plain64, or capi:cbc(aes)-essiv:sha256";
            return Err(
                Fault::new(TableErrorKind::Cipher, message, shown(word.text), hint).with_bytes(name.range())
            );
        }
        let hash = pieces.iv_option.unwrap_or(name);
        let essiv = Some(known::hash(hash, pieces.algorithm)?);
        return Ok((IvSpec { mode: IvMode::Plain64, essiv }, None));
    }
    if pieces.algorithm.iv_size() == 0 {
        return Ok((IvSpec { mode: IvMode::None, essiv: None }, pieces.iv));
    }
    let Some(name) = pieces.iv else {
        // The kernel takes this, and then reads back something else than was written.
        let found = shown(word.text);
        let message = format!("the cipher {found} has no IV mode, so nothing would set its IV");
        let fault = Fault::new(TableErrorKind::Cipher, message, found, "write -plain64 after the cipher");
        return Err(fault.with_bytes(word.range()));
    };
    let Some(mode) = IvMode::ALL.into_iter().find(|mode| mode.name() == name.text) else {
        return Err(no_such_iv_mode(name));
    };
    unfit::check(mode, pieces.algorithm, pieces.essiv, name)?;
    Ok((IvSpec { mode, essiv: pieces.essiv }, None))
}

/// The fault of an IV mode that udm, or nobody, has.
fn no_such_iv_mode(name: Part<'_>) -> Fault {
    let mut ours = IvMode::ALL.map(IvMode::name).to_vec();
    ours.insert(3, "essiv");
    if name.text == "random" {
        let found = shown(name.text);
        let message = format!(
            "IV mode {found} stores its IVs beside the sectors, and udm does not have dm-integrity for that yet"
        );
        let hint = "use plain64, whose IVs are not stored, as in aes-xts-plain64";
        let fault = Fault::new(TableErrorKind::Missing, message, found, hint);
        return fault.with_bytes(name.range()).with_kernel(reason::INTEGRITY_SPACE);
    }
    known::unknown("IV mode", name, &ours, &["random"]).with_kernel(reason::IV_MODE)
}

/// A number of keys.
fn key_count(count: Part<'_>) -> Result<usize, Fault> {
    let digits = !count.text.is_empty() && count.text.bytes().all(|byte| byte.is_ascii_digit());
    // The kernel keeps the number in 32 bits; past those, no key could be long enough anyway.
    let value = count.text.parse::<u32>().ok().filter(|count| digits && count.is_power_of_two());
    value.map(|count| count as usize).ok_or_else(|| {
        let found = if count.text.is_empty() { "nothing".into() } else { shown(count.text) };
        let message = format!("the number of keys is {found}, which is not a power of two");
        let hint =
            "write 1, 2, 4, 8 and so on, as in aes:2-cbc-plain64, or leave the colon and the number out";
        Fault::new(TableErrorKind::Cipher, message, found, hint)
            .with_bytes(count.range())
            .with_kernel(reason::KEY_COUNT)
    })
}

/// essiv needs a hash after its colon; which one, is looked at later.
fn check_essiv_hash(iv: Option<Part<'_>>, option: Option<Part<'_>>) -> Result<(), Fault> {
    match iv {
        Some(iv) if iv.text == "essiv" && option.is_none() => {
            let message = format!("IV mode {} has no hash", shown(iv.text));
            let fault = Fault::new(TableErrorKind::Cipher, message, shown(iv.text), "write essiv:sha256");
            Err(fault.with_bytes(iv.range()).with_kernel(reason::ESSIV_HASH))
        }
        _ => Ok(()),
    }
}

/// essiv needs a cipher with an IV of one block, which it enciphers.
fn check_essiv_cipher(algorithm: Algorithm, at: Part<'_>) -> Result<(), Fault> {
    if algorithm.blocks().is_some() && algorithm.iv_size() == algorithm.cipher.block_size() {
        return Ok(());
    }
    let found = shown(at.text);
    let message = match algorithm.iv_size() {
        0 => format!("essiv makes an IV, and {algorithm} takes none (found {found})"),
        _ => format!("essiv makes an IV of one block, and that of {algorithm} is none (found {found})"),
    };
    let fault = Fault::new(TableErrorKind::Cipher, message, found, "use cbc instead, or leave essiv out");
    Err(fault.with_bytes(at.range()).with_kernel(reason::CIPHER))
}

/// The crypto API has names up to a limit.
fn check_name_length(length: usize, at: Part<'_>) -> Result<(), Fault> {
    if length < ALGORITHM_NAME_LIMIT {
        return Ok(());
    }
    let found = format!("{length} bytes");
    let message = format!("the cipher's name is too long for the crypto API: {found}");
    let fault = Fault::new(TableErrorKind::Cipher, message, found, "use aes-xts-plain64");
    Err(fault.with_bytes(at.range()).with_kernel(reason::CIPHER_LENGTH))
}
