//! The two forms of a cipher string, and the pieces that each is made of.

use super::error::{Part, SpecError, Why};
use super::iv::{IvMode, IvSpec};
use super::piece::Piece;
use super::{fit, names};
use crate::algorithm::Algorithm;
use crate::hash::Hash;

/// What begins a cipher string of the crypto API's form.
pub(super) const CAPI: &str = "capi:";

/// The longest name that the crypto API takes, in bytes, and one for its end (`CRYPTO_MAX_ALG_NAME` in the kernel's
/// `include/linux/crypto.h`).
const ALGORITHM_NAME_LIMIT: usize = 128;

/// The number of lmk's keys where the string cannot say another: loop-AES's.
const LMK_KEYS: usize = 64;

/// The pieces of a cipher string, before the IV mode is looked up.
pub(super) struct Pieces<'a> {
    pub algorithm: Algorithm,
    /// The hash of a cipher that is an essiv by itself, `capi:essiv(..)`.
    pub essiv: Option<Hash>,
    pub iv: Option<Piece<'a>>,
    pub iv_option: Option<Piece<'a>>,
    pub key_count: usize,
}

impl<'a> Pieces<'a> {
    /// The pieces of `text`, in whichever form it is.
    pub fn of(text: &'a str) -> Result<Self, SpecError> {
        match text.strip_prefix(CAPI) {
            Some(api) => new_form(Piece::new(api, CAPI.len())),
            None => old_form(Piece::whole(text)),
        }
    }

    /// Looks up the IV mode. The second value is one that was given to a cipher that takes none.
    pub fn iv_spec(&self, whole: Piece<'a>) -> Result<(IvSpec, Option<Piece<'a>>), SpecError> {
        let algorithm = self.algorithm;
        if let Some(name) = self.iv.filter(|iv| iv.text == IvSpec::ESSIV) {
            fit::essiv(algorithm, Part::IvMode, name)?;
            if self.essiv.is_some() {
                return Err(SpecError::new(Part::IvMode, name, Why::EssivTwice));
            }
            let hash = names::essiv_hash(self.iv_option.unwrap_or(name), algorithm)?;
            return Ok((IvSpec { mode: IvMode::Plain64, essiv: Some(hash) }, None));
        }
        if algorithm.iv_size() == 0 {
            return Ok((IvSpec { mode: IvMode::None, essiv: None }, self.iv));
        }
        let name = self.iv.ok_or_else(|| SpecError::new(Part::Whole, whole, Why::IvNeverSet))?;
        let mode = names::iv_mode(name)?;
        fit::iv_mode(mode, algorithm, self.essiv, name)?;
        Ok((IvSpec { mode, essiv: self.essiv }, None))
    }
}

/// `cipher[:keycount]-mode-ivmode[:ivoptions]`
fn old_form(whole: Piece<'_>) -> Result<Pieces<'_>, SpecError> {
    if let Some(at) = whole.text.find('(') {
        let parenthesis = Piece::new(&whole.text[at..=at], at);
        return Err(SpecError::new(Part::Whole, parenthesis, Why::NoCapi));
    }
    let (first, rest) = whole.cut('-');
    let (cipher, count) = first.cut(':');
    let key_count = count.map_or(Ok(1), key_count)?;
    let (mode, rest) = rest.map_or((None, None), |rest| {
        let (mode, rest) = rest.cut('-');
        (Some(mode), rest)
    });
    // The form of the first dm-crypt: only the cipher, or only the cipher and `plain`.
    let (mode, iv, iv_option) = match (mode, rest) {
        (None, _) => (whole.meaning("cbc"), Some(whole.meaning("plain")), None),
        (Some(plain), None) if plain.text == "plain" => (plain.meaning("cbc"), Some(plain), None),
        (Some(mode), None) => (mode, None, None),
        (Some(mode), Some(rest)) => {
            let (iv, option) = rest.cut(':');
            (mode, Some(iv), option)
        }
    };
    if iv.is_none() && mode.text != "ecb" {
        return Err(SpecError::new(Part::Whole, whole, Why::NoIvMode));
    }
    check_essiv_hash(iv, iv_option)?;
    check_name_length(cipher.text.len() + mode.text.len() + "()".len(), whole)?;
    Ok(Pieces { algorithm: names::algorithm(cipher, mode)?, essiv: None, iv, iv_option, key_count })
}

/// `crypto API name[-ivmode[:ivoptions]]`, after the `capi:`. The options follow the last colon, the IV mode the
/// last dash before it.
fn new_form(api: Piece<'_>) -> Result<Pieces<'_>, SpecError> {
    let (rest, iv_option) = api.cut_last(':');
    let (name, iv) = rest.cut_last('-');
    check_essiv_hash(iv, iv_option)?;
    check_name_length(name.text.len(), name)?;
    if name.text.matches('(').count() != name.text.matches(')').count() {
        return Err(SpecError::new(Part::Name, name, Why::Unbalanced));
    }
    let (algorithm, essiv) = match name.call() {
        Some((outer, inside)) if outer.text == IvSpec::ESSIV => {
            let (cipher, hash) = inside.cut_last(',');
            let hash = hash.unwrap_or(Piece::new("", inside.range().end));
            let algorithm = names::api_algorithm(cipher)?;
            fit::essiv(algorithm, Part::Name, cipher)?;
            (algorithm, Some(names::essiv_hash(hash, algorithm)?))
        }
        _ => (names::api_algorithm(name)?, None),
    };
    let key_count = if iv.is_some_and(|iv| iv.text == IvMode::Lmk.name()) { LMK_KEYS } else { 1 };
    Ok(Pieces { algorithm, essiv, iv, iv_option, key_count })
}

/// A number of keys.
fn key_count(count: Piece<'_>) -> Result<usize, SpecError> {
    let digits = !count.text.is_empty() && count.text.bytes().all(|byte| byte.is_ascii_digit());
    // The kernel keeps the number in 32 bits; past those, no key could be long enough anyway.
    let value = count.text.parse::<u32>().ok().filter(|count| digits && count.is_power_of_two());
    value.map(|count| count as usize).ok_or_else(|| SpecError::new(Part::KeyCount, count, Why::KeyCount))
}

/// essiv needs a hash after its colon; which one, is looked at later.
fn check_essiv_hash(iv: Option<Piece<'_>>, option: Option<Piece<'_>>) -> Result<(), SpecError> {
    match iv {
        Some(iv) if iv.text == IvSpec::ESSIV && option.is_none() => {
            Err(SpecError::new(Part::IvMode, iv, Why::EssivWithoutHash))
        }
        _ => Ok(()),
    }
}

/// The crypto API has names up to a limit.
fn check_name_length(bytes: usize, at: Piece<'_>) -> Result<(), SpecError> {
    if bytes < ALGORITHM_NAME_LIMIT {
        return Ok(());
    }
    Err(SpecError::new(Part::Name, at, Why::TooLong { bytes }))
}
