//! The drivers that udm comes with, and the registry of this program.

use std::sync::OnceLock;

#[cfg(all(feature = "aws-lc", not(miri)))]
use crate::library;
use crate::registry::Registry;
use crate::{aes, offload, portable, threads};

static GLOBAL: OnceLock<Registry> = OnceLock::new();

impl Registry {
    /// A registry of the drivers that udm comes with.
    pub fn new() -> Self {
        let mut registry = Self::default();
        let here = portable::drivers();
        #[cfg(all(feature = "aws-lc", not(miri)))]
        let here = here.chain(library::drivers());
        let here = here.chain(aes::drivers()).chain(threads::drivers()).chain(offload::drivers());
        // A driver is tested against the portable one, which lacks these.
        for driver in here.filter(|driver| driver.algorithm.cipher.is_built()) {
            registry.register(driver);
        }
        registry
    }

    /// The registry of this program, which all devices take their drivers from: the one that was
    /// [installed](Self::install), else [`new`](Self::new).
    pub fn global() -> &'static Self {
        GLOBAL.get_or_init(Self::new)
    }

    /// Makes this the registry of this program, which has drivers of its own.
    ///
    /// ```
    /// use udm_crypto::*;
    ///
    /// /// A driver that does not encrypt.
    /// struct Copies;
    ///
    /// impl KeyedCipher for Copies {
    ///     fn crypt(&self, request: &mut Request<'_>) -> Result<(), CryptError> {
    ///         let mut bytes = vec![0; request.src.len()];
    ///         request.src.clone().read(&mut bytes);
    ///         request.dst.write(&bytes);
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let info = DriverInfo {
    ///     name: "copies",
    ///     multi_unit: MultiUnit::Native,
    ///     speed: Speed::Wide,
    ///     priority: 1000,
    ///     description: "as fast as memory",
    ///     for_tests: false,
    /// };
    /// let algorithm = Algorithm::aes(Mode::Xts);
    /// let mut registry = Registry::new();
    /// registry.register(Driver { info, algorithm, lacking: None, key: |_, _| Ok(Box::new(Copies)) });
    /// registry.install().expect("nobody has used the registry yet");
    ///
    /// // It has the highest priority, and gets no key: whoever does not pass the known answers is not used.
    /// let driver = &Registry::global().list_of(algorithm)[0];
    /// assert_eq!(driver.info.name, "copies");
    /// assert!(matches!(driver.standing, Standing::Failed(_)));
    /// ```
    ///
    /// # Errors
    /// The registry, where the program has one in use already.
    pub fn install(self) -> Result<(), Self> {
        GLOBAL.set(self)
    }
}
