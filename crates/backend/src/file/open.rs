//! Opening a file or a block device: what may be opened, the lock on it, and what is promised of it.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rustix::fs::{FallocateFlags, FileType, Mode, OFlags, SeekFrom};
use rustix::fs::{fallocate, fstat, ioctl_blksszget, seek};
use rustix::io::Errno;
use udm_block::{Geometry, Sectors};

use super::image::Image;
use super::syncs::Syncs;
use super::uring::{self, Registrations};
use super::{BLOCK_MAX, EngineChoice, FileDevice, FileOptions, direct, limits, lock};
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
    let engine = choose_engine(options.engine)?;
    let (buffered, is_block_device) = open_buffered(path, options.read_only)?;
    let limits = if is_block_device { limits::of(&buffered) } else { limits::Limits::default() };
    if limits.read_only && !options.read_only {
        return Err(OpenError::ReadOnly { path: path.to_owned() });
    }
    if options.lock {
        lock::take(path, &buffered, options.read_only)?;
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
    if bytes == 0 {
        return Err(OpenError::Empty { path: path.to_owned() });
    }
    let choice = direct::choose(path, &buffered, *options, wanted_block, bytes)?;
    let align = choice.direct.as_ref().map_or(1, |direct| direct.align);
    let logical_block = wanted_block.max(align).min(BLOCK_MAX);
    let size = bytes.next_multiple_of(u64::from(logical_block));
    let (discard, write_zeroes) = match () {
        // Its own calls are for its own blocks, which are longer than those of the device here.
        () if options.read_only || own_block > BLOCK_MAX => (false, false),
        () if is_block_device => (limits.discard, limits.write_zeroes),
        () => {
            let punches = punches(&buffered, bytes);
            (punches, punches)
        }
    };
    let geometry = Geometry {
        padding: (size - bytes) as u32,
        logical_block,
        max_transfer: TRANSFER_MAX,
        memory_alignment: choice.direct.as_ref().map_or(1, |direct| direct.memory_align),
        read_only: options.read_only,
        discard,
        write_zeroes,
        write_cache: true,
        ..Geometry::plain(Sectors::in_bytes(size))
    };
    let image = Image {
        path: path.to_owned(),
        buffered,
        direct: choice.direct,
        is_block_device,
        bytes,
        can_shrink_below: (!is_block_device).then_some(bytes),
        gone: AtomicBool::new(false),
        syncs: Syncs::default(),
        registrations: Registrations::default(),
    };
    let device =
        FileDevice { image: Arc::new(image), geometry, uring: engine.0, words: [engine.1, choice.words] };
    tracing::info!("{}", device.describe());
    Ok(device)
}

fn fail(path: &Path, what: &'static str, error: Errno) -> OpenError {
    OpenError::System { path: path.to_owned(), what, source: error.into() }
}

/// What drives the I/O of queues: whether it is a ring, and in words why.
fn choose_engine(choice: EngineChoice) -> Result<(bool, String), OpenError> {
    match (choice, uring::available()) {
        (EngineChoice::Threads, _) => Ok((false, "threads".to_owned())),
        (EngineChoice::Auto, Err(why)) => Ok((false, format!("threads (no io_uring: {why})"))),
        (_, Ok(())) => Ok((true, "io_uring".to_owned())),
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

/// Whether blocks of the file can be given back. Nothing changes by the trial: it is behind the end.
fn punches(fd: &OwnedFd, bytes: u64) -> bool {
    let behind = bytes.next_multiple_of(1 << 20);
    fallocate(fd, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, behind, 1 << 20).is_ok()
}
