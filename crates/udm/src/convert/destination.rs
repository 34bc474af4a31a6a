//! Where the bytes go: a file that is made, or what is there already.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use udm_block::DeviceRef;
use udm_dm::table::Table;
use udm_dm::targets::crypt::params::CryptSpec;
use udm_luks::Secret;

use super::agree::check_volume;
use super::copy::Zeros;
use super::error::ConvertError;
use super::identity::Identity;
use super::made::Made;
use super::name::Name;
use super::source::open_table;
use super::volume::NewVolume;
use crate::device::{DeviceError, DeviceName, DeviceOptions, Files, Place};
use crate::luks::{LuksError, Unlocking};

/// Where the bytes go.
pub(super) struct Destination {
    pub(super) device: DeviceRef,
    /// What it is, so that nothing else is taken for it when the conversion goes on.
    pub(super) identity: Identity,
    /// What becomes of zeros.
    pub(super) zeros: Zeros,
    /// It has whole sectors alone.
    pub(super) is_encrypted: bool,
}

/// How a destination is opened, or made.
pub(super) struct Opening<'a> {
    pub(super) options: &'a DeviceOptions,
    pub(super) unlocking: &'a Unlocking,
    pub(super) volume: &'a NewVolume,
    /// Options of a new volume that were given, which one that is there must have.
    pub(super) asked: &'a [(&'static str, String)],
    /// The fewest zeros in a row that are left out, in bytes; 0 for never.
    pub(super) sparse: usize,
}

impl Destination {
    /// Opens what is there, and keeps it as it is but for its bytes.
    pub(super) fn existing(name: &Name, how: &Opening<'_>) -> Result<Self, ConvertError> {
        let files = Files::new(how.options);
        let (device, value, is_encrypted) = match name {
            Name::Device(name @ DeviceName::Raw(place)) => {
                let kind = if matches!(place, Place::Path(_)) { "raw" } else { "nbd" };
                (files.open_device(name, None)?, json!({ "kind": kind }), false)
            }
            Name::Device(DeviceName::Luks(place)) => {
                let table = files.luks_table(place, how.unlocking)?;
                if let Place::Path(path) = place {
                    check_volume(how.asked, path, how.unlocking, &table)?;
                }
                let (device, identity, _) = open_table(&files, &table, "luks")?;
                (device, identity, true)
            }
            Name::Table(text) => {
                let table = Table::parse_with(&how.options.targets, text).map_err(DeviceError::from)?;
                let (device, identity, _) = open_table(&files, &table, "table")?;
                let crypt = table.rows.iter().any(|row| row.target.downcast_ref::<CryptSpec>().is_some());
                (device, identity, crypt)
            }
        };
        let identity = Identity::new(value, name, name.path(), false)?;
        let can_zero = device.geometry().write_zeroes && !is_encrypted && how.sparse > 0;
        let zeros = if can_zero { Zeros::Zero(how.sparse) } else { Zeros::Write };
        Ok(Self { device, identity, zeros, is_encrypted })
    }

    /// Has the empty file that was made hold `size` bytes of data: as they are, or in a volume with this passphrase.
    pub(super) fn fill(
        made: &Made,
        file: File,
        name: &Name,
        size: u64,
        how: &Opening<'_>,
        passphrase: Option<&Secret>,
    ) -> Result<Self, ConvertError> {
        let Some(passphrase) = passphrase else {
            made.lengthen(&file, size)?;
            drop(file);
            return Self::unfinished(made, name, how);
        };
        let size = how.volume.size(size)?;
        made.lengthen(&file, size)?;
        made.reserve(&file, size)?;
        let table = how.volume.make_in(file, &made.part, passphrase)?;
        Self::of_volume(&table, name, &made.part, how)
    }

    /// Opens a file that was made by a conversion that was interrupted.
    pub(super) fn unfinished(made: &Made, name: &Name, how: &Opening<'_>) -> Result<Self, ConvertError> {
        if let Name::Device(DeviceName::Luks(_)) = name {
            return Self::existing(&Name::Device(DeviceName::luks(&made.part)), how);
        }
        let zeros = if how.sparse > 0 { Zeros::Leave(how.sparse) } else { Zeros::Write };
        Ok(Self { zeros, ..Self::existing(&Name::Device(DeviceName::raw(&made.part)), how)? })
    }

    /// Makes a volume on a block device.
    pub(super) fn formatted(
        name: &Name,
        path: &Path,
        size: u64,
        how: &Opening<'_>,
        passphrase: &Secret,
    ) -> Result<Self, ConvertError> {
        let table = how.volume.make_on(path, size, passphrase)?;
        Self::of_volume(&table, name, path, how)
    }

    /// The volume at `path`, whose table is known.
    fn of_volume(table: &Table, name: &Name, path: &Path, how: &Opening<'_>) -> Result<Self, ConvertError> {
        let (device, value, _) = open_table(&Files::new(how.options), table, "luks")?;
        let identity = Identity::new(value, name, Some(path), false)?;
        Ok(Self { device, identity, zeros: Zeros::Write, is_encrypted: true })
    }
}

impl Opening<'_> {
    /// The passphrase of a volume for `size` bytes of data that is made at `path`.
    pub(super) fn new_passphrase(&self, path: &Path, size: u64) -> Result<Arc<Secret>, ConvertError> {
        self.volume.size(size)?;
        let passphrase = self.unlocking.passphrase.new_passphrase(path).map_err(LuksError::from);
        passphrase.map_err(|error| DeviceError::from(error).into())
    }
}
