//! What a header is read from: a file, or any device.

use std::fs::File;
use std::io;
use std::path::Path;

use udm_block::DeviceRef;
use udm_block::blocking::Blocking;
use udm_luks::ReadAt;

use crate::luks::LuksError;

/// A file, or a device such as an export of an NBD server.
pub(super) enum Medium {
    File(File),
    Device(Box<Blocking>),
}

impl Medium {
    /// The file at `path`.
    pub(super) fn file(path: &Path) -> Result<Self, LuksError> {
        File::open(path).map(Self::File).map_err(|source| LuksError::File { path: path.into(), source })
    }

    /// A device.
    pub(super) fn device(device: DeviceRef) -> Result<Self, String> {
        Ok(Self::Device(Box::new(Blocking::new(device).map_err(|error| error.to_string())?)))
    }
}

impl ReadAt for Medium {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        match self {
            Self::File(file) => ReadAt::read_at(file, offset, buffer),
            Self::Device(device) => {
                let end = offset.checked_add(buffer.len() as u64);
                if end.is_none_or(|end| end > device.device().geometry().stored().0) {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                device.read_at(offset, buffer).map_err(|status| io::Error::other(status.to_string()))
            }
        }
    }

    fn size(&self) -> io::Result<u64> {
        match self {
            Self::File(file) => ReadAt::size(file),
            Self::Device(device) => Ok(device.device().geometry().stored().0),
        }
    }
}
