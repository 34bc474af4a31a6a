//! From a table to a device: opens what its rows name, and checks what only the opened devices can tell (the kernel's
//! `dm_table_add_target` and `dm_get_device`).

use std::collections::HashMap;

use udm_block::memory::Source;
use udm_block::mempool::NoReserve;
use udm_block::{DeviceRef, LONGEST_DEVICE};

use crate::mapped::{MappedDevice, MappedRow};
use crate::table::{Fault, Row, Table, TableError, TableErrorKind, TextPlace, reason, shown};
use crate::targets::crypt::params::CryptSpec;
use crate::targets::crypt::{self, CipherChoice, Decision};
use crate::targets::{BuildContext, DeviceArg, Reserves, Target};

/// Finds the devices that a table names.
pub trait Lookup {
    /// The device of this name, whose user transfers multiples of `block_size` bytes.
    ///
    /// # Errors
    /// When there is none, or it cannot be opened.
    fn device(&self, name: &str, block_size: u32) -> Result<DeviceRef, LookupError>;
}

/// Why a device that a table names was not found.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LookupError {
    /// Nothing has this name. The error names what `udm` itself opens (files, `ram:` and `null:`) as what would do. A lookup of
    /// other names says [`Unusable`](Self::Unusable), with a hint of its own.
    #[error("there is no such device")]
    NotFound,
    /// It is there, or may be, and cannot be used.
    #[error("{}{why}", of(what.as_deref()))]
    Unusable {
        /// The device by a name of its own, its path for example: else the message names it as the table does.
        what: Option<String>,
        /// What is wrong with it, in one line.
        why: String,
        /// What would do.
        hint: Option<String>,
    },
}

/// The name of a device, before what is wrong with it.
fn of(what: Option<&str>) -> String {
    what.map_or_else(String::new, |what| format!("{what}: "))
}

impl LookupError {
    /// The error at the place of `device` in `row`.
    fn at(self, row: &Row, device: &DeviceArg) -> TableError {
        let name = shown(&device.name);
        let (named, hint) = match &self {
            Self::Unusable { what, hint, .. } => (what.is_some(), hint.clone()),
            Self::NotFound => (false, None),
        };
        let message = if named { self.to_string() } else { format!("device {name}: {self}") };
        let hint = hint.unwrap_or_else(|| "name a file, a block device, ram:SIZE or null:SIZE".into());
        device_error(row.places().arg(device.word), message, name, hint)
    }
}

/// Why a table did not become a device.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The table is wrong, or does not fit what it names.
    #[error(transparent)]
    Table(#[from] TableError),
    /// There is no memory.
    #[error(transparent)]
    NoReserve(#[from] NoReserve),
    /// The system refused what a target needs.
    #[error("{what} failed: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Makes the device that `table` describes.
///
/// # Errors
/// When a device is not there, is too short or does not fit, when no cipher driver takes a key, or when there is no
/// memory for the reserves.
pub fn load(
    table: &Table,
    lookup: &dyn Lookup,
    cipher: &CipherChoice,
    source: &Source,
) -> Result<MappedDevice, LoadError> {
    load_with(table, lookup, cipher, source, Reserves::default())
}

/// The same with other reserves.
///
/// # Errors
/// Those of [`load`].
pub fn load_with(
    table: &Table,
    lookup: &dyn Lookup,
    cipher: &CipherChoice,
    source: &Source,
    reserves: Reserves,
) -> Result<MappedDevice, LoadError> {
    build(table, &open_all(table, lookup)?, cipher, source, reserves)
}

/// The devices that a table names, by their names.
pub(crate) type Devices = HashMap<String, DeviceRef>;

/// Makes the device of a table over `devices`, which [`open_all`] opened for it. Of its keys there are no copies left
/// but those in `table` and in the device.
///
/// # Errors
/// Those of [`load`].
pub(crate) fn build(
    table: &Table,
    devices: &Devices,
    cipher: &CipherChoice,
    source: &Source,
    reserves: Reserves,
) -> Result<MappedDevice, LoadError> {
    let mut rows = Vec::with_capacity(table.rows.len());
    for row in &table.rows {
        let target = row.target.build(&BuildContext { cipher, source, reserves, row, devices })?;
        check_blocks(row, target.as_ref())?;
        rows.push(MappedRow { start: row.start, end: row.end(), target });
    }
    Ok(MappedDevice::new(rows, source, reserves)?)
}

/// Opens each device that the rows name once, for the smallest block that any of them transfers.
pub(crate) fn open_all(table: &Table, lookup: &dyn Lookup) -> Result<Devices, TableError> {
    let mut devices = Devices::new();
    for row in &table.rows {
        for device in row.devices() {
            let name = &device.name;
            if !devices.contains_key(name) {
                let opened = lookup.device(name, block_size(table, name));
                devices.insert(name.clone(), opened.map_err(|error| error.at(row, device))?);
            }
            check_size(row, device, &devices[name])?;
        }
    }
    Ok(devices)
}

/// The fewest bytes that any row transfers of the device `name`.
fn block_size(table: &Table, name: &str) -> u32 {
    let users = table.rows.iter().filter(|row| row.devices().iter().any(|other| other.name == name));
    users.map(|row| row.target.block_size()).min().unwrap_or(512)
}

/// Whether what the row takes of `arg` lies within it.
fn check_size(row: &Row, arg: &DeviceArg, device: &DeviceRef) -> Result<(), TableError> {
    let (name, start, length) = (shown(&arg.name), arg.start, row.target.sectors_per_device(row.length));
    let (name_place, start_place) = (row.places().arg(arg.word), row.places().arg(arg.word + 1));
    // A block that is stored in part would lose the rest of a sector.
    let size = device.geometry().stored_blocks();
    if size > LONGEST_DEVICE {
        let message = format!("{name} has more than 2^63 bytes");
        let (found, hint) =
            (format!("a device of {size} sectors"), format!("at most {LONGEST_DEVICE} would do"));
        return Err(device_error(name_place, message, found, hint));
    }
    if start.checked_add(length).is_some_and(|end| end.0 <= size.0) {
        return Ok(());
    }
    let message = format!("{length} sectors from sector {start} of {name} leave the device");
    let found = format!("a device of {size} sectors");
    Err(match size.0.saturating_sub(start.0) {
        0 => device_error(start_place, message, found, "begin within the device"),
        fits => device_error(row.places().length(), message, found, format!("at most {fits} sectors fit")),
    })
}

/// Whether the row lies on the blocks of what it maps to.
fn check_blocks(row: &Row, target: &dyn Target) -> Result<(), TableError> {
    let block = target.geometry().logical_block;
    let places = row.places();
    let of_row = [("start", row.start.0, places.start()), ("length", row.length.0, places.length())];
    let of_devices =
        row.devices().iter().map(|arg| ("place on the device", arg.start.0, places.arg(arg.word + 1)));
    for (what, sectors, place) in of_row.into_iter().chain(of_devices) {
        if !sectors.is_multiple_of(u64::from(block / 512)) {
            let message = format!("the row's {what} is not a multiple of the block size, {block} bytes");
            let found = format!("{sectors} sectors");
            let hint = format!("use a multiple of {} sectors", block / 512);
            let fault = Fault::new(TableErrorKind::Device, message, found, hint);
            return Err(TableError::new(place.clone(), fault.with_kernel(reason::BLOCK_SIZE)));
        }
    }
    Ok(())
}

/// What is decided for each row of `table`, which is nothing for one that does not encrypt. It sets the keys, and opens no
/// device.
///
/// # Errors
/// When no cipher driver takes a key.
pub fn explain(table: &Table, cipher: &CipherChoice) -> Result<Vec<Vec<Decision>>, TableError> {
    let decide = |row: &Row| match row.target.downcast_ref::<CryptSpec>() {
        Some(spec) => {
            let at_key = |fault| TableError::new(row.places().arg(CryptSpec::KEY_WORD).clone(), fault);
            Ok(crypt::explain(spec, &crypt::converter(spec, cipher).map_err(at_key)?, cipher))
        }
        None => Ok(Vec::new()),
    };
    table.rows.iter().map(decide).collect()
}

/// The error of a device that does not fit, at `place`.
fn device_error(place: &TextPlace, message: String, found: String, hint: impl Into<String>) -> TableError {
    TableError::new(place.clone(), Fault::new(TableErrorKind::Device, message, found, hint))
}
