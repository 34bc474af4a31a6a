//! What can be wrong with a key, and with a request.

use crate::algorithm::Algorithm;

/// Why a key was not taken. No variant holds a byte of it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The algorithm has no key of this size.
    #[error("{algorithm} takes a key of {} bytes, and this one has {found}", sizes(*algorithm))]
    Size {
        /// The algorithm.
        algorithm: Algorithm,
        /// The key's length in bytes.
        found: usize,
    },
    /// The driver does not take this key, though the algorithm does; another driver may.
    #[error("driver {driver} does not take this key of {algorithm}: {why}")]
    Refused {
        /// The driver's name.
        driver: &'static str,
        /// The algorithm.
        algorithm: Algorithm,
        /// What is in the way.
        why: &'static str,
    },
    /// No driver here has this algorithm, or none by the name asked for.
    #[error("no driver{} does {algorithm} here; `udm ciphers` lists those there are", named(name.as_deref()))]
    NoDriver {
        /// The algorithm.
        algorithm: Algorithm,
        /// The name that was asked for, where one was.
        name: Option<String>,
    },
    /// This crate was built without the cipher, or without the driver that was asked for by name.
    #[error("this build has no {what} {name}: feature {feature}")]
    NotBuilt {
        /// A cipher or a driver.
        what: &'static str,
        /// Its name.
        name: &'static str,
        /// The feature of this crate that has it.
        feature: &'static str,
    },
    /// The driver asked for by name is there and cannot be used.
    #[error("driver {driver} is not used for {algorithm}: {why}")]
    NotUsed {
        /// The driver's name.
        driver: &'static str,
        /// The algorithm.
        algorithm: Algorithm,
        /// How it failed its self-test, or what this machine lacks for it.
        why: String,
    },
}

/// Why a request was not carried out. Small, since it travels on the I/O path.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CryptError {
    /// The request breaks the contract of [`Request`](crate::Request); nothing was written.
    #[error("the cipher request is not valid")]
    InvalidRequest,
    /// The driver does not take units of this size; nothing was written.
    #[error("the cipher driver refuses units of this size")]
    UnitSizeRefused,
    /// The driver failed; the destination may be written in part.
    #[error("the cipher driver failed")]
    Failed,
    /// A request of several units came without the memory that its driver asks for; nothing was written.
    #[error("the cipher request lacks memory that the driver needs")]
    NoMemory,
    /// The driver lost the request, which is a bug in it; the destination may be written in part.
    #[error("the cipher driver lost the request")]
    Lost,
}

impl KeyError {
    /// No driver has `algorithm`, or none of this name.
    pub(crate) fn no_driver(algorithm: Algorithm, name: Option<&str>) -> Self {
        if !algorithm.cipher.is_built() {
            return Self::NotBuilt { what: "cipher", name: algorithm.cipher.name(), feature: RARE_CIPHERS };
        }
        if name == Some(AWS_LC) && !cfg!(feature = "aws-lc") {
            return Self::NotBuilt { what: "driver", name: AWS_LC, feature: AWS_LC };
        }
        Self::NoDriver { algorithm, name: name.map(str::to_owned) }
    }
}

/// The feature with the ciphers and hashes that few volumes have.
pub(crate) const RARE_CIPHERS: &str = "rare-ciphers";
/// The driver, and the feature that has it.
const AWS_LC: &str = "aws-lc";

/// The key sizes of `algorithm` in words, such as "32, 48 or 64"; of very many, the first and the last.
fn sizes(algorithm: Algorithm) -> String {
    let sizes: Vec<_> = algorithm.key_sizes().map(|size| size.to_string()).collect();
    match sizes.split_last() {
        Some((last, rest)) if rest.len() > 5 => format!("{}, ... or {last}", rest[..3].join(", ")),
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => sizes.concat(),
    }
}

/// The driver's name behind the word "driver".
fn named(name: Option<&str>) -> String {
    name.map(|name| format!(" named {name}")).unwrap_or_default()
}

impl Algorithm {
    /// Whether a key of `len` bytes is one of this algorithm.
    ///
    /// # Errors
    /// [`KeyError::Size`], which says what it takes.
    pub fn check_key_size(self, len: usize) -> Result<(), KeyError> {
        if self.key_sizes().any(|size| size == len) {
            Ok(())
        } else {
            Err(KeyError::Size { algorithm: self, found: len })
        }
    }
}
