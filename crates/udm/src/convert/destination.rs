//! Where the bytes go: a file that is made, or what is there already.
//!
//! A file that is made has another name until it is whole: what is at the destination's name is a whole conversion or none.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{FallocateFlags, FlockOperation, fallocate, flock};
use rustix::io::Errno;
use serde_json::{Value, json};
use udm_block::DeviceRef;
use udm_dm::table::{Table, TargetSpec};
use udm_luks::Secret;

use super::copy::Zeros;
use super::error::ConvertError;
use super::journal::beside;
use super::source::{Name, Source, add_file, open_table};
use super::volume::NewVolume;
use crate::device::{DeviceError, DeviceOptions, Files, luks_table};
use crate::luks::{LuksError, Unlocking};

/// Behind the name of a file that is not whole yet.
const PART: &str = ".udm-part";
/// How long a killed conversion may take to let go of its file.
const PATIENCE_MS: u64 = 5000;

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

/// How a destination is opened, or made.
pub(super) struct Opening<'a> {
    pub(super) options: &'a DeviceOptions,
    pub(super) unlocking: &'a Unlocking,
    pub(super) volume: &'a NewVolume,
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
            Name::Nbd(uri) => {
                (files.open_image(uri, how.unlocking)?, json!({ "kind": "nbd", "uri": uri }), false)
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

    /// Makes a file for `source`. What was encrypted is not for everybody.
    pub(super) fn made(
        made: &Made,
        name: &Name,
        source: &Source,
        how: &Opening<'_>,
    ) -> Result<Self, ConvertError> {
        let size = source.size();
        let Name::Luks(path) = name else {
            made.make(size, if source.is_secret { 0o600 } else { 0o666 })?;
            return Self::unfinished(made, name, how);
        };
        let size = how.volume.size(size)?;
        // Asked for before anything is made: a person may think better of it.
        let passphrase = new_passphrase(how, Path::new(path))?;
        let file = made.make(size, 0o600)?;
        made.reserve(&file, size)
            .and_then(|()| how.volume.make_in(file, &made.part, &passphrase))
            .and_then(|table| Self::of_volume(&table, &made.part, how))
            .inspect_err(|_| made.forget())
    }

    /// Opens a file that was made by a conversion that was interrupted.
    pub(super) fn unfinished(made: &Made, name: &Name, how: &Opening<'_>) -> Result<Self, ConvertError> {
        let part = made.part.to_string_lossy().into_owned();
        if let Name::Luks(_) = name {
            return Self::existing(&Name::Luks(part), how);
        }
        let zeros = if how.sparse > 0 { Zeros::Leave(how.sparse) } else { Zeros::Write };
        Ok(Self { zeros, ..Self::existing(&Name::Raw(part), how)? })
    }

    /// Makes a volume on a block device.
    pub(super) fn formatted(path: &Path, source: &Source, how: &Opening<'_>) -> Result<Self, ConvertError> {
        let passphrase = new_passphrase(how, path)?;
        let table = how.volume.make_on(path, source.size(), &passphrase)?;
        Self::of_volume(&table, path, how)
    }

    /// The volume at `path`, whose table is known.
    fn of_volume(table: &Table, path: &Path, how: &Opening<'_>) -> Result<Self, ConvertError> {
        let (device, mut identity, _) = open_table(&Files::new(how.options), table, "luks")?;
        add_file(&mut identity, path, false)?;
        Ok(Self { device, identity, zeros: Zeros::Write })
    }
}

/// Waits a little while until nobody has a lock on a file: the kernel lets go of what a killed process had only when the
/// I/O of that has ended, a moment after the process has. Who opens it then says whether it is in use.
pub(super) fn wait_until_free(path: &Path) {
    let Ok(file) = File::open(path) else { return };
    for _ in 0..PATIENCE_MS / 10 {
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The passphrase of a volume that is made at `path`.
fn new_passphrase(how: &Opening<'_>, path: &Path) -> Result<Arc<Secret>, ConvertError> {
    let passphrase = how.unlocking.passphrase.get_new(path).map_err(LuksError::from);
    passphrase.map_err(|error| DeviceError::from(error).into())
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
            self.forget();
            ConvertError::file(&self.part, "cannot have the size of the source")(error)
        })?;
        Ok(file)
    }

    /// Takes all of its room, so that there is none missing later: what is encrypted has no holes.
    pub(super) fn reserve(&self, file: &File, size: u64) -> Result<(), ConvertError> {
        match fallocate(file, FallocateFlags::empty(), 0, size) {
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INTR) => Ok(()),
            Err(error) => Err(ConvertError::NoRoom { path: self.path.clone(), size, source: error.into() }),
        }
    }

    /// Removes it, with nothing in it that would be missed.
    pub(super) fn forget(&self) {
        let _ = fs::remove_file(&self.part);
    }

    /// Removes what an earlier conversion left, unless it is still at work.
    fn remove_unused(&self) -> Result<(), ConvertError> {
        let failed = || ConvertError::file(&self.part, "cannot be replaced");
        wait_until_free(&self.part);
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
