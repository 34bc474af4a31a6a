//! From a table to a device: opens what its rows name, and checks what only the opened devices can tell (the kernel's
//! `dm_table_add_target` and `dm_get_device`).

use std::collections::HashMap;

use udm_block::memory::Source;
use udm_block::mempool::NoReserve;
use udm_block::{DeviceRef, LONGEST_DEVICE, Sector};

use crate::keyring;
use crate::mapped::{MappedDevice, MappedRow};
use crate::table::{Fault, Place, Row, Table, TableError, TableErrorKind, TargetSpec, reason, shown};
use crate::targets::crypt::params::{CryptSpec, KeySpec};
use crate::targets::crypt::{self, CipherChoice, Converter, Crypt, Decision};
use crate::targets::{Reserves, Target};
use crate::targets::{error::Error, linear::Linear, zero::Zero};
use udm_block::stack;

/// Finds the devices that a table names.
pub trait Lookup {
    /// The device of this name, whose user transfers multiples of `block_size` bytes.
    ///
    /// # Errors
    /// What a person should read: what is wrong with it, and behind "; " what would do.
    fn device(&self, name: &str, block_size: u32) -> Result<DeviceRef, String>;
}

/// Why a table did not become a device.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The table is wrong, or does not fit what it names.
    #[error(transparent)]
    Table(#[from] TableError),
    /// There is no memory.
    #[error(transparent)]
    NoReserve(#[from] NoReserve),
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
        let lower = row.device().map(|(name, _)| DeviceRef::clone(&devices[name]));
        let target = target(row, lower, cipher, source, reserves)?;
        check_blocks(row, target.as_ref())?;
        rows.push(MappedRow { start: row.start, end: row.end(), target });
    }
    Ok(MappedDevice::new(rows, source, reserves)?)
}

/// Opens each device that the rows name once, for the smallest block that any of them transfers.
pub(crate) fn open_all(table: &Table, lookup: &dyn Lookup) -> Result<Devices, TableError> {
    let mut devices = Devices::new();
    for row in &table.rows {
        let Some((name, start)) = row.device() else { continue };
        if !devices.contains_key(name) {
            let users = table.rows.iter().filter(|row| row.device().is_some_and(|(other, _)| other == name));
            let block = users.map(block_size).min().unwrap_or(512);
            let device = lookup.device(name, block).map_err(|why| {
                let (why, hint) = why
                    .split_once("; ")
                    .unwrap_or((&why, "name a file, a block device, ram:SIZE or null:SIZE"));
                let named = why.starts_with(name);
                let message = if named { why.to_owned() } else { format!("device {}: {why}", shown(name)) };
                device_error(row.places().device.as_ref(), row, message, shown(name), hint)
            })?;
            devices.insert(name.to_owned(), device);
        }
        check_size(row, name, start, &devices[name])?;
    }
    Ok(devices)
}

/// The bytes that a row transfers at least.
fn block_size(row: &Row) -> u32 {
    match &row.target {
        TargetSpec::Crypt(spec) => spec.options.sector_size as u32,
        _ => 512,
    }
}

/// Whether the row's range lies within its device.
fn check_size(row: &Row, name: &str, start: Sector, device: &DeviceRef) -> Result<(), TableError> {
    // A block that is stored in part would lose the rest of a sector.
    let size = device.geometry().stored_blocks();
    if size > LONGEST_DEVICE {
        let message = format!("{} has more than 2^63 bytes", shown(name));
        let (found, hint) =
            (format!("a device of {size} sectors"), format!("at most {LONGEST_DEVICE} would do"));
        return Err(device_error(row.places().device.as_ref(), row, message, found, hint));
    }
    if start.checked_add(row.length).is_some_and(|end| end.0 <= size.0) {
        return Ok(());
    }
    let message = format!("{} sectors from sector {start} of {} leave the device", row.length, shown(name));
    let found = format!("a device of {size} sectors");
    let places = row.places();
    Err(match size.0.saturating_sub(start.0) {
        0 => device_error(places.device_start.as_ref(), row, message, found, "begin within the device"),
        fits => {
            device_error(Some(&places.length), row, message, found, format!("at most {fits} sectors fit"))
        }
    })
}

/// Whether the row lies on the blocks of what it maps to.
fn check_blocks(row: &Row, target: &dyn Target) -> Result<(), TableError> {
    let block = target.geometry().logical_block;
    let on_blocks = |sectors: u64| sectors.is_multiple_of(u64::from(block / 512));
    let start = row.device().map_or(0, |(_, start)| start.0);
    let places = row.places();
    for (what, sectors, place) in [
        ("start", row.start.0, Some(&places.start)),
        ("length", row.length.0, Some(&places.length)),
        ("place on the device", start, places.device_start.as_ref()),
    ] {
        if !on_blocks(sectors) {
            let message = format!("the row's {what} is not a multiple of the block size, {block} bytes");
            let found = format!("{sectors} sectors");
            let hint = format!("use a multiple of {} sectors", block / 512);
            let place = place.unwrap_or(&row.places().start).clone();
            let fault = Fault::new(TableErrorKind::Device, message, found, hint);
            return Err(TableError::new(place, fault.with_kernel(reason::BLOCK_SIZE)));
        }
    }
    Ok(())
}

/// The target of a row.
fn target(
    row: &Row,
    lower: Option<DeviceRef>,
    cipher: &CipherChoice,
    source: &Source,
    reserves: Reserves,
) -> Result<Box<dyn Target>, LoadError> {
    let lower = || lower.expect("open_all opened the device of every row that names one");
    Ok(match &row.target {
        TargetSpec::Zero => Box::new(Zero),
        TargetSpec::Error => Box::new(Error),
        TargetSpec::Linear { start, .. } => Box::new(Linear::new(lower(), *start)),
        TargetSpec::Crypt(spec) => {
            // Wiped before anything else is made: what memory is filled with next may have padding, and padding is
            // whatever was on the stack.
            let converter = stack::wiped(|| converter(row, spec, cipher))?;
            Box::new(Crypt::new(spec, converter, lower(), source, reserves)?)
        }
    })
}

/// The keyed converter of a crypt row.
fn converter(row: &Row, spec: &CryptSpec, cipher: &CipherChoice) -> Result<Converter, TableError> {
    let at_key = |fault: Fault| {
        TableError::new(row.places().key.clone().unwrap_or_else(|| row.places().target.clone()), fault)
    };
    let key_error = |message: String, found: &str, hint: &str| {
        at_key(Fault::new(TableErrorKind::Key, message, found, hint).with_kernel(reason::KEY))
    };
    let read;
    let key = match &spec.key {
        KeySpec::Bytes(bytes) => bytes.as_slice(),
        KeySpec::None => &[],
        KeySpec::Keyring(key) => {
            read = keyring::read(key).map_err(at_key)?;
            read.as_slice()
        }
        KeySpec::Wiped { .. } => {
            return Err(key_error("the key is wiped".into(), "no key", "set a key (key set)"));
        }
    };
    Converter::new(spec, key, cipher).map_err(|error| {
        key_error(error.to_string(), "a key", "choose another --driver, or another key size")
    })
}

/// What is decided for each row of `table`, which is nothing for one that does not encrypt. It sets the keys, and opens no
/// device.
///
/// # Errors
/// When no cipher driver takes a key.
pub fn explain(table: &Table, cipher: &CipherChoice) -> Result<Vec<Vec<Decision>>, TableError> {
    let decide = |row: &Row| match &row.target {
        TargetSpec::Crypt(spec) => Ok(crypt::explain(spec, &converter(row, spec, cipher)?, cipher)),
        _ => Ok(Vec::new()),
    };
    table.rows.iter().map(decide).collect()
}

/// An error at this place of a row, or at the row's start where the row has no such word.
fn device_error(
    place: Option<&Place>,
    row: &Row,
    message: String,
    found: String,
    hint: impl Into<String>,
) -> TableError {
    let place = place.unwrap_or(&row.places().start).clone();
    TableError::new(place, Fault::new(TableErrorKind::Device, message, found, hint))
}
