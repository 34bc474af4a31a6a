//! From what a person names to a device: a table, or a raw file.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use udm_backend::locate::{self, Named};
use udm_backend::{Cache, EngineChoice, FileOptions, OpenError};
use udm_block::DeviceRef;
use udm_block::memory::{Heap, Source};
use udm_dm::load::{LoadError, Lookup, load_with};
use udm_dm::managed::{ManageError, ManagedDevice, ManagedOptions};
use udm_dm::table::{Table, TableError};
use udm_dm::targets::Reserves;
use udm_dm::targets::crypt::{CipherChoice, Requests};

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
    /// A LUKS image, which this release does not open.
    #[error(
        "{0} is a LUKS image, and udm does not read LUKS headers yet: open it with a table (--table-file) whose key is \
         the volume key"
    )]
    Luks(String),
    /// A file that says nothing about itself.
    #[error("{0} has no LUKS header: name it raw:{0} to take its bytes as they are, or use --table-file")]
    NoHeader(String),
}

impl DeviceError {
    /// Whether the request was wrong, as opposed to the work having failed.
    pub fn is_request(&self) -> bool {
        !matches!(self, Self::NoReserve(_))
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

/// Finds what tables name among files, block devices, `ram:` and `null:`. A file that several tables name is opened
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
        let (table, cipher) = (Table::parse(text)?, &self.options.cipher);
        Ok(load_with(&table, self, cipher, &self.source, self.reserves)?.into())
    }

    /// The same as a device whose table can be replaced, and which takes messages.
    ///
    /// # Errors
    /// Those of [`Files::open_table`].
    pub fn open_managed(&self, name: &str, text: &str) -> Result<Arc<ManagedDevice>, DeviceError> {
        let options = ManagedOptions {
            read_only: self.options.read_only,
            cipher: self.options.cipher.clone(),
            source: Arc::clone(&self.source),
            reserves: self.reserves,
        };
        Ok(ManagedDevice::create(name, Table::parse(text)?, self, options)?)
    }

    /// The device that `name` is: see [`open_image`].
    ///
    /// # Errors
    /// Those of [`open_image`].
    pub fn open_image(&self, name: &str) -> Result<DeviceRef, DeviceError> {
        if let Some(path) = name.strip_prefix("raw:") {
            return Ok(self.open(path, 512)?);
        }
        let is_luks = has_luks_magic(Path::new(name));
        // A file that is not there, or may not be read, says so in the words of the back end.
        if !is_luks {
            locate::open(name, &FileOptions { read_only: true, ..FileOptions::default() })?;
        }
        Err(if is_luks { DeviceError::Luks(name.into()) } else { DeviceError::NoHeader(name.into()) })
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

/// The device that `name` is: `raw:PATH` for the bytes of a file or block device, else an image with a header.
///
/// # Errors
/// When it cannot be opened, or is not of a kind that udm reads.
pub fn open_image(name: &str, options: &DeviceOptions) -> Result<DeviceRef, DeviceError> {
    Files::new(options).open_image(name)
}

/// Whether a file begins as LUKS1 and LUKS2 do (LUKS2 On-Disk Format Specification, section 2.1).
fn has_luks_magic(path: &Path) -> bool {
    let mut magic = [0; 6];
    File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok() && magic == *b"LUKS\xba\xbe"
}
