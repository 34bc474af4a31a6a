//! Changing a key slot, also where there is no room for its new material beside the old one.

use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use udm_luks::{Locked, SlotOptions, UnlockOptions, Volume, VolumeKey, random};

use super::header::write_backup;
use super::{failed, open_locked};
use crate::cli::{Failure, InPlaceArgs, LuksImageArgs};

/// What the name of the header's backup ends with, where none is given.
const SUFFIX: &str = ".header-backup";

/// A key slot that is to be changed.
pub(super) struct Change<'a> {
    pub(super) image: &'a LuksImageArgs,
    pub(super) unlock: UnlockOptions,
    pub(super) place: &'a InPlaceArgs,
}

impl Change<'_> {
    /// Has `new` open the key slot that `old` opens, and gives its number.
    pub(super) fn make(&self, old: &[u8], new: &[u8], options: &SlotOptions) -> Result<u32, Failure> {
        let path = self.image.path();
        let mut volume = open_locked(self.image)?;
        let key = volume.find_key(old, &self.unlock).map_err(failed(path))?;
        if volume.has_room_to_change(&key).map_err(failed(path))? {
            return volume.change_key(&key, new, options).map_err(failed(path));
        }
        self.in_place(&mut volume, &key, new, options)
    }

    /// The new material goes over the old one, while a backup of the header stands by.
    fn in_place(
        &self,
        volume: &mut Volume<Locked>,
        key: &VolumeKey,
        new: &[u8],
        options: &SlotOptions,
    ) -> Result<u32, Failure> {
        let path = self.image.path();
        let backup = Backup::make(volume, path, self.backup_path()?)?;
        match volume.change_key_in_place(key, new, options) {
            Ok(slot) => {
                backup.destroy()?;
                Ok(slot)
            }
            Err(error) => {
                let (path, kept) = (path.display(), backup.path.display());
                let hint = format!("udm luks header-restore {path} --header-backup-file {kept}");
                let text =
                    format!("{path}: {error}; the old header is kept in {kept}: {hint} brings it back");
                Err(Failure::work(text))
            }
        }
    }

    /// Where the backup goes: beside a file, and where a person says for a device.
    fn backup_path(&self) -> Result<PathBuf, Failure> {
        if let Some(path) = &self.place.header_backup_file {
            return Ok(path.clone());
        }
        let path = self.image.path();
        if fs::metadata(path).is_ok_and(|told| told.file_type().is_block_device()) {
            return Err(Failure::request(format!(
                "{}: the header has no room for new key material, so the old one has to be overwritten; \
                 give --header-backup-file FILE on another device, for the case that the power fails meanwhile",
                path.display()
            )));
        }
        let mut name = path.as_os_str().to_owned();
        name.push(SUFFIX);
        Ok(name.into())
    }
}

/// A backup of the header for as long as a key slot is overwritten.
struct Backup {
    path: PathBuf,
    file: File,
    bytes: u64,
}

impl Backup {
    /// Makes it, durably. What is there already is not touched: it may be that of a change that was interrupted.
    fn make(volume: &Volume<Locked>, image: &Path, path: PathBuf) -> Result<Self, Failure> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o400).open(&path);
        let mut file = file.map_err(|error| {
            let hint = match error.kind() {
                std::io::ErrorKind::AlreadyExists => {
                    "; if it is left from a change that was interrupted, udm luks header-restore brings the old header \
                     back; otherwise name another file with --header-backup-file"
                }
                _ => "; --header-backup-file names another place for the backup of the header",
            };
            Failure::request(format!("{}: {error}{hint}", path.display()))
        })?;
        let written = write_backup(volume, &mut file).map_err(failed(image));
        if let Err(error) = written.and_then(|()| sync_name(&path)) {
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        Ok(Self { path, file, bytes: volume.header().end() })
    }

    /// Overwrites and removes it: it has the material of the old passphrase.
    fn destroy(mut self) -> Result<(), Failure> {
        let told = |error: &dyn std::fmt::Display| {
            Failure::work(format!(
                "the key slot is changed, but the backup {} cannot be destroyed: {error}; remove it by hand",
                self.path.display()
            ))
        };
        let mut noise = vec![0; 64 << 10];
        self.file.seek(SeekFrom::Start(0)).map_err(|error| told(&error))?;
        let mut left = self.bytes;
        while left > 0 {
            let piece = noise.len().min(left as usize);
            random::fill(&mut noise[..piece]).map_err(|error| told(&error))?;
            self.file.write_all(&noise[..piece]).map_err(|error| told(&error))?;
            left -= piece as u64;
        }
        self.file.sync_all().map_err(|error| told(&error))?;
        fs::remove_file(&self.path).map_err(|error| told(&error))
    }
}

/// Makes the name of a new file durable.
fn sync_name(path: &Path) -> Result<(), Failure> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|error| Failure::work(format!("{}: {error}", folder.display())))
}
