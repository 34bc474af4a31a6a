//! A file or device that is open for writing, and that no other program writes meanwhile.
//!
//! The locks are cryptsetup's: of a file `flock` on the file itself, of a block device on a file of its number in
//! /run/cryptsetup, as far as that may be made there. A device is locked by itself, too, which keeps udev away.
//!
//! cryptsetup waits for a lock without a word and without an end. Here [`Patience`] says when the caller is told who has
//! the lock, and when the wait ends.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, OFlags, flock, major, minor};
use rustix::io::Errno;

use crate::source::{ReadAt, Storage};

/// Where cryptsetup has its locks of devices.
const LOCKS: &str = "/run/cryptsetup";

/// How long a lock is waited for between two tries.
const PAUSE: Duration = Duration::from_millis(20);

/// How long a lock that somebody else has is waited for.
pub struct Patience<'a> {
    /// After this time the caller is told that it waits.
    pub tell_after: Duration,
    /// Gets the words for who has the lock, once.
    pub tell: &'a mut dyn FnMut(&str),
    /// After this time the wait ends with an error.
    pub end_after: Duration,
}

impl<'a> Patience<'a> {
    /// The caller is told after a second, and the wait ends after ten.
    pub fn usual(tell: &'a mut dyn FnMut(&str)) -> Self {
        Self { tell_after: Duration::from_secs(1), tell, end_after: Duration::from_secs(10) }
    }
}

/// A file or device, locked until it is dropped.
#[derive(Debug)]
pub struct Locked {
    file: File,
    /// The lock of a device's number.
    _number: Option<File>,
}

impl Locked {
    /// Opens `path` for reading and writing, and waits up to ten seconds until nobody else has it locked. What was read of
    /// it before may be another by then.
    ///
    /// # Errors
    /// Where it cannot be opened, or another process keeps it locked ([`io::ErrorKind::ResourceBusy`]).
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::open_with(path, &mut Patience::usual(&mut |_| {}))
    }

    /// The same, with a wait of the caller's.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    pub fn open_with(path: &Path, patience: &mut Patience<'_>) -> io::Result<Self> {
        Self::lock(File::options().read(true).write(true).open(path)?, patience)
    }

    /// The same of what nobody uses: a device that is mounted, or has another one on it, is busy.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    pub fn open_unused(path: &Path, patience: &mut Patience<'_>) -> io::Result<Self> {
        let mut options = File::options();
        options.read(true).write(true);
        if std::fs::metadata(path)?.file_type().is_block_device() {
            options.custom_flags(OFlags::EXCL.bits() as i32);
        }
        Self::lock(options.open(path)?, patience)
    }

    fn lock(file: File, patience: &mut Patience<'_>) -> io::Result<Self> {
        let told = file.metadata()?;
        if told.file_type().is_block_device() && is_read_only(told.rdev()) {
            return Err(io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "it is a read-only device"));
        }
        let number =
            if told.file_type().is_block_device() { lock_number(told.rdev(), patience)? } else { None };
        wait(&file, FlockOperation::NonBlockingLockExclusive, patience)?;
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
/// Those of [`Locked::open`].
pub fn open_shared(path: &Path, patience: &mut Patience<'_>) -> io::Result<File> {
    let file = File::open(path)?;
    wait(&file, FlockOperation::NonBlockingLockShared, patience)?;
    Ok(file)
}

/// Locks `file`, and waits as long as `patience` says for whoever has it locked.
fn wait(file: &File, operation: FlockOperation, patience: &mut Patience<'_>) -> io::Result<()> {
    let begin = Instant::now();
    let mut told = false;
    loop {
        match flock(file, operation) {
            Ok(()) => return Ok(()),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        if !told && begin.elapsed() >= patience.tell_after {
            told = true;
            (patience.tell)(&holder(file));
        }
        if begin.elapsed() >= patience.end_after {
            let who = holder(file);
            let why = format!("{who} has it locked: stop that program, or try again when it has ended");
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, why));
        }
        thread::sleep(PAUSE);
    }
}

/// Who has `file` locked, in words: `process 123 (udm)`, as far as /proc tells.
fn holder(file: &File) -> String {
    let found = file.metadata().ok().and_then(|told| {
        let locks = std::fs::read_to_string("/proc/locks").ok()?;
        holder_in(&locks, (major(told.dev()), minor(told.dev()), told.ino()))
    });
    let Some(process) = found else { return "another process".to_owned() };
    match std::fs::read_to_string(format!("/proc/{process}/comm")) {
        Ok(name) => format!("process {process} ({})", name.trim_end().escape_debug()),
        Err(_) => format!("process {process}"),
    }
}

/// The process that has a lock by `flock` on the file of this device and number, in the words of /proc/locks
/// (Documentation/filesystems/proc.rst).
fn holder_in(locks: &str, (major, minor, inode): (u32, u32, u64)) -> Option<u32> {
    let file = format!("{major:02x}:{minor:02x}:{inode}");
    locks.lines().find_map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        match words[..] {
            // A lock that is waited for has an arrow in the second place.
            [_, "FLOCK", _, _, process, of, ..] if of == file => process.parse().ok(),
            _ => None,
        }
    })
}

/// Whether a block device takes no writes. Some can be opened for writing all the same.
fn is_read_only(device: u64) -> bool {
    let told = std::fs::read_to_string(format!("/sys/dev/block/{}:{}/ro", major(device), minor(device)));
    told.is_ok_and(|text| text.trim() == "1")
}

/// Locks a device by its number. Who has no right to does without: cryptsetup, which needs root for a device, has.
fn lock_number(device: u64, patience: &mut Patience<'_>) -> io::Result<Option<File>> {
    let _ = DirBuilder::new().mode(0o700).create(LOCKS);
    let path = format!("{LOCKS}/L_{}:{}", major(device), minor(device));
    loop {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let Ok(file) = options.open(&path) else { return Ok(None) };
        wait(&file, FlockOperation::NonBlockingLockExclusive, patience)?;
        // Who had it before may have removed its name.
        let (ours, named) = (file.metadata()?, std::fs::metadata(&path));
        if named.is_ok_and(|named| (named.dev(), named.ino()) == (ours.dev(), ours.ino())) {
            return Ok(Some(file));
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

    /// Nobody is told anything, and the wait ends at once.
    fn none(tell: &mut dyn FnMut(&str)) -> Patience<'_> {
        Patience { tell_after: Duration::ZERO, tell, end_after: Duration::ZERO }
    }

    /// The bad twin is the lock given back: then it can be had.
    #[test]
    fn nobody_else_has_it_meanwhile() {
        let named = tempfile::NamedTempFile::new().unwrap();
        let (path, mut quiet) = (named.path(), |_: &str| {});
        let locked = Locked::open_with(path, &mut none(&mut quiet)).unwrap();
        let other = named.reopen().unwrap();
        assert!(flock(&other, FlockOperation::NonBlockingLockShared).is_err());
        drop(locked);
        let shared = (
            open_shared(path, &mut none(&mut quiet)).unwrap(),
            open_shared(path, &mut none(&mut quiet)).unwrap(),
        );
        assert!(flock(&other, FlockOperation::NonBlockingLockExclusive).is_err());
        drop(shared);
        flock(&other, FlockOperation::NonBlockingLockExclusive).unwrap();
    }

    /// The twin is the lock given back while it is waited for: then the wait ends well.
    #[test]
    fn a_wait_says_who_has_the_lock_and_ends() {
        let named = tempfile::NamedTempFile::new().unwrap();
        let held = named.reopen().unwrap();
        flock(&held, FlockOperation::NonBlockingLockExclusive).unwrap();
        let mut told = Vec::new();
        let mut tell = |who: &str| told.push(who.to_owned());
        let error = Locked::open_with(named.path(), &mut none(&mut tell)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
        let us = format!("process {} (", std::process::id());
        assert!(error.to_string().starts_with(&us), "{error}");
        assert!(told.len() == 1 && told[0].starts_with(&us), "{told:?}");
        let mut give_back = |_: &str| flock(&held, FlockOperation::NonBlockingUnlock).unwrap();
        let (zero, tell) = (Duration::ZERO, &mut give_back as &mut dyn FnMut(&str));
        let mut patience = Patience { tell_after: zero, tell, end_after: Duration::from_mins(1) };
        Locked::open_with(named.path(), &mut patience).unwrap();
    }

    #[test]
    fn the_holder_is_read_from_the_kernels_list() {
        let locks = "1: POSIX  ADVISORY  WRITE 5 fe:00:77 0 EOF\n2: FLOCK  ADVISORY  READ 6 fe:01:77 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE 7 fe:00:77 0 EOF\n3: -> FLOCK  ADVISORY  WRITE 8 fe:00:77 0 EOF\n";
        assert_eq!(holder_in(locks, (0xfe, 0, 77)), Some(7));
        assert_eq!(holder_in(locks, (0xfe, 1, 77)), Some(6));
        assert_eq!(holder_in(locks, (0xfe, 0, 7)), None);
    }
}
