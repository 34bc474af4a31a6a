//! The last bytes, where they do not fill a block: less than a page, copied and compared by themselves.

use udm_block::blocking::{Blocking, BlockingError};
use udm_block::{DeviceRef, Status};

use super::error::{ConvertError, Doing};

/// The block of which both devices transfer whole ones, in bytes.
pub(super) fn block_between(one: &DeviceRef, other: &DeviceRef) -> u64 {
    u64::from(one.geometry().logical_block.max(other.geometry().logical_block))
}

/// Copies the bytes of `source` from byte `at` up to `end`, and makes them durable. What shares their block on the
/// destination stays as it is.
///
/// # Errors
/// The error of an I/O.
pub(super) fn copy(
    source: &DeviceRef,
    destination: &DeviceRef,
    at: u64,
    end: u64,
) -> Result<(), ConvertError> {
    let bytes = read(source, Doing::Read, at, end)?;
    let device = front(destination)?;
    device.write_at(at, &bytes).map_err(failed(Doing::Write, at, end))?;
    device.flush().map_err(failed(Doing::Flush, 0, end))
}

/// The bytes of a device from byte `at` up to `end`.
///
/// # Errors
/// The error of an I/O.
pub(super) fn read(device: &DeviceRef, doing: Doing, at: u64, end: u64) -> Result<Vec<u8>, ConvertError> {
    let mut bytes = vec![0; (end - at) as usize];
    front(device)?.read_at(at, &mut bytes).map_err(failed(doing, at, end))?;
    Ok(bytes)
}

fn front(device: &DeviceRef) -> Result<Blocking, ConvertError> {
    Blocking::new(DeviceRef::clone(device)).map_err(|error| match error {
        BlockingError::NoReserve(error) => error.into(),
        BlockingError::Queue(error) => error.into(),
        BlockingError::Open(error) => error.into(),
        error => std::io::Error::other(error).into(),
    })
}

fn failed(doing: Doing, at: u64, end: u64) -> impl Fn(Status) -> ConvertError {
    move |status| ConvertError::Io { doing, at, len: end - at, status }
}
