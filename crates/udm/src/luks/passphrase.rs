//! Where a passphrase comes from: an open set. This crate has bytes; a program asks its user, a vault, a token.

use std::error::Error;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use udm_luks::Secret;

/// Where the passphrase of a volume comes from.
///
/// It is asked when the volume's header has been read and everything that is wrong whatever the passphrase is has been
/// said.
pub trait PassphraseSource: fmt::Debug + Send + Sync {
    /// The passphrase of the volume `image`.
    ///
    /// # Errors
    /// When there is none.
    fn passphrase(&self, image: &Path) -> Result<Arc<Secret>, PassphraseError>;

    /// A passphrase for a volume `image` that is made. It is not empty.
    ///
    /// # Errors
    /// When there is none.
    fn new_passphrase(&self, image: &Path) -> Result<Arc<Secret>, PassphraseError>;
}

/// Why there is no passphrase, in the words of its source.
#[derive(Debug)]
pub struct PassphraseError(Box<dyn Error + Send + Sync>);

impl PassphraseError {
    /// Because of `why`.
    pub fn new(why: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(why.into())
    }
}

impl fmt::Display for PassphraseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for PassphraseError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

/// These bytes.
impl PassphraseSource for Arc<Secret> {
    fn passphrase(&self, _image: &Path) -> Result<Arc<Secret>, PassphraseError> {
        Ok(Self::clone(self))
    }

    fn new_passphrase(&self, _image: &Path) -> Result<Arc<Secret>, PassphraseError> {
        if self.is_empty() {
            return Err(PassphraseError::new("the new passphrase is empty: anybody would guess it"));
        }
        Ok(Self::clone(self))
    }
}

/// There is none.
#[derive(Clone, Copy, Default, Debug)]
pub struct NoPassphrase;

impl PassphraseSource for NoPassphrase {
    fn passphrase(&self, image: &Path) -> Result<Arc<Secret>, PassphraseError> {
        let why = format!("{} is a LUKS volume, and no passphrase was given for it", image.display());
        Err(PassphraseError::new(why))
    }

    fn new_passphrase(&self, image: &Path) -> Result<Arc<Secret>, PassphraseError> {
        let why = format!("no passphrase was given for the new volume {}", image.display());
        Err(PassphraseError::new(why))
    }
}
