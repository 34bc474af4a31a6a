//! A file or device that is open for writing, and that no other program writes meanwhile.
//!
//! The locks are cryptsetup's: of a file `flock` on the file itself, of a block device on a file of its number in
//! /run/cryptsetup, as far as that may be made there. A device is locked by itself, too, which keeps udev away.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{FlockOperation, OFlags, flock, major, minor};

use crate::source::{ReadAt, Storage};

/// Where cryptsetup has its locks of devices.
const LOCKS: &str = "/run/cryptsetup";

/// A file or device, locked until it is dropped.
#[derive(Debug)]
pub struct Locked {
    file: File,
    /// The lock of a device's number.
    _number: Option<File>,
}

impl Locked {
    /// Opens `path` for reading and writing, and waits until nobody else has it locked. What was read of it before may be
    /// another by then.
    ///
    /// # Errors
    /// Where it cannot be opened or locked.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::lock(File::options().read(true).write(true).open(path)?)
    }

    /// The same of what nobody uses: a device that is mounted, or has another one on it, is busy.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    pub fn open_unused(path: &Path) -> io::Result<Self> {
        let mut options = File::options();
        options.read(true).write(true);
        if std::fs::metadata(path)?.file_type().is_block_device() {
            options.custom_flags(OFlags::EXCL.bits() as i32);
        }
        Self::lock(options.open(path)?)
    }

    fn lock(file: File) -> io::Result<Self> {
        let told = file.metadata()?;
        let number = if told.file_type().is_block_device() { lock_number(told.rdev()) } else { None };
        flock(&file, FlockOperation::LockExclusive)?;
        Ok(Self { file, _number: number })
    }

    /// The file.
    pub fn file(&self) -> &File {
        &self.file
    }
}

/// Opens `path` for reading, and waits until nobody changes it; until the file is closed, nobody does. For whoever reads
/// more than a header, of which one copy is whole at any time.
///
/// # Errors
/// Where it cannot be opened or locked.
pub fn open_shared(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    flock(&file, FlockOperation::LockShared)?;
    Ok(file)
}

/// Locks a device by its number. Who has no right to does without: cryptsetup, which needs root for a device, has.
fn lock_number(device: u64) -> Option<File> {
    let _ = DirBuilder::new().mode(0o700).create(LOCKS);
    let path = format!("{LOCKS}/L_{}:{}", major(device), minor(device));
    loop {
        let mut options = OpenOptions::new();
        let file =
            options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&path).ok()?;
        flock(&file, FlockOperation::LockExclusive).ok()?;
        // Who had it before may have removed its name.
        let (ours, named) = (file.metadata().ok()?, std::fs::metadata(&path));
        if named.is_ok_and(|named| (named.dev(), named.ino()) == (ours.dev(), ours.ino())) {
            return Some(file);
        }
    }
}

impl ReadAt for Locked {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_at(offset, buffer)
    }

    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }
}

impl Storage for Locked {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_at(offset, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bad twin is the lock given back: then it can be had.
    #[test]
    fn nobody_else_has_it_meanwhile() {
        let named = tempfile::NamedTempFile::new().unwrap();
        let locked = Locked::open(named.path()).unwrap();
        let other = named.reopen().unwrap();
        assert!(flock(&other, FlockOperation::NonBlockingLockShared).is_err());
        drop(locked);
        let shared = (open_shared(named.path()).unwrap(), open_shared(named.path()).unwrap());
        assert!(flock(&other, FlockOperation::NonBlockingLockExclusive).is_err());
        drop(shared);
        flock(&other, FlockOperation::NonBlockingLockExclusive).unwrap();
    }
}
