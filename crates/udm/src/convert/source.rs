//! What is converted.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use udm_block::{DeviceRef, SECTOR_SIZE};
use udm_dm::table::{ShowKeys, Table};
use zeroize::Zeroizing;

use super::error::ConvertError;
use crate::compare::hex;
use crate::device::{DeviceError, DeviceOptions, Files, is_nbd, luks_table};
use crate::luks::Unlocking;

/// What names a device.
#[derive(Clone, Debug)]
pub(crate) enum Name {
    /// The bytes of a file or block device.
    Raw(String),
    /// A LUKS image.
    Luks(String),
    /// An export of an NBD server.
    Nbd(String),
    /// A table's text.
    Table(Zeroizing<String>),
}

/// What is converted.
pub(super) struct Source {
    pub(super) device: DeviceRef,
    /// What it is, so that nothing else is taken for it when a conversion goes on.
    pub(super) identity: Value,
    /// The file, where it can be asked for holes.
    pub(super) holes: Option<File>,
    /// Whether it is encrypted.
    pub(super) is_secret: bool,
}

impl Name {
    /// The device that `word` of a command line is.
    pub(crate) fn of(word: &str) -> Self {
        match word.strip_prefix("raw:") {
            Some(path) => Self::Raw(path.into()),
            None if is_nbd(word) => Self::Nbd(word.into()),
            None => Self::Luks(word.into()),
        }
    }

    /// The file or block device that it is about, where it is about one.
    pub(super) fn path(&self) -> Option<&Path> {
        match self {
            Self::Raw(path) | Self::Luks(path) => Some(Path::new(path)),
            Self::Nbd(_) | Self::Table(_) => None,
        }
    }
}

impl Source {
    /// Opens it, for reading.
    ///
    /// # Errors
    /// When it cannot be opened, or would not be copied whole.
    pub(super) fn open(
        name: &Name,
        options: &DeviceOptions,
        unlocking: &Unlocking,
    ) -> Result<Self, ConvertError> {
        let files = Files::new(&DeviceOptions { read_only: true, ..options.clone() });
        let (device, identity, holes) = match name {
            Name::Raw(path) => {
                check_whole(path)?;
                let device = files.open_image(&format!("raw:{path}"), unlocking)?;
                let holes = fs::metadata(path).is_ok_and(|found| found.is_file());
                let holes = if holes { File::open(path).ok() } else { None };
                (device, json!({ "kind": "raw" }), holes)
            }
            Name::Nbd(uri) => (files.open_image(uri, unlocking)?, json!({ "kind": "nbd", "uri": uri }), None),
            Name::Luks(path) => open_table(&files, &luks_table(path, unlocking)?, "luks")?,
            Name::Table(text) => {
                open_table(&files, &Table::parse(text).map_err(DeviceError::from)?, "table")?
            }
        };
        let mut source =
            Self { device, identity, holes, is_secret: !matches!(name, Name::Raw(_) | Name::Nbd(_)) };
        if let Some(path) = name.path() {
            add_file(&mut source.identity, path, true)?;
        }
        source.identity["size"] = json!(source.size());
        Ok(source)
    }

    /// Its size in bytes.
    pub(super) fn size(&self) -> u64 {
        self.device.geometry().size.bytes().0
    }
}

/// The device of a table, and what it is.
pub(super) fn open_table(
    files: &Files,
    table: &Table,
    kind: &str,
) -> Result<(DeviceRef, Value, Option<File>), DeviceError> {
    let device = files.load(table)?;
    // With the key: who has the ciphertext can try keys on that as well.
    let text = Zeroizing::new(table.to_text(ShowKeys::Shown));
    let digest = Sha256::new().chain_update("udm convert\0").chain_update(text.as_bytes()).finalize();
    Ok((device, json!({ "kind": kind, "table": hex(&digest) }), None))
}

/// Adds what identifies a file or block device: where it is, and for one that must not change since when it is as it is.
pub(super) fn add_file(identity: &mut Value, path: &Path, must_not_change: bool) -> Result<(), ConvertError> {
    let failed = || ConvertError::file(path, "cannot be looked at");
    let found = fs::metadata(path).map_err(failed())?;
    let whole = fs::canonicalize(path).map_err(failed())?;
    identity["path"] = json!(whole.to_string_lossy());
    identity["inode"] = json!(inode(&found));
    if must_not_change && found.is_file() {
        identity["modified"] = json!(format!("{}.{:09}", found.mtime(), found.mtime_nsec()));
    }
    Ok(())
}

/// The file by its number, whatever it is called.
pub(super) fn inode(found: &fs::Metadata) -> String {
    format!("{}:{}", found.dev(), found.ino())
}

/// Refuses a file whose last bytes are no whole sector: they would be lost.
fn check_whole(path: &str) -> Result<(), ConvertError> {
    let len = fs::metadata(path).map_or(0, |found| found.len());
    match len % SECTOR_SIZE as u64 {
        0 => Ok(()),
        over => Err(ConvertError::Request(format!(
            "{path} has {len} bytes, and the last {over} are no whole sector of {SECTOR_SIZE}: \
             `truncate -s %{SECTOR_SIZE} FILE` adds zeros to a copy of it"
        ))),
    }
}
