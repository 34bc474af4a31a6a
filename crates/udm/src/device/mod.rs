//! From what a person names to a device: a table, a LUKS image, or a raw file.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use crate::luks::{LuksError, Unlocking};
use udm_backend::locate::{self, Named};
use udm_backend::{Cache, EngineChoice, FileOptions, OpenError};
use udm_block::DeviceRef;
use udm_block::memory::{Heap, Source};
use udm_dm::load::{LoadError, Lookup, load_with};
use udm_dm::managed::{ManageError, ManagedDevice, ManagedOptions};
use udm_dm::table::{Table, TableError};
use udm_dm::targets::Reserves;
use udm_dm::targets::crypt::{CipherChoice, Requests};
use udm_export::nbd::address::{NbdUri, UriError};
use udm_export::nbd::device::NbdDevice;

/// How devices are opened.
#[derive(Clone, Debug, Default)]
pub struct DeviceOptions {
    /// Nothing is written.
    pub read_only: bool,
    /// Whether files go through the page cache.
    pub cache: Cache,
    /// How files are read and written.
    pub engine: EngineChoice,
    /// Which cipher driver is used, and how.
    pub cipher: CipherChoice,
}

/// Why a device could not be opened.
#[derive(Debug, thiserror::Error)]
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
    /// A file that says nothing about itself.
    #[error("{0} has no LUKS header: name it raw:{0} to take its bytes as they are, or use --table-file")]
    NoHeader(String),
}

impl DeviceError {
    /// Whether the request was wrong, as opposed to the work having failed.
    pub fn is_request(&self) -> bool {
        match self {
            Self::NoReserve(_) => false,
            Self::Luks(error) => error.is_request(),
            _ => true,
        }
    }
}

impl From<ManageError> for DeviceError {
    fn from(error: ManageError) -> Self {
        match error {
            ManageError::Load(error) => error.into(),
            ManageError::Refused(_) => Self::Manage(error),
        }
    }
}

impl From<LoadError> for DeviceError {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Table(error) => error.into(),
            LoadError::NoReserve(error) => error.into(),
        }
    }
}

/// Finds what tables name among files, block devices, exports of NBD servers, `ram:` and `null:`. A file that several tables name is opened
/// once: it is locked against others, and they are none.
pub struct Files {
    options: DeviceOptions,
    source: Source,
    reserves: Reserves,
    opened: RefCell<HashMap<String, DeviceRef>>,
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
        self.load(&Table::parse(text)?)
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

    /// The device that `name` is: see [`open_image`].
    ///
    /// # Errors
    /// Those of [`open_image`].
    pub fn open_image(&self, name: &str, unlocking: &Unlocking) -> Result<DeviceRef, DeviceError> {
        match name.strip_prefix("raw:") {
            Some(path) => {
                let device = self.open(path, 512)?;
                let geometry = device.geometry();
                let is_file = std::fs::metadata(path).is_ok_and(|found| found.is_file());
                if geometry.padding > 0 && !is_file {
                    return Err(DeviceError::PartialBlock {
                        path: path.into(),
                        bytes: geometry.stored().0,
                        block: geometry.logical_block,
                        sectors: geometry.stored_blocks().0,
                    });
                }
                Ok(device)
            }
            None if is_nbd(name) => Ok(self.open(name, 512)?),
            None => self.load(&luks_table(name, unlocking)?),
        }
    }

    /// The names of all that was opened.
    pub fn names(&self) -> Vec<String> {
        self.opened.borrow().keys().cloned().collect()
    }

    /// The files whose bytes go through the page cache, with the reason, for people.
    pub fn through_page_cache(&self) -> Vec<String> {
        self.cached.borrow().clone()
    }

    fn open(&self, name: &str, block_size: u32) -> Result<DeviceRef, OpenError> {
        if is_nbd(name) {
            let device = attach(name, block_size, self.options.read_only)?;
            self.opened.borrow_mut().insert(name.to_owned(), DeviceRef::clone(&device));
            return Ok(device);
        }
        let named = locate::open(name, &self.options.file_options(block_size))?;
        if let Named::File(file) = &named
            && !file.is_direct()
        {
            self.cached.borrow_mut().push(file.describe());
        }
        let device = DeviceRef::from(named);
        self.opened.borrow_mut().insert(name.to_owned(), DeviceRef::clone(&device));
        Ok(device)
    }
}

/// Whether `name` is of an export of an NBD server: its bytes are taken as they are.
pub fn is_nbd(name: &str) -> bool {
    ["nbd://", "nbd+unix://", "nbds://", "nbds+unix://"].iter().any(|scheme| name.starts_with(scheme))
}

/// Attaches to an export of an NBD server.
fn attach(name: &str, block_size: u32, read_only: bool) -> Result<DeviceRef, OpenError> {
    let failed = |why: String| OpenError::Name { name: name.to_owned(), why };
    let uri: NbdUri = name.parse().map_err(|error: UriError| failed(error.to_string()))?;
    let device = NbdDevice::attach(&uri, block_size, read_only).map_err(|error| failed(error.to_string()))?;
    Ok(Arc::new(device))
}

impl Lookup for Files {
    fn device(&self, name: &str, block_size: u32) -> Result<DeviceRef, String> {
        // Two tables with scratch memory of one size do not mean the same memory.
        let is_own = name.starts_with("ram:") || name.starts_with("null:");
        let known = self.opened.borrow().get(name).filter(|_| !is_own).cloned();
        known.map_or_else(|| self.open(name, block_size).map_err(|error| error.to_string()), Ok)
    }
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

/// The device that `name` is: `raw:PATH` for the bytes of a file or block device, an NBD URI for those of an export, else an image with a LUKS header, which
/// is unlocked as `unlocking` says.
///
/// # Errors
/// When it cannot be opened, or is not of a kind that udm reads.
pub fn open_image(
    name: &str,
    options: &DeviceOptions,
    unlocking: &Unlocking,
) -> Result<DeviceRef, DeviceError> {
    Files::new(options).open_image(name, unlocking)
}

/// The table of the LUKS image `name`, which holds its volume key.
///
/// # Errors
/// When it is none, or cannot be unlocked.
pub fn luks_table(name: &str, unlocking: &Unlocking) -> Result<Table, DeviceError> {
    unlocking.table(Path::new(name)).map_err(|error| {
        // A file that is not there, or may not be read, says so in the words of the back end.
        let options = FileOptions { read_only: true, ..FileOptions::default() };
        match (&error, locate::open(name, &options)) {
            (LuksError::File { path, .. }, Err(open)) if path == Path::new(name) => open.into(),
            _ if error.is_no_header() && unlocking.header.is_none() => DeviceError::NoHeader(name.into()),
            _ => error.into(),
        }
    })
}
