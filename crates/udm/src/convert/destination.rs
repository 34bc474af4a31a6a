//! Where the bytes go: a file that is made, or what is there already.
//!
//! A file that is made has another name until it is whole: what is at the destination's name is a whole conversion or none.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde_json::{Value, json};
use udm_block::DeviceRef;
use udm_dm::table::{Table, TargetSpec};

use super::copy::Zeros;
use super::error::ConvertError;
use super::journal::beside;
use super::source::{Name, add_file, open_table};
use crate::device::{DeviceError, DeviceOptions, Files, luks_table};
use crate::luks::Unlocking;

/// Behind the name of a file that is not whole yet.
const PART: &str = ".udm-part";

/// Where the bytes go.
pub(super) struct Destination {
    pub(super) device: DeviceRef,
    /// What it is, so that nothing else is taken for it when the conversion goes on.
    pub(super) identity: Value,
    /// What becomes of zeros.
    pub(super) zeros: Zeros,
}

/// A file that is made.
#[derive(Clone, Debug)]
pub(super) struct Made {
    /// What it will be called.
    pub(super) path: PathBuf,
    /// What it is called until then.
    pub(super) part: PathBuf,
}

/// How a destination is opened.
pub(super) struct Opening<'a> {
    pub(super) options: &'a DeviceOptions,
    pub(super) unlocking: &'a Unlocking,
    /// The fewest zeros in a row that are left out, in bytes; 0 for never.
    pub(super) sparse: usize,
}

impl Destination {
    /// Opens what is there, and keeps it as it is but for its bytes.
    pub(super) fn existing(name: &Name, how: &Opening<'_>) -> Result<Self, ConvertError> {
        let files = Files::new(how.options);
        let (device, mut identity, is_encrypted) = match name {
            Name::Raw(path) => {
                let device = files.open_image(&format!("raw:{path}"), how.unlocking)?;
                (device, json!({ "kind": "raw" }), false)
            }
            Name::Luks(path) => {
                let (device, identity, _) = open_table(&files, &luks_table(path, how.unlocking)?, "luks")?;
                (device, identity, true)
            }
            Name::Table(text) => {
                let table = Table::parse(text).map_err(DeviceError::from)?;
                let (device, identity, _) = open_table(&files, &table, "table")?;
                let crypt = table.rows.iter().any(|row| matches!(row.target, TargetSpec::Crypt(_)));
                (device, identity, crypt)
            }
        };
        if let Some(path) = name.path() {
            add_file(&mut identity, path, false)?;
        }
        let can_zero = device.geometry().write_zeroes && !is_encrypted && how.sparse > 0;
        let zeros = if can_zero { Zeros::Zero(how.sparse) } else { Zeros::Write };
        Ok(Self { device, identity, zeros })
    }

    /// Opens a raw file that was made.
    pub(super) fn made(made: &Made, how: &Opening<'_>) -> Result<Self, ConvertError> {
        let name = Name::Raw(made.part.to_string_lossy().into_owned());
        let opened = Self::existing(&name, how)?;
        let zeros = if how.sparse > 0 { Zeros::Leave(how.sparse) } else { Zeros::Write };
        Ok(Self { zeros, ..opened })
    }
}

impl Made {
    /// The file that will be at `path`, or where that leads to.
    pub(super) fn at(path: &Path) -> Self {
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.into());
        Self { part: beside(&path, PART), path }
    }

    /// Makes it, with `size` bytes that read as zeros; with `mode` as far as the user's mask permits.
    pub(super) fn make(&self, size: u64, mode: u32) -> Result<File, ConvertError> {
        self.remove_unused()?;
        let file = File::options().read(true).write(true).create_new(true).mode(mode).open(&self.part);
        let file = file.map_err(ConvertError::file(&self.part, "cannot be made"))?;
        file.set_len(size).map_err(|error| {
            let _ = fs::remove_file(&self.part);
            ConvertError::file(&self.part, "cannot have the size of the source")(error)
        })?;
        Ok(file)
    }

    /// Removes what an earlier conversion left, unless it is still at work.
    fn remove_unused(&self) -> Result<(), ConvertError> {
        let failed = || ConvertError::file(&self.part, "cannot be replaced");
        match File::open(&self.part) {
            Ok(file) => {
                let in_use = "another conversion is writing it";
                let locked = flock(&file, FlockOperation::NonBlockingLockExclusive);
                locked.map_err(|_| failed()(std::io::Error::other(in_use)))?;
                fs::remove_file(&self.part).map_err(failed())
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(failed()(error)),
        }
    }

    /// Gives it its name, durably: it is whole.
    pub(super) fn finish(&self) -> Result<(), ConvertError> {
        fs::rename(&self.part, &self.path).map_err(ConvertError::file(&self.part, "cannot be renamed"))?;
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(ConvertError::file(folder, "cannot be made durable"))
    }
}
