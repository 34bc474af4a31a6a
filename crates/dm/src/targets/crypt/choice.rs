//! Which cipher driver a volume uses, and how.

use udm_crypto::registry::{Choice, Registry};
use udm_crypto::{Algorithm, KeyError, Skcipher};

/// How sectors are given to the cipher.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Requests {
    /// All sectors of a bio in one request.
    #[default]
    WholeBio,
    /// A request for each sector, as the kernel does: the fallback, and what the other is held against.
    PerSector,
}

/// Which cipher driver a volume uses, and how.
///
/// New fields come with a new major version only.
#[derive(Clone, Debug, Default)]
pub struct CipherChoice {
    /// A driver's name; the best one when there is none.
    pub driver: Option<String>,
    /// How sectors are given to it.
    pub requests: Requests,
}

impl CipherChoice {
    /// Sets a key.
    pub(super) fn key(&self, algorithm: Algorithm, key: &[u8]) -> Result<Skcipher, KeyError> {
        let choice = self.driver.as_deref().map_or(Choice::Best, Choice::Named);
        Skcipher::new(Registry::global(), choice, algorithm, key)
    }
}
