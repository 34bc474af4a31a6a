//! Opening a file or a block device: what may be opened, the lock on it, and what is promised of it.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use rustix::fs::{FallocateFlags, FileType, FlockOperation, Mode, OFlags, SeekFrom};
use rustix::fs::{fallocate, flock, fstat, ioctl_blksszget, seek};
use rustix::io::Errno;
use udm_block::{Geometry, Sectors};

use super::image::Image;
use super::uring::{self, Registrations};
use super::{EngineChoice, FileDevice, FileOptions, direct};
use crate::OpenError;

/// The longest read or write, in bytes: the system moves at most a page less than 2 GiB in one call.
const TRANSFER_MAX: u32 = 1 << 30;

/// Opens the regular file or block device at `path`.
///
/// # Errors
/// When it is neither, when the system refuses it, when another process has it, or when `options` ask for what there
/// is not.
pub fn open(path: impl AsRef<Path>, options: &FileOptions) -> Result<FileDevice, OpenError> {
    let path = path.as_ref();
    let block_size = options.checked_block_size()?;
    let uring = wants_uring(options.engine)?;
    let (buffered, is_block_device) = open_buffered(path, options.read_only)?;
    if options.lock {
        lock(path, &buffered, options.read_only)?;
    }
    let system = |what| move |error: Errno| fail(path, what, error);
    let bytes = if is_block_device {
        seek(&buffered, SeekFrom::End(0)).map_err(system("asking for the size"))?
    } else {
        fstat(&buffered).map_err(system("asking for the size"))?.st_size as u64
    };
    let own_block = if is_block_device {
        ioctl_blksszget(&buffered).map_err(system("asking for the block size (BLKSSZGET)"))?
    } else {
        512
    };
    let wanted_block = block_size.max(own_block);
    let choice = direct::choose(path, &buffered, options.cache, wanted_block, options.read_only)?;
    let logical_block = choice.direct.as_ref().map_or(wanted_block, |direct| wanted_block.max(direct.align));
    let whole = whole_blocks(path, bytes, logical_block)?;
    let can_punch = !options.read_only && (is_block_device || punches(&buffered, bytes));
    let geometry = Geometry {
        logical_block,
        max_transfer: TRANSFER_MAX,
        memory_alignment: choice.direct.as_ref().map_or(1, |direct| direct.memory_align),
        read_only: options.read_only,
        discard: can_punch,
        write_zeroes: can_punch,
        write_cache: true,
        ..Geometry::plain(Sectors::in_bytes(whole))
    };
    let image = Image {
        path: path.to_owned(),
        buffered,
        direct: choice.direct,
        can_shrink_below: (!is_block_device).then_some(whole),
        gone: AtomicBool::new(false),
        registrations: Registrations::default(),
    };
    Ok(FileDevice { image: Arc::new(image), geometry, uring, cache_choice: choice.words })
}

fn fail(path: &Path, what: &'static str, error: Errno) -> OpenError {
    OpenError::System { path: path.to_owned(), what, source: error.into() }
}

fn wants_uring(engine: EngineChoice) -> Result<bool, OpenError> {
    match (engine, uring::available()) {
        (EngineChoice::Threads, _) | (EngineChoice::Auto, Err(_)) => Ok(false),
        (_, Ok(())) => Ok(true),
        (EngineChoice::Uring, Err(why)) => Err(OpenError::NoUring { why: why.to_owned() }),
    }
}

/// The descriptor that goes through the page cache, and whether it is of a block device.
fn open_buffered(path: &Path, read_only: bool) -> Result<(OwnedFd, bool), OpenError> {
    let refused = |source: io::Error| OpenError::Open { path: path.to_owned(), read_only, source };
    // It is looked at before it is opened: opening a FIFO waits for the other side, and opening some character devices
    // does something.
    let metadata = fs::metadata(path).map_err(refused)?;
    if let Some(found) = no_device(&metadata) {
        return Err(OpenError::NotADevice { path: path.to_owned(), found });
    }
    let is_block_device = !metadata.is_file();
    let mut flags = OFlags::CLOEXEC | if read_only { OFlags::RDONLY } else { OFlags::RDWR };
    if is_block_device && !read_only {
        // For a block device: not while it is mounted or part of another device.
        flags |= OFlags::EXCL;
    }
    let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| match error {
        Errno::BUSY => OpenError::Busy { path: path.to_owned() },
        _ => refused(error.into()),
    })?;
    let opened = fstat(&fd).map_err(|error| fail(path, "looking at it", error))?;
    let expected = if is_block_device { FileType::BlockDevice } else { FileType::RegularFile };
    if FileType::from_raw_mode(opened.st_mode) != expected {
        return Err(OpenError::NotADevice {
            path: path.to_owned(),
            found: "being replaced by something else",
        });
    }
    Ok((fd, is_block_device))
}

/// What no sectors live in, with its article.
fn no_device(metadata: &fs::Metadata) -> Option<&'static str> {
    use std::os::unix::fs::FileTypeExt;
    let kind = metadata.file_type();
    match () {
        () if kind.is_file() || kind.is_block_device() => None,
        () if kind.is_dir() => Some("a folder"),
        () if kind.is_fifo() => Some("a FIFO"),
        () if kind.is_socket() => Some("a socket"),
        () if kind.is_char_device() => Some("a character device"),
        () => Some("of an unknown kind"),
    }
}

/// How often a lock is tried to be had, and how long there is between two tries: three seconds in all.
const LOCK_TRIES: u32 = 120;
const LOCK_INTERVAL: Duration = Duration::from_millis(25);

/// Keeps other processes from the file: from writing it, and if it is to be written here from reading it too.
fn lock(path: &Path, fd: &OwnedFd, read_only: bool) -> Result<(), OpenError> {
    let kind = if read_only {
        FlockOperation::NonBlockingLockShared
    } else {
        FlockOperation::NonBlockingLockExclusive
    };
    // The kernel lets go of what a killed process had in a ring only when that has come to rest, a moment after the process
    // has gone; and udev holds a shared lock on a block device while it looks at it, as after each time that a writer
    // closed it.
    let mut tries = LOCK_TRIES;
    loop {
        tries -= 1;
        match flock(fd, kind) {
            Ok(()) => return Ok(()),
            Err(Errno::WOULDBLOCK) if tries == 0 => return Err(OpenError::InUse { path: path.to_owned() }),
            Err(Errno::WOULDBLOCK) => std::thread::sleep(LOCK_INTERVAL),
            Err(Errno::INTR) => tries += 1,
            Err(error) => {
                // Some network file systems have no locks; that is no reason to keep a user from the data.
                tracing::warn!(path = %path.display(), %error, "the file cannot be locked; see to it that nobody else writes it");
                return Ok(());
            }
        }
    }
}

/// The bytes of the device: the whole blocks of the file.
fn whole_blocks(path: &Path, bytes: u64, block: u32) -> Result<u64, OpenError> {
    let left_over = bytes % u64::from(block);
    if bytes < u64::from(block) {
        return Err(OpenError::TooShort { path: path.to_owned(), bytes, block });
    }
    if left_over > 0 {
        tracing::warn!(
            path = %path.display(),
            "the last {left_over} of {bytes} bytes are no whole block of {block}; the device ends before them"
        );
    }
    Ok(bytes - left_over)
}

/// Whether blocks of the file can be given back. Nothing changes by the trial: it is behind the end.
fn punches(fd: &OwnedFd, bytes: u64) -> bool {
    let behind = bytes.next_multiple_of(1 << 20);
    fallocate(fd, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, behind, 1 << 20).is_ok()
}
