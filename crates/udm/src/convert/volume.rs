//! A LUKS volume that is made for what is converted.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use udm_backend::file::keep_qemu_out;
use udm_backend::name_of;
use udm_dm::table::Table;
use udm_luks::format::header_size;
use udm_luks::{FormatOptions, Locked, ReadAt, Secret, Storage, Unlocked, format};

use super::error::ConvertError;
use super::sectors::check_sectors;
use crate::device::DeviceError;
use crate::luks::{LuksError, Unlocking};

/// What the data of an attached header begin at a multiple of, in bytes.
const DATA_ALIGNMENT: u64 = 1 << 20;

/// How a volume is made that has room for the data that are converted.
#[derive(Debug)]
pub struct NewVolume {
    options: FormatOptions,
    /// Where the data begin, in bytes.
    offset: u64,
}

impl NewVolume {
    /// A volume with its header before the data.
    ///
    /// # Errors
    /// What cannot be, whatever the size of the data is.
    pub fn new(mut options: FormatOptions) -> Result<Self, udm_luks::Error> {
        // Whether the sector size fits is to be seen with the data.
        let sector_size = options.sector_size.take();
        let offset = match options.data_offset {
            Some(offset) => offset,
            None => header_size(&options)?.next_multiple_of(DATA_ALIGNMENT),
        };
        (options.sector_size, options.data_offset) = (sector_size, Some(offset));
        Ok(Self { options, offset })
    }

    /// How many bytes a file has for it, with `size` bytes of data.
    ///
    /// # Errors
    /// When they are no whole number of the sectors that were asked for, or too many.
    pub(super) fn size(&self, size: u64) -> Result<u64, ConvertError> {
        let would_do = "--sector-size 512 would do, or none for the largest that fits";
        check_sectors(size, self.options.sector_size.unwrap_or(512), would_do)?;
        let too_large = || ConvertError::Request(format!("{size} bytes of data are too many for a file"));
        self.offset.checked_add(size).ok_or_else(too_large)
    }

    /// Makes it in a file that is new.
    pub(super) fn make_in(
        &self,
        mut file: File,
        path: &Path,
        passphrase: &Secret,
    ) -> Result<Table, ConvertError> {
        let size = file.size().map_err(ConvertError::file(path, "cannot be looked at"))?;
        self.make(&mut file, path, size, passphrase)
    }

    /// Makes it on a block device, whose bytes are lost. There is room for `size` bytes of data.
    pub(super) fn make_on(&self, path: &Path, size: u64, passphrase: &Secret) -> Result<Table, ConvertError> {
        let failed = || ConvertError::file(path, "cannot be opened");
        let mut device = Locked::open(path).map_err(failed())?;
        keep_qemu_out(path, device.file().as_fd()).map_err(DeviceError::from)?;
        let room = device.file().size().map_err(failed())?;
        let needed = self.size(size)?;
        if needed > room {
            return Err(ConvertError::Request(format!(
                "{} has {room} bytes, and the header and the data need {needed}: nothing was written",
                path.display()
            )));
        }
        self.make(&mut device, path, room, passphrase)
    }

    fn make(
        &self,
        storage: &mut impl Storage,
        path: &Path,
        size: u64,
        passphrase: &Secret,
    ) -> Result<Table, ConvertError> {
        let failed = |error| DeviceError::from(LuksError::Luks { path: PathBuf::from(path), error });
        let unlocked = format(storage, &self.options, passphrase).map_err(failed)?;
        table(path, &unlocked, size).map_err(|error| DeviceError::from(error).into())
    }
}

/// The table of a volume that was made.
fn table(path: &Path, unlocked: &Unlocked, size: u64) -> Result<Table, LuksError> {
    let failed = |error| LuksError::Luks { path: path.into(), error };
    let size = unlocked.size(size).map_err(failed)?;
    udm_block::stack::wiped(|| Unlocking::default().row(name_of(path), path, unlocked, size))
}
