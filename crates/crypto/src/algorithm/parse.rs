//! An algorithm from the crypto API's name of it, and what can be wrong with one.

use super::{Algorithm, Cipher, Mode};
use std::str::FromStr;

/// Why a name is none of an algorithm. Its text says what there is.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AlgorithmError {
    /// No such cipher.
    #[error("cipher \"{0}\" is none that udm has: {ciphers}", ciphers = names(Cipher::ALL.map(Cipher::name)))]
    Cipher(String),
    /// No such mode.
    #[error("cipher mode \"{0}\" is none that udm has: {modes}", modes = modes(|_| true))]
    Mode(String),
    /// The mode does not take the cipher.
    #[error("{}", unfit(*mode, *cipher))]
    Unfit {
        /// The mode.
        mode: Mode,
        /// The cipher.
        cipher: Cipher,
    },
}

impl FromStr for Algorithm {
    type Err = AlgorithmError;

    /// Reads a name such as `xts(aes)`, `adiantum(xchacha12,aes)` or `chacha20`.
    fn from_str(name: &str) -> Result<Self, AlgorithmError> {
        let (mode, cipher) = match name.strip_suffix(')').and_then(|name| name.split_once('(')) {
            Some((mode, cipher)) => {
                (Mode::from_name(mode).ok_or_else(|| AlgorithmError::Mode(mode.into()))?, cipher)
            }
            None => (Mode::Stream, name),
        };
        let cipher = Cipher::from_name(cipher).ok_or_else(|| AlgorithmError::Cipher(cipher.into()))?;
        Self::new(mode, cipher)
    }
}

/// What is wrong with a mode around a cipher, and what would do.
fn unfit(mode: Mode, cipher: Cipher) -> String {
    let name = cipher.name();
    if cipher.is_stream() && mode != Mode::Stream {
        return format!("cipher \"{name}\" is a stream cipher, and stands without a mode");
    }
    let fit = modes(|mode| mode.takes(cipher));
    match mode {
        Mode::Stream => format!("cipher \"{name}\" has no mode around it, and needs one of: {fit}"),
        mode => format!("cipher mode \"{}\" does not take \"{name}\", which can be in: {fit}", mode.name()),
    }
}

/// The names of the modes that `fit`.
fn modes(fit: impl Fn(Mode) -> bool) -> String {
    names(Mode::ALL.into_iter().filter(|mode| *mode != Mode::Stream && fit(*mode)).map(Mode::name))
}

/// Names one after the other.
fn names(names: impl IntoIterator<Item = &'static str>) -> String {
    names.into_iter().collect::<Vec<_>>().join(" ")
}
