//! From a LUKS image to a table: the header's volume key, cipher and place make a crypt row.

mod passphrase;

use std::fs::File;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use udm_block::{Sector, Sectors, stack};
use udm_dm::table::{Fault, Row, Table};
use udm_dm::targets::crypt::params::{CryptOptions, CryptSpec, KeyBytes};
use udm_luks::{HeaderPlace, ReadAt, UnlockOptions, Unlocked, Volume};
use zeroize::Zeroizing;

use crate::device::name;

pub use passphrase::{NoPassphrase, PassphraseError, PassphraseSource};

/// How LUKS images are unlocked.
///
/// New fields come with a new major version only.
#[derive(Clone, Debug)]
pub struct Unlocking {
    /// The file or device that has the header; without it, it is before the data.
    pub header: Option<PathBuf>,
    /// Where the passphrase comes from.
    pub passphrase: Arc<dyn PassphraseSource>,
    /// Which key slot is tried, and what it may cost.
    pub options: UnlockOptions,
    /// Discards are passed on, also where the header does not say so.
    pub allow_discards: bool,
}

/// Why a LUKS image was not opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LuksError {
    /// The image or its header cannot be opened.
    #[error("{}: {source}{}", path.display(), hint(path))]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The header, or the passphrase.
    #[error("{}: {error}", path.display())]
    Luks {
        /// The file with the header.
        path: PathBuf,
        /// What is wrong.
        error: udm_luks::Error,
    },
    /// The detached header is the image itself.
    #[error("{}: --header names the image itself; leave --header out where the header is before the data", path.display())]
    HeaderIsImage {
        /// The image.
        path: PathBuf,
    },
    /// There is no passphrase to try.
    #[error(transparent)]
    Passphrase(#[from] PassphraseError),
    /// The data's cipher is not known here, or does not take the key.
    #[error("{}: the cipher of the data: {fault}", path.display())]
    Cipher {
        /// The image.
        path: PathBuf,
        /// What is wrong.
        fault: Fault,
    },
}

/// What would do where a name that is no path was given for one.
fn hint(path: &Path) -> &'static str {
    match path.to_str() {
        Some(name) if name.starts_with("raw:") => {
            "; a LUKS header is in a file or block device: leave out raw:"
        }
        Some(name) if name.contains("://") => {
            "; a file or block device is needed here: nbdfuse shows the export of an NBD server as a file"
        }
        _ => "",
    }
}

impl LuksError {
    /// Whether the request was wrong, as opposed to the work having failed.
    pub fn is_request(&self) -> bool {
        match self {
            Self::Luks { error, .. } => error.class() != udm_luks::ErrorClass::Machine,
            _ => true,
        }
    }

    /// Whether there is no LUKS header at all.
    pub fn is_no_header(&self) -> bool {
        matches!(self, Self::Luks { error: udm_luks::Error::NoHeader, .. })
    }
}

impl Default for Unlocking {
    /// With no passphrase.
    fn default() -> Self {
        Self {
            header: None,
            passphrase: Arc::new(NoPassphrase),
            options: UnlockOptions::default(),
            allow_discards: false,
        }
    }
}

impl Unlocking {
    /// With `passphrase`, and all else as usual.
    pub fn with(passphrase: impl PassphraseSource + 'static) -> Self {
        Self { passphrase: Arc::new(passphrase), ..Self::default() }
    }

    /// The header of `image`, checked.
    ///
    /// # Errors
    /// When there is none, or it cannot be read or understood.
    pub fn volume(&self, image: &Path) -> Result<Volume<File>, LuksError> {
        let (path, place) = match &self.header {
            Some(header) => (detached(header, image)?, HeaderPlace::Detached),
            None => (image, HeaderPlace::Attached),
        };
        let file = open(path)?;
        let volume =
            Volume::open(file, place).map_err(|error| LuksError::Luks { path: path.into(), error })?;
        if let Some(notice) = volume.notice() {
            tracing::warn!("{}: {notice}", path.display());
        }
        Ok(volume)
    }

    /// The table of the volume whose bytes at `place` are read from `data`. It holds the volume key.
    ///
    /// # Errors
    /// When it cannot be unlocked.
    pub(crate) fn table(&self, place: &name::Place, data: &dyn ReadAt) -> Result<Table, LuksError> {
        let name = PathBuf::from(place.to_string());
        let size = data.size().map_err(|source| LuksError::File { path: name.clone(), source })?;
        let path = self.header.clone().unwrap_or_else(|| name.clone());
        let failed = |error| LuksError::Luks { path: path.clone(), error };
        let unlocked = match &self.header {
            Some(_) => self.unlock(&self.volume(&name)?, &name, &path),
            None => self.unlock(&Volume::open(data, HeaderPlace::Attached).map_err(failed)?, &name, &path),
        }?;
        // Too short is the image, wherever the header is.
        let size = unlocked.size(size).map_err(|error| LuksError::Luks { path: name.clone(), error })?;
        stack::wiped(|| self.row(place.in_table(), &name, &unlocked, size))
    }

    /// Unlocks the volume of the image of this `name`, whose header is at `path`.
    fn unlock(&self, volume: &Volume<impl ReadAt>, name: &Path, path: &Path) -> Result<Unlocked, LuksError> {
        if let (None, Some(notice)) = (&self.header, volume.notice()) {
            tracing::warn!("{}: {notice}", path.display());
        }
        let failed = |error| LuksError::Luks { path: path.into(), error };
        // What is refused whatever the passphrase is, is refused before anybody is asked for one.
        volume.check_unlock(&self.options).map_err(failed)?;
        let passphrase = self.passphrase.passphrase(name)?;
        let unlocked = volume.unlock(&passphrase, &self.options).map_err(failed)?;
        tracing::info!("{}: key slot {} unlocked", name.display(), unlocked.key_slot);
        Ok(unlocked)
    }

    /// The one row of a table of `size` bytes, over the `device` that a table names so.
    pub(crate) fn row(
        &self,
        device: String,
        image: &Path,
        unlocked: &Unlocked,
        size: u64,
    ) -> Result<Table, LuksError> {
        let (segment, flags) = (&unlocked.segment, unlocked.flags);
        let options = CryptOptions {
            allow_discards: flags.allow_discards || self.allow_discards,
            same_cpu_crypt: flags.same_cpu_crypt,
            submit_from_crypt_cpus: flags.submit_from_crypt_cpus,
            no_read_workqueue: flags.no_read_workqueue,
            no_write_workqueue: flags.no_write_workqueue,
            sector_size: segment.sector_size as usize,
            ..CryptOptions::default()
        };
        let device = (device, Sector(segment.offset / 512));
        let key = KeyBytes::new(Zeroizing::new(unlocked.key.to_vec()));
        let failed = |fault| LuksError::Cipher { path: image.into(), fault };
        let spec =
            CryptSpec::new(&segment.encryption, key, segment.iv_tweak, device, options).map_err(failed)?;
        let row = Row::new(Sector(0), Sectors(size / 512), spec);
        Ok(Table { rows: vec![row] })
    }
}

/// Whether dm-crypt has the cipher `encryption` with a key of `key_size` bytes and such sectors: what a new volume's data
/// are to be under.
///
/// # Errors
/// What is wrong with it.
pub fn check_cipher(encryption: &str, key_size: usize, sector_size: u32) -> Result<(), Fault> {
    // The bytes differ, as ciphers refuse keys of equal halves.
    let key = KeyBytes::new(Zeroizing::new((0..key_size).map(|byte| byte as u8).collect()));
    let options = CryptOptions { sector_size: sector_size as usize, ..CryptOptions::default() };
    CryptSpec::new(encryption, key, 0, ("null:1M".into(), Sector(0)), options).map(drop)
}

/// `header`, where it is another file or device than `image`.
///
/// # Errors
/// Where it is the same: its header would be taken for one that is not before the data.
pub fn detached<'a>(header: &'a Path, image: &Path) -> Result<&'a Path, LuksError> {
    let identity = |path: &Path| {
        let told = std::fs::metadata(path).ok()?;
        let is_device = told.file_type().is_block_device();
        Some(if is_device { (true, told.rdev(), 0) } else { (false, told.dev(), told.ino()) })
    };
    match (identity(header), identity(image)) {
        (Some(one), Some(other)) if one == other => Err(LuksError::HeaderIsImage { path: image.into() }),
        _ => Ok(header),
    }
}

fn open(path: &Path) -> Result<File, LuksError> {
    File::open(path).map_err(|source| LuksError::File { path: path.into(), source })
}
