//! Whether the page cache is passed by (`O_DIRECT`), decided when a file is opened.
//!
//! The page cache costs a copy, and memory for what a client has cached itself; but only transfers whose place, length
//! and memory are aligned can pass it by. The file then has two descriptors, and the kernel keeps what goes through one
//! and the other coherent: a direct read first has the dirty pages of its range written, a direct write does that and
//! afterwards throws the pages of its range away.
//!
//! There is one gap, and it decides the design. A page is dirty as a whole: when a buffered write of one sector and a
//! direct write of another sector *of the same page* are under way at once, the page may be filled before the direct
//! write reaches the disk and be written back after it, with the old bytes of its sector. (The kernel then logs "Page
//! cache invalidation failure on direct I/O".) Two clients that write neighbouring sectors would lose data, without
//! having done anything wrong: two threads that did so on a loop device lost 5 of 128,000 sectors. So on a file with a direct descriptor **no write goes through the page cache**: one
//! whose memory is not aligned is copied to memory that is, on a thread that may wait; and the device's blocks are at
//! least as large as the alignment, so that places and lengths always fit. (One exception: where the kernel refuses even
//! that, it refuses the neighbours too.) Reads may go either way: a page that was
//! only read is clean, and a direct write throws it away.
//!
//! Past the page cache only whole blocks can be written. So a file that ends within a block has no direct descriptor where
//! it is to be written; where it is only read, its last block is read through the page cache.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags, fstat, fstatfs, statx};
use udm_block::memory::PAGE_SIZE;

use super::image::Direct;
use super::{BLOCK_MAX, Cache, FileOptions};
use crate::OpenError;

/// What was chosen, and in words why.
pub(super) struct Choice {
    pub(super) direct: Option<Direct>,
    pub(super) words: String,
}

/// What a file asks of direct transfers, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Alignment {
    place: u32,
    memory: u32,
}

/// Decides for the file of `bytes` bytes at `path`, open as `buffered`. `block` is the size of the device's blocks in bytes.
pub(super) fn choose(
    path: &Path,
    buffered: &OwnedFd,
    options: FileOptions,
    block: u32,
    bytes: u64,
) -> Result<Choice, OpenError> {
    let FileOptions { cache, read_only, .. } = options;
    if cache == Cache::Writeback {
        return Ok(Choice { direct: None, words: "page cache".to_owned() });
    }
    let found = find(path, buffered, block, read_only).and_then(|(fd, alignment)| {
        let Alignment { place, memory } = alignment;
        if place > block && cache == Cache::Auto {
            return Err(format!("O_DIRECT needs blocks of {place} bytes, the device has {block}"));
        }
        if place > BLOCK_MAX {
            return Err(format!("O_DIRECT needs blocks of {place} bytes, udm has up to {BLOCK_MAX}"));
        }
        if !read_only && !bytes.is_multiple_of(u64::from(place.max(block))) {
            let block = place.max(block);
            return Err(format!(
                "it is {bytes} bytes long, and O_DIRECT writes whole blocks of {block} bytes only"
            ));
        }
        Ok(Direct { fd, align: place, memory_align: memory })
    });
    match found {
        Ok(direct) => {
            let words = format!("O_DIRECT ({}-byte alignment)", direct.align);
            Ok(Choice { direct: Some(direct), words })
        }
        Err(why) if cache == Cache::None => Err(OpenError::NoDirect { path: path.to_owned(), why }),
        Err(why) => Ok(Choice { direct: None, words: format!("page cache ({why})") }),
    }
}

/// A direct descriptor of the file and what it asks for; or why there is none.
fn find(
    path: &Path,
    buffered: &OwnedFd,
    block: u32,
    read_only: bool,
) -> Result<(OwnedFd, Alignment), String> {
    if block > BLOCK_MAX {
        return Err(format!(
            "the device has blocks of {block} bytes, udm passes up to {BLOCK_MAX} past the page cache"
        ));
    }
    let none = || "the file system has no O_DIRECT".to_owned();
    let access = if read_only { OFlags::RDONLY } else { OFlags::RDWR };
    let flags = access | OFlags::CLOEXEC | OFlags::DIRECT;
    let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(|_| none())?;
    if !is_same_file(&fd, buffered) {
        return Err("the path changed while it was opened".to_owned());
    }
    match told(&fd) {
        Told::Needs(alignment) => Ok((fd, alignment)),
        // An old kernel, or a file system that does not tell. One in memory takes the flag and ignores it.
        Told::Nothing if is_in_memory(&fd) => Err("the file is in memory".to_owned()),
        Told::Nothing if takes_a_read_of(&fd, block) => {
            Ok((fd, Alignment { place: block, memory: PAGE_SIZE as u32 }))
        }
        Told::Impossible | Told::Nothing => Err(none()),
    }
}

/// What the kernel tells of direct transfers.
enum Told {
    Nothing,
    Impossible,
    Needs(Alignment),
}

/// Asks the kernel (`STATX_DIOALIGN`, Linux 6.1).
fn told(fd: &OwnedFd) -> Told {
    match statx(fd, c"", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN) {
        Ok(stat) if stat.stx_mask & StatxFlags::DIOALIGN.bits() != 0 => {
            let (place, memory) = (stat.stx_dio_offset_align, stat.stx_dio_mem_align);
            if place == 0 || memory == 0 {
                return Told::Impossible;
            }
            Told::Needs(Alignment { place: place.max(512), memory })
        }
        _ => Told::Nothing,
    }
}

fn is_same_file(one: &OwnedFd, other: &OwnedFd) -> bool {
    let identity = |fd| fstat(fd).ok().map(|stat| (stat.st_dev, stat.st_ino, stat.st_rdev));
    identity(one).is_some() && identity(one) == identity(other)
}

fn is_in_memory(fd: &OwnedFd) -> bool {
    const TMPFS_MAGIC: u64 = 0x0102_1994;
    const RAMFS_MAGIC: u64 = 0x8584_58f6;
    fstatfs(fd).is_ok_and(|stat| [TMPFS_MAGIC, RAMFS_MAGIC].contains(&(stat.f_type as u64)))
}

/// Whether one block can be read into memory at a page border.
fn takes_a_read_of(fd: &OwnedFd, block: u32) -> bool {
    #[repr(align(4096))]
    struct Page([u8; PAGE_SIZE]);
    let mut page = Page([0; PAGE_SIZE]);
    rustix::io::pread(fd, &mut page.0[..block as usize], 0).is_ok()
}
