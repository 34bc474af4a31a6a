//! What is converted.

use std::fs::{self, File};

use serde_json::{Value, json};
use udm_block::DeviceRef;
use udm_dm::table::{ShowKeys, Table};
use zeroize::Zeroizing;

use super::error::ConvertError;
use super::identity::{self, Identity};
use super::name::Name;
use crate::device::{DeviceError, DeviceName, DeviceOptions, Files, Place};
use crate::luks::Unlocking;

/// What is converted.
pub(super) struct Source {
    pub(super) device: DeviceRef,
    /// What it is, so that nothing else is taken for it when a conversion goes on.
    pub(super) identity: Identity,
    /// The file, where it can be asked for holes.
    pub(super) holes: Option<File>,
    /// Whether it is encrypted.
    pub(super) is_secret: bool,
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
            Name::Device(name @ DeviceName::Raw(Place::Path(path))) => {
                let device = files.open_device(name, None)?;
                let holes = fs::metadata(path).is_ok_and(|found| found.is_file());
                let holes = if holes { File::open(path).ok() } else { None };
                (device, json!({ "kind": "raw" }), holes)
            }
            Name::Device(name @ DeviceName::Raw(_)) => {
                (files.open_device(name, None)?, json!({ "kind": "nbd" }), None)
            }
            Name::Device(DeviceName::Luks(place)) => {
                open_table(&files, &files.luks_table(place, unlocking)?, "luks")?
            }
            Name::Table(text) => open_table(
                &files,
                &Table::parse_with(&options.targets, text).map_err(DeviceError::from)?,
                "table",
            )?,
        };
        let mut identity = Identity::new(identity, name, name.path(), true)?;
        identity.value["size"] = json!(device.geometry().stored().0);
        Ok(Self { device, identity, holes, is_secret: !matches!(name, Name::Device(DeviceName::Raw(_))) })
    }

    /// Its size in bytes.
    pub(super) fn size(&self) -> u64 {
        self.device.geometry().stored().0
    }
}

/// The device of a table, and what it is.
pub(super) fn open_table(
    files: &Files,
    table: &Table,
    kind: &str,
) -> Result<(DeviceRef, Value, Option<File>), DeviceError> {
    let device = files.load(table)?;
    let text = Zeroizing::new(table.to_text(ShowKeys::Shown));
    Ok((device, json!({ "kind": kind, "table": identity::digest(&text) }), None))
}
