//! From what a person names to a device: a table, a LUKS volume, or bytes as they are.
//!
//! * [`name`]: what a word names, and which options have a meaning for it.
//! * `content`: what a device without a LUKS header holds instead.

mod content;
mod medium;
pub mod name;

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;

use crate::luks::{LuksError, Unlocking};
use medium::Medium;
pub use name::{DeviceName, NameError, Place, Takes};
use udm_backend::{BackendTypes, Cache, EngineChoice, FileOptions, OpenError, Opened, path_of};
use udm_block::DeviceRef;
use udm_block::memory::{Heap, Source};
use udm_dm::load::{LoadError, Lookup, LookupError, load_with};
use udm_dm::managed::{ManageError, ManagedDevice, ManagedOptions};
use udm_dm::table::{Table, TableError};
use udm_dm::targets::crypt::{CipherChoice, Requests};
use udm_dm::targets::{Reserves, TargetTypes};

/// How devices are opened.
///
/// New fields come with a new major version only.
#[derive(Clone, Debug)]
pub struct DeviceOptions {
    /// Nothing is written.
    pub read_only: bool,
    /// Whether files go through the page cache.
    pub cache: Cache,
    /// How files are read and written.
    pub engine: EngineChoice,
    /// Which cipher driver is used, and how.
    pub cipher: CipherChoice,
    /// What names may mean besides files.
    pub backends: BackendTypes,
    /// The targets that tables may have.
    pub targets: TargetTypes,
}

impl Default for DeviceOptions {
    fn default() -> Self {
        Self {
            read_only: false,
            cache: Cache::default(),
            engine: EngineChoice::default(),
            cipher: CipherChoice::default(),
            backends: BackendTypes::builtin().clone(),
            targets: udm_targets::all().clone(),
        }
    }
}

/// Why a device could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// The table is wrong, or what it names does not fit.
    #[error(transparent)]
    Table(#[from] TableError),
    /// There is no memory.
    #[error(transparent)]
    NoReserve(#[from] udm_block::mempool::NoReserve),
    /// A managed device that refuses.
    #[error(transparent)]
    Manage(ManageError),
    /// A file or device.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A LUKS image that is not opened.
    #[error(transparent)]
    Luks(#[from] LuksError),
    /// A block device whose last bytes the kernel does not transfer.
    #[error(
        "{path}: has {bytes} bytes, which end within a block of {block}, and the kernel reads and writes whole blocks only; \
         attach what it is made of with smaller blocks (losetup -b 512), or leave the last bytes out: \
         --table \"0 {sectors} linear {path} 0\""
    )]
    PartialBlock {
        /// Its path.
        path: String,
        /// Its length in bytes.
        bytes: u64,
        /// The size of a block in bytes.
        block: u32,
        /// How many sectors its whole blocks have.
        sectors: u64,
    },
    /// The system refused what a target needs.
    #[error("{what} failed: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// A word that names no device.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A device without a LUKS header: what it is instead, and what would do.
    #[error("{0}")]
    NoHeader(String),
    /// Bytes that were to be unlocked.
    #[error("{0} names bytes as they are, and there is nothing to unlock in them")]
    NothingToUnlock(String),
}

impl DeviceError {
    /// Whether the request was wrong, as opposed to the work having failed.
    pub fn is_request(&self) -> bool {
        match self {
            Self::NoReserve(_) | Self::System { .. } => false,
            Self::Luks(error) => error.is_request(),
            _ => true,
        }
    }
}

impl From<ManageError> for DeviceError {
    fn from(error: ManageError) -> Self {
        match error {
            ManageError::Load(error) => error.into(),
            error => Self::Manage(error),
        }
    }
}

impl From<LoadError> for DeviceError {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Table(error) => error.into(),
            LoadError::NoReserve(error) => error.into(),
            LoadError::System { what, source } => Self::System { what, source },
            error => Self::Manage(ManageError::Load(error)),
        }
    }
}

/// Finds what tables name among files, block devices and back ends. A file that several tables name is opened once: it is
/// locked against others, and they are none.
pub struct Files {
    options: DeviceOptions,
    source: Source,
    reserves: Reserves,
    /// By what is the same for all names of one thing.
    opened: RefCell<HashMap<String, (String, DeviceRef)>>,
    cached: RefCell<Vec<String>>,
}

impl Files {
    /// Opens files as `options` say.
    pub fn new(options: &DeviceOptions) -> Self {
        Self {
            options: options.clone(),
            source: Arc::new(Heap),
            reserves: Reserves::default(),
            opened: RefCell::default(),
            cached: RefCell::default(),
        }
    }

    /// The same with devices that take their memory from `source`, and have these reserves.
    #[must_use]
    pub fn with_memory(self, source: Source, reserves: Reserves) -> Self {
        Self { source, reserves, ..self }
    }

    /// The device that a table in dmsetup's syntax describes.
    ///
    /// # Errors
    /// When the table is wrong, what it names cannot be opened, or there is no memory.
    pub fn open_table(&self, text: &str) -> Result<DeviceRef, DeviceError> {
        self.load(&Table::parse_with(&self.options.targets, text)?)
    }

    /// The device of a table.
    ///
    /// # Errors
    /// When what it names cannot be opened or does not fit, or there is no memory.
    pub fn load(&self, table: &Table) -> Result<DeviceRef, DeviceError> {
        Ok(load_with(table, self, &self.options.cipher, &self.source, self.reserves)?.into())
    }

    /// The same as a device whose table can be replaced, and which takes messages.
    ///
    /// # Errors
    /// Those of [`Files::load`].
    pub fn open_managed(&self, name: &str, table: Table) -> Result<Arc<ManagedDevice>, DeviceError> {
        let options = ManagedOptions {
            read_only: self.options.read_only,
            cipher: self.options.cipher.clone(),
            source: Arc::clone(&self.source),
            reserves: self.reserves,
        };
        Ok(ManagedDevice::create(name, table, self, options)?)
    }

    /// The device that `name` is, unlocked as `unlocking` says where it is a LUKS volume.
    ///
    /// # Errors
    /// When it cannot be opened or unlocked, or when there is nothing to unlock and it is said how.
    pub fn open_device(
        &self,
        name: &DeviceName,
        unlocking: Option<&Unlocking>,
    ) -> Result<DeviceRef, DeviceError> {
        match (name, unlocking) {
            (DeviceName::Raw(place), None) => self.open_raw(place),
            (DeviceName::Raw(_), Some(_)) => Err(DeviceError::NothingToUnlock(name.to_string())),
            (DeviceName::Luks(place), how) => {
                let asks = Unlocking::default();
                self.load(&self.luks_table(place, how.unwrap_or(&asks))?)
            }
        }
    }

    /// The bytes at `place`, all of them.
    fn open_raw(&self, place: &Place) -> Result<DeviceRef, DeviceError> {
        let device = self.look_up(&place.in_table(), 512)?;
        let geometry = device.geometry();
        if let Place::Path(path) = place
            && geometry.padding > 0
            && !std::fs::metadata(path).is_ok_and(|found| found.is_file())
        {
            return Err(DeviceError::PartialBlock {
                path: place.in_table(),
                bytes: geometry.stored().0,
                block: geometry.logical_block,
                sectors: geometry.stored_blocks().0,
            });
        }
        Ok(device)
    }

    /// The table of the LUKS volume at `place`, which holds its volume key. Nothing is unlocked where there is none.
    ///
    /// # Errors
    /// When there is none, or it cannot be unlocked.
    pub fn luks_table(&self, place: &Place, unlocking: &Unlocking) -> Result<Table, DeviceError> {
        let medium = match place {
            Place::Path(path) => Medium::file(path).map_err(|error| self.refusal(path, error))?,
            // Connected to once: a server may take one client alone, and end after it.
            Place::Other(_) => Medium::device(self.look_up(&place.in_table(), 512)?)
                .map_err(|why| OpenError::Name { name: place.to_string(), why, hint: None })?,
        };
        unlocking.table(place, &medium).map_err(|error| match error {
            error if error.is_no_header() && unlocking.header.is_none() => {
                DeviceError::NoHeader(content::explain(place, &medium))
            }
            error => error.into(),
        })
    }

    /// A file that is not there, or may not be read, says so in the words of the back end.
    fn refusal(&self, path: &Path, error: LuksError) -> DeviceError {
        let options = DeviceOptions { read_only: true, ..self.options.clone() };
        match udm_backend::file::open(path, &options.file_options(512)) {
            Err(open) => open.into(),
            Ok(_) => error.into(),
        }
    }

    /// The names of all that was opened.
    pub fn names(&self) -> Vec<String> {
        self.opened.borrow().values().map(|(name, _)| name.clone()).collect()
    }

    /// The files whose bytes go through the page cache, with the reason, for people.
    pub fn through_page_cache(&self) -> Vec<String> {
        self.cached.borrow().clone()
    }

    /// The device of this name in a table, which is opened once: a file of several names, too.
    fn look_up(&self, name: &str, block_size: u32) -> Result<DeviceRef, OpenError> {
        let location = self.options.backends.parse(name)?;
        // Two tables with scratch memory of one size do not mean the same memory.
        let is_own = location.as_ref().is_some_and(|location| location.is_scratch());
        let key = identity(name);
        let known = self.opened.borrow().get(&key).filter(|_| !is_own).map(|(_, device)| device.clone());
        if let Some(device) = known {
            return Ok(device);
        }
        let opened = Opened::at(location.as_deref(), name, &self.options.file_options(block_size))?;
        if let Opened::File(file) = &opened
            && !file.is_direct()
        {
            self.cached.borrow_mut().push(file.describe());
        }
        let device = DeviceRef::from(opened);
        self.opened.borrow_mut().insert(key, (name.to_owned(), DeviceRef::clone(&device)));
        Ok(device)
    }
}

/// What is the same for all names of one file; of anything else, its name.
fn identity(name: &str) -> String {
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    match std::fs::metadata(path_of(name)) {
        Ok(found) if found.file_type().is_block_device() => format!("device {}", found.rdev()),
        Ok(found) => format!("file {} {}", found.dev(), found.ino()),
        Err(_) => name.to_owned(),
    }
}

impl Lookup for Files {
    fn device(&self, name: &str, block_size: u32) -> Result<DeviceRef, LookupError> {
        self.look_up(name, block_size).map_err(|error| lookup_error(&error))
    }
}

/// What a back end says, for an error that names the device by itself.
fn lookup_error(error: &OpenError) -> LookupError {
    let what = error.path().map(|path| path.display().to_string());
    LookupError::Unusable { what, why: error.wrong(), hint: error.hint().map(str::to_owned) }
}

impl DeviceOptions {
    /// For a file whose user transfers multiples of `block_size` bytes.
    fn file_options(&self, block_size: u32) -> FileOptions {
        FileOptions {
            read_only: self.read_only,
            cache: self.cache,
            engine: self.engine,
            block_size,
            ..FileOptions::default()
        }
    }

    /// The same with another way to give sectors to the cipher.
    #[must_use]
    pub fn with_requests(mut self, requests: Requests) -> Self {
        self.cipher.requests = requests;
        self
    }
}

/// The device that a table in dmsetup's syntax describes.
///
/// # Errors
/// When the table is wrong, what it names cannot be opened, or there is no memory.
pub fn open_table(text: &str, options: &DeviceOptions) -> Result<DeviceRef, DeviceError> {
    Files::new(options).open_table(text)
}

/// The device that `name` is: `raw:PATH` or `raw:URI` for the bytes of a file, block device or export of an NBD server;
/// `ram:SIZE` for memory; else a LUKS volume in a file, block device or export, which is unlocked as `unlocking` says.
///
/// # Errors
/// When it cannot be opened, or is not of a kind that udm reads.
pub fn open_image(
    name: impl AsRef<OsStr>,
    options: &DeviceOptions,
    unlocking: Option<&Unlocking>,
) -> Result<DeviceRef, DeviceError> {
    let name = DeviceName::parse_with(&options.backends, name.as_ref())?;
    Files::new(options).open_device(&name, unlocking)
}

/// The table of the LUKS image at `path`, which holds its volume key.
///
/// # Errors
/// When it is none, or cannot be unlocked.
pub fn luks_table(path: &Path, unlocking: &Unlocking) -> Result<Table, DeviceError> {
    Files::new(&DeviceOptions::default()).luks_table(&Place::Path(path.into()), unlocking)
}
